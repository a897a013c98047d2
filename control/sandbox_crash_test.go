package control_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sluice"
	"sluice/control"
)

// whole checks that nothing is half-made: sessions have their filter and target, and
// filters a session; of a request of three sessions there are all or none, and their
// members are there. Nothing is there that is no living sandbox's.
func (r *sandboxRig) whole() {
	r.t.Helper()
	filters, err := r.TrafficMirrorFilters(r.t.Context())
	must(r.t, err)
	targets, err := r.TrafficMirrorTargets(r.t.Context())
	must(r.t, err)
	sessions, err := r.TrafficMirrorSessions(r.t.Context())
	must(r.t, err)
	living, err := r.Sandboxes(r.t.Context(), admin, "")
	must(r.t, err)
	owners := map[string]int{} // sessions by sandbox
	for _, b := range living {
		owners[b.ID] = 0
	}
	owner := func(what string, tags []sluice.Tag) string {
		for _, t := range tags {
			if _, ok := owners[t.Value]; ok && t.Key == "ReservationId" {
				return t.Value
			}
		}
		r.t.Errorf("%s is of no living sandbox: %v", what, tags)
		return ""
	}
	exist := map[string]bool{}
	for _, f := range filters {
		exist[f.ID] = true
		owner("filter "+f.ID, f.Tags)
		if len(f.Rules) != 2 {
			r.t.Errorf("filter %s has %d rules", f.ID, len(f.Rules))
		}
	}
	for _, t := range targets {
		exist[t.ID] = true
		owner("target "+t.ID, t.Tags)
	}
	used := map[string]bool{}
	for _, s := range sessions {
		owners[owner("session "+s.ID, s.Tags)]++
		if !exist[s.FilterID] || !exist[s.TargetID] {
			r.t.Errorf("session %s lacks its filter or its target", s.ID)
		}
		used[s.FilterID] = true
	}
	for _, f := range filters {
		if !used[f.ID] {
			r.t.Errorf("filter %s has no session", f.ID)
		}
	}
	for _, b := range living {
		if owners[b.ID] > 0 && len(b.Resources) != 4 {
			r.t.Errorf("sandbox %s has %d sessions and %d of 4 members", b.ID, owners[b.ID], len(b.Resources))
		}
	}
	for id, n := range owners {
		if n%3 != 0 {
			r.t.Errorf("sandbox %s has %d sessions of requests of three", id, n)
		}
	}
}

func three() []control.CreateMirroringAction {
	return []control.CreateMirroringAction{tap("eni-1", "eni-sensor", 0), tap("eni-2", "eni-sensor", 0), tap("eni-1", "eni-spare", 0)}
}

func TestAFaultAtAnyWriteLeavesNothingHalfMade(t *testing.T) {
	for _, afterwards := range []bool{false, true} {
		for write := int32(1); ; write++ {
			r := newSandboxRig(t)
			b := r.sandbox("Tap")
			r.faults.afterwards = afterwards
			r.faults.sandboxes.Store(write)
			_, err := r.CreateMirroring(t.Context(), dana, b.ID, three())
			if err == nil {
				err = r.TerminateSandbox(t.Context(), dana, b.ID)
			}
			done := r.faults.sandboxes.Load() > 0
			if done && err != nil {
				t.Fatal(err)
			}
			r.stop()
			r.start()
			// What a fault left is done by Run, with nobody asking.
			await(t, "the end of what had begun to end", func() bool { return r.read(b).Status != control.SandboxTeardown })
			r.whole()
			r.end(b)
			r.count("after the end", 0, 0, 0)
			r.stop()
			if done {
				if write < 4 {
					t.Errorf("only %d writes were made to fail", write-1)
				}
				break
			}
		}
	}
}

// crashDir names the state directory of a process that is to be killed.
const crashDir = "SLUICE_TEST_CRASH_DIR"

// TestProcessToKill makes, removes and ends without end, as the child of the test
// below.
func TestProcessToKill(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		return // it is nobody's child
	}
	r := newSandboxRigIn(t, dir)
	fmt.Println("working")
	for n := 0; ; n++ {
		b := r.sandbox("Tap")
		ids := r.mirror(b, three()...)
		if n%2 == 0 {
			var remove []control.RemoveMirroringAction
			for _, id := range ids {
				remove = append(remove, control.RemoveMirroringAction{ActionID: "r", SessionID: id})
			}
			_, err := r.RemoveMirroring(t.Context(), dana, b.ID, remove)
			must(t, err)
			r.mirror(b, three()...)
		}
		if n%3 == 0 {
			must(t, r.RemoveResources(t.Context(), dana, b.ID, []string{"i-1", "i-2"}))
		}
		must(t, r.TerminateSandbox(t.Context(), dana, b.ID))
	}
}

func TestAKilledProcessLeavesNothingHalfMade(t *testing.T) {
	dir := t.TempDir()
	for range 8 {
		killWorking(t, dir)
		r := newSandboxRigIn(t, dir)
		await(t, "the end of what had begun to end", func() bool {
			living, err := r.Sandboxes(t.Context(), admin, "")
			must(t, err)
			for _, b := range living {
				if b.Status == control.SandboxTeardown {
					return false
				}
			}
			return true
		})
		r.whole()
		living, err := r.Sandboxes(t.Context(), admin, "")
		must(t, err)
		for _, b := range living {
			r.end(b)
		}
		r.count("after the end", 0, 0, 0)
		r.stop()
	}
}

// killWorking starts TestProcessToKill and kills it at its work.
func killWorking(t *testing.T, dir string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestProcessToKill$")
	child.Env = append(os.Environ(), crashDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	lines := bufio.NewScanner(out)
	working := lines.Scan() && strings.HasSuffix(lines.Text(), "working")
	if working {
		time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond) // any moment will do
	}
	must(t, child.Process.Kill())
	if err := child.Wait(); working && (err == nil || !strings.Contains(err.Error(), "killed")) {
		t.Fatalf("the process ended by itself: %v", err)
	}
	if !working {
		t.Fatalf("the process did not begin: %q", lines.Text())
	}
}

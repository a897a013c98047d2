package state_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice"
	"sluice/state"
)

// crashDir names the directory in which a child of the crash test writes.
const crashDir = "SLUICE_STATE_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := writeUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func writeUntilKilled(dir string) error {
	ctx := context.Background()
	s, err := state.Open(ctx, state.Options{Dir: dir})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		name := fmt.Sprint("p", i)
		if err := s.CreateFirewallPolicy(ctx, policy(name), 1<<20); err != nil {
			return err
		}
		fmt.Println(name)
	}
}

func open(t testing.TB, dir string) *state.Store {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	s, err := state.Open(t.Context(), state.Options{Dir: dir, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fresh opens an empty store that closes with the test.
func fresh(t testing.TB) *state.Store {
	t.Helper()
	s := open(t, t.TempDir())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func policy(name string) sluice.FirewallPolicy {
	return sluice.FirewallPolicy{
		Name: name, Arn: "arn:aws:network-firewall:eu-west-1:000000000000:firewall-policy/" + name,
		ID: sluice.NewUUID(), UpdateToken: sluice.NewUUID(), Generation: 1,
	}
}

func firewall(name, policyName string) sluice.Firewall {
	return sluice.Firewall{
		Name: name, Arn: "arn:aws:network-firewall:eu-west-1:000000000000:firewall/" + name,
		ID: sluice.NewUUID(), PolicyArn: policy(policyName).Arn, UpdateToken: sluice.NewUUID(),
	}
}

func TestStartAndRestartAreQuick(t *testing.T) {
	dir := t.TempDir()
	for _, what := range []string{"fresh start", "restart"} {
		began := time.Now()
		s := open(t, dir)
		if _, err := s.FirewallPolicies(t.Context()); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		t.Logf("%s: %v", what, took)
		if took > time.Second {
			t.Errorf("%s took %v", what, took)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADirectoryInUseIsRefusedAtOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	if other, err := state.Open(t.Context(), state.Options{Dir: dir}); err == nil {
		other.Close()
		t.Fatal("a second process got the directory")
	} else if !strings.Contains(err.Error(), dir) {
		t.Errorf("the error does not name the directory: %v", err)
	}
}

func TestTheDirectoryIsForItsOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	defer s.Close()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("mode is %v", info.Mode().Perm())
	}
}

// listening returns the inodes of this process's TCP sockets that listen.
func listening(t *testing.T) map[string]bool {
	t.Helper()
	mine := map[string]bool{}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil {
			mine[target] = true
		}
	}
	found := map[string]bool{}
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && mine["socket:["+f[9]+"]"] {
				found[f[9]] = true
			}
		}
	}
	return found
}

func TestTheStoreListensNowhere(t *testing.T) {
	before := len(listening(t))
	fresh(t)
	if now := len(listening(t)); now != before {
		t.Errorf("%d sockets listen, %d did before", now, before)
	}
}

func TestWhatWasAcknowledgedSurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashDir+"="+dir)
	child.Stderr = t.Output()
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if names = append(names, lines.Text()); len(names) == 200 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	child.Wait() // it was killed
	if len(names) < 200 {
		t.Fatalf("the child acknowledged only %d", len(names))
	}
	s := open(t, dir)
	defer s.Close()
	for _, name := range names {
		if _, err := s.FirewallPolicy(t.Context(), name); err != nil {
			t.Errorf("%s was acknowledged: %v", name, err)
		}
	}
}

package datapath

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"sluice"
)

// needRoot skips where the kernel can't be asked; on CI that is a failure.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("this test needs root")
	}
	t.Skip("this test needs root")
}

// bpffs mounts a BPF file system of the test's own.
func bpffs(t testing.TB) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	mount := filepath.Join(dir, "bpf")
	if err := EnsureBPFFS(mount); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unmount(t, mount) })
	return filepath.Join(mount, "sluice")
}

// testDatapath opens a datapath in a BPF file system of its own.
func testDatapath(t testing.TB, maxFlows uint64) *Datapath {
	t.Helper()
	return openDatapath(t, bpffs(t), maxFlows)
}

func openDatapath(t testing.TB, dir string, maxFlows uint64) *Datapath {
	t.Helper()
	d, err := Open(Options{Dir: dir, MaxFlows: maxFlows, Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil))})
	if err != nil {
		t.Fatalf("open: %+v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

const testEndpoint = "vpce-00000000000000001"

func testPolicy() sluice.EndpointPolicy {
	return sluice.EndpointPolicy{
		Generation: 1, StatelessDefault: sluice.ActionForwardToSFE, FragmentDefault: sluice.ActionForwardToSFE,
		StreamException: sluice.StreamExceptionDrop, TCPIdleTimeout: 350 * time.Second,
	}
}

// rig is an endpoint without interfaces, whose program is run on made-up packets.
type rig struct {
	*Datapath
	t       testing.TB
	ingress *ebpf.Program
	slot    uint32
}

func newRig(t testing.TB, maxFlows uint64, p sluice.EndpointPolicy) *rig {
	t.Helper()
	r := &rig{Datapath: testDatapath(t, maxFlows), t: t}
	r.policy(p)
	r.slot, _ = r.slotOf(testEndpoint)
	r.ingress = r.program(programKey{slot: r.slot, header: 14, ingress: true, netns: 7})
	return r
}

func (r *rig) policy(p sluice.EndpointPolicy) {
	r.t.Helper()
	for _, s := range r.Apply(context.Background(), []sluice.Endpoint{{ID: testEndpoint, Policy: p}}) {
		if s.Problem != "" {
			r.t.Fatal(s.Problem)
		}
	}
}

func (r *rig) program(key programKey) *ebpf.Program {
	r.t.Helper()
	p, err := r.load(firewallProgFirewall, key)
	if err != nil {
		r.t.Fatalf("%+v", err)
	}
	r.t.Cleanup(func() { p.Close() })
	return p
}

// The actions of the program as prog-run returns them.
const (
	tcxNext     = 0xffffffff
	tcxDrop     = 2
	tcxRedirect = 7
)

// send runs the program on a frame and returns its action.
func (r *rig) send(frame []byte) uint32 {
	r.t.Helper()
	action, err := r.ingress.Run(&ebpf.RunOptions{Data: frame})
	if err != nil {
		r.t.Fatalf("run program on %d bytes: %v", len(frame), err)
	}
	return action
}

func (r *rig) capture(filters ...sluice.FlowFilter) []sluice.Flow {
	r.t.Helper()
	return captureFrom(r.t, r.Datapath, testEndpoint, filters...)
}

// captureFrom captures with filters; without any, everything.
func captureFrom(t testing.TB, d *Datapath, endpoint string, filters ...sluice.FlowFilter) []sluice.Flow {
	t.Helper()
	var out []sluice.Flow
	err := d.Capture(context.Background(), endpoint, selection(t, filters...), func(b sluice.FlowBlock) error {
		out = append(out, b...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func selection(t testing.TB, filters ...sluice.FlowFilter) sluice.FlowSelection {
	t.Helper()
	if len(filters) == 0 {
		filters = []sluice.FlowFilter{{SourceAddress: "0.0.0.0/0"}, {SourceAddress: "::/0"}}
	}
	m, err := sluice.CompileFlowFilters(filters)
	if err != nil {
		t.Fatal(err)
	}
	return sluice.FlowSelection{Matches: m}
}

// await polls until what is true.
func await(t testing.TB, what string, limit time.Duration, is func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}

func short(f sluice.Flow) string {
	return fmt.Sprintf("%d %v:%d > %v:%d %v %v p%v b%v", f.Protocol, f.Source, f.SourcePort, f.Destination,
		f.DestinationPort, f.State, f.Engine, f.Packets, f.Bytes)
}

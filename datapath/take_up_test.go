package datapath

import (
	"os"
	"path/filepath"
	"testing"

	"sluice"
)

func TestATableThatIsHalfRemovedIsPassedOver(t *testing.T) {
	dir := bpffs(t)
	d := openDatapath(t, dir, MaxFlowsMin)
	apply(t, d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(tableDir(dir, 1), firewallMapFlows)); err != nil {
		t.Fatal(err)
	}
	apply(t, openDatapath(t, dir, MaxFlowsMin))
	if n, err := tables(dir); err != nil || len(n) != 1 || n[0] != 2 {
		t.Errorf("tables %v, %v; want the second alone", n, err)
	}
}

// TestProgramsOfABuildThatGaveUpAreReplaced has a newer build replace the programs of
// some endpoints, fail with others, and the older one come back.
func TestProgramsOfABuildThatGaveUpAreReplaced(t *testing.T) {
	top := newTopology(t)
	dir := bpffs(t)
	first := openDatapath(t, dir, 4096)
	apply(t, first, top.endpoint(testPolicy()))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	newer := openDatapath(t, dir, 4096)
	newer.current = false // its programs are others
	newer.Apply(t.Context(), []sluice.Endpoint{top.endpoint(testPolicy()), {ID: "bad_id", Policy: testPolicy()}})
	pins, err := os.ReadDir(filepath.Join(dir, linksDir))
	if err != nil || len(pins) != 4 {
		t.Fatalf("%d links, %v", len(pins), err)
	}
	before := map[string]uint32{}
	for _, p := range pins {
		before[p.Name()] = linkProgram(t, filepath.Join(dir, linksDir, p.Name()))
	}
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	back := openDatapath(t, dir, 4096)
	if back.current {
		t.Error("the other build's programs are taken for ours")
	}
	apply(t, back, top.endpoint(testPolicy()))
	for name, id := range before {
		if linkProgram(t, filepath.Join(dir, linksDir, name)) == id {
			t.Errorf("link %s still runs the other build's program", name)
		}
	}
}

func TestAnotherSizeThatNeverRanCostsNoFlows(t *testing.T) {
	top := newTopology(t)
	dir := bpffs(t)
	open := func(maxFlows uint64, endpoints ...sluice.Endpoint) *Datapath {
		t.Helper()
		d := openDatapath(t, dir, maxFlows)
		if len(endpoints) > 0 {
			apply(t, d, endpoints...)
		}
		return d
	}
	shut := func(d *Datapath) {
		t.Helper()
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d := open(4096, top.endpoint(testPolicy()))
	if n, err := d.Seed(testEndpoint, manyFlows(10)); n != 10 || err != nil {
		t.Fatal(n, err)
	}
	shut(d)
	shut(open(8192))
	d = open(4096)
	if n := len(captureFrom(t, d, testEndpoint)); n != 10 || !d.current {
		t.Errorf("%d flows, current %v; want all 10 and the programs that run", n, d.current)
	}
	if n, err := tables(dir); err != nil || len(n) != 1 || n[0] != 1 {
		t.Errorf("tables %v, %v; want the first alone", n, err)
	}
	shut(d)
	// Here the other size has been taken up by some of the programs.
	d = open(8192)
	d.Apply(t.Context(), []sluice.Endpoint{top.endpoint(testPolicy()), {ID: "bad_id", Policy: testPolicy()}})
	shut(d)
	if d = open(4096); d.current {
		t.Error("programs on another table are taken for ours")
	}
	apply(t, d, top.endpoint(testPolicy()))
	shut(d)
	if d = open(4096); !d.current {
		t.Error("the take-over did not end")
	}
}

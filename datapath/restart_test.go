package datapath

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"sluice"
)

func TestCleanerGoesOnWithoutAProcess(t *testing.T) {
	dir := bpffs(t)
	d := openDatapath(t, dir, MaxFlowsMin)
	apply(t, d, sluice.Endpoint{ID: testEndpoint, Policy: testPolicy()})
	if n, err := d.Seed(testEndpoint, manyFlows(10)); n != 10 || err != nil {
		t.Fatal(n, err)
	}
	pin := filepath.Join(d.table.dir, firewallMapTable)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	passes := func() uint64 {
		t.Helper()
		m, err := ebpf.LoadPinnedMap(pin, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		var s firewallTableState
		if err := m.Lookup(uint32(0), &s); err != nil {
			t.Fatal(err)
		}
		return s.Passes
	}
	before := passes()
	await(t, "the table has been gone through twice", 10*time.Second, func() bool { return passes() >= before+2 })
}

func TestNewerProgramTakesOverFlows(t *testing.T) {
	top := newTopology(t)
	dir := bpffs(t)
	old := openDatapath(t, dir, 4096)
	apply(t, old, top.endpoint(testPolicy()))
	l := top.listen(top.server, "tcp", "10.9.2.2:0")
	go echo(l)
	c, err := top.dial(top.client, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	exchange(t, c, 1000)
	// What runs is of another build, as far as anybody can tell.
	old.layout.Program++
	if err := old.writeLayout(); err != nil {
		t.Fatal(err)
	}
	pins, err := os.ReadDir(filepath.Join(dir, linksDir))
	if err != nil || len(pins) != 4 {
		t.Fatalf("%d links, %v", len(pins), err)
	}
	programs := func() (ids []uint32) {
		t.Helper()
		for _, p := range pins {
			ids = append(ids, linkProgram(t, filepath.Join(dir, linksDir, p.Name())))
		}
		return ids
	}
	before := programs()
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}

	d := openDatapath(t, dir, 4096)
	if d.current {
		t.Error("programs of another build are taken for ours")
	}
	apply(t, d, top.endpoint(testPolicy()))
	exchange(t, c, 1000)
	if f := captureFrom(t, d, testEndpoint, onlyTCP...); len(f) != 1 || f[0].Bytes[0] < 2000 {
		t.Errorf("flows %v, want the one that was there", f)
	}
	after := programs()
	for i := range before {
		if before[i] == after[i] {
			t.Errorf("link %s still runs the old program", pins[i].Name())
		}
	}
	if !d.current || d.layout.Program != programDigest() {
		t.Error("the take-over was not recorded")
	}
	apply(t, d, top.endpoint(testPolicy()))
	for i, id := range programs() {
		if id != after[i] {
			t.Errorf("link %s was touched again", pins[i].Name())
		}
	}
}

func linkProgram(t *testing.T, pin string) uint32 {
	t.Helper()
	l, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		t.Fatal(err)
	}
	return uint32(info.Program)
}

func TestTableThatWasNeverCompletedIsPassedOver(t *testing.T) {
	dir := bpffs(t)
	half := tableDir(dir, 1)
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Pin(filepath.Join(half, firewallMapFlows)); err != nil {
		t.Fatal(err)
	}
	d := openDatapath(t, dir, MaxFlowsMin)
	apply(t, d)
	if n, err := tables(dir); err != nil || len(n) != 1 || n[0] != 2 {
		t.Errorf("tables %v, %v; want the second alone", n, err)
	}
}

package inventory

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice"
	"sluice/internal/testnet"
)

func TestAStartKnowsTheDevicesOfTheLastRun(t *testing.T) {
	lab, declared := newLab(t)
	memory := filepath.Join(t.TempDir(), "interfaces.json")
	first := newInventory(t, declared)
	first.options.Memory = memory
	if err := first.Load(); err != nil {
		t.Fatal(err)
	}
	was := device1(first.Snapshot(), lab.Gateway, "sensor0")
	if err := testnet.RemoveNamespace(lab.Sensor); err != nil { // both ends of the pair go
		t.Fatal(err)
	}

	second := newInventory(t, declared)
	if err := second.Load(); err == nil {
		t.Error("without a memory, a device that is not there is no error")
	}
	second = newInventory(t, declared)
	second.options.Memory = memory
	if err := second.Load(); err != nil {
		t.Fatal(err)
	}
	want := was
	want.Up, want.Index = false, 0
	now := device1(second.Snapshot(), lab.Gateway, "sensor0")
	if d := cmp.Diff(want, now, cmp.Comparer(func(a, b sluice.Interface) bool { return interfaceText(a) == interfaceText(b) })); d != "" {
		t.Error(d)
	}

	// A device that was never seen is an error still.
	third := newInventory(t, append(declared, Declared{Netns: lab.Gateway, Device: "sesnor0"}))
	third.options.Memory = memory
	if err := third.Load(); err == nil {
		t.Error("a misspelt device is no error")
	}
}

func TestADamagedMemoryIsNone(t *testing.T) {
	_, declared := newLab(t)
	v := newInventory(t, declared)
	v.options.Memory = filepath.Join(t.TempDir(), "interfaces.json")
	if err := os.WriteFile(v.options.Memory, []byte(`[{"netns": 3`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.Load(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(v.options.Memory); err != nil || len(text) < 100 {
		t.Errorf("the memory was not written anew: %q, %v", text, err)
	}
}

func interfaceText(i sluice.Interface) string {
	return fmt.Sprintf("%+v", i)
}

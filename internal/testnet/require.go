package testnet

import (
	"fmt"
	"os"
	"sync/atomic"
)

// TB is the part of testing.TB that this package needs.
type TB interface {
	Helper()
	Skip(args ...any)
	Fatal(args ...any)
	Cleanup(func())
	Error(args ...any)
}

// RequireRoot skips a test that needs the kernel when it is not run as root. In
// CI, where a skip would hide it, it fails.
func RequireRoot(t TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("must be root: CI runs every test")
	}
	t.Skip("must be root to make network namespaces")
}

// serial tells the topologies of one process apart.
var serial atomic.Uint64

// UniquePrefix returns a prefix for names of namespaces that no other test of this
// machine uses at the same time: room, process id and a number.
func UniquePrefix(room string) string {
	return fmt.Sprintf("%s-%d-%d-", room, os.Getpid(), serial.Add(1))
}

// CreateForTest makes a topology that is removed when the test ends, however it
// ends.
func CreateForTest(t TB, topology Topology) {
	t.Helper()
	RequireRoot(t)
	t.Cleanup(func() {
		if err := topology.Remove(); err != nil {
			t.Error(err)
		}
	})
	if err := topology.Create(); err != nil {
		t.Fatal(err)
	}
}

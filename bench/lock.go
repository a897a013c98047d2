package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockBench makes sure that no other bench runs: it would remove this one's
// namespaces as those of a run that crashed, and disturb what is measured. The lock
// ends with the process.
func lockBench() (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(os.TempDir(), "sluice-bench.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errors.New("another bench is running")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock bench: %w", err), f.Close())
	}
	return f, nil
}

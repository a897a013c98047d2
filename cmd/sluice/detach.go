package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"sluice/datapath"
)

func detach(_ context.Context, s *shell, args []string) error {
	f := newFlags("sluice detach", "", "Takes the programs and the flow table of a server that no longer runs out of the\n"+
		"kernel: packets pass unfiltered. Its state on disk stays, and a new start filters again.")
	configFile := f.String("config", "", "configuration `FILE` of the server (default as for sluice env)")
	if _, err := f.parse(s, args, 0, 0); err != nil {
		return err
	}
	if err := s.needRoot("detach takes programs out of the kernel"); err != nil {
		return err
	}
	config, _, err := findConfig(*configFile, configSearch())
	if err != nil {
		return err
	}
	if owner, err := runningServer(config.StateDir); err != nil {
		return err
	} else if owner != 0 {
		return fmt.Errorf("the server still runs, process %d: stop it first", owner)
	}
	dir := pinDir(config.BPFFS, config.StateDir)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(s.stderr, "nothing to detach")
		return nil
	}
	if err := datapath.RemovePins(dir); err != nil {
		return err
	}
	fmt.Fprintf(s.stdout, "detached %s\n", dir)
	return nil
}

// runningServer returns the process that runs on a state directory, 0 when there
// is none.
func runningServer(stateDir string) (pid int, err error) {
	name := serveLock(stateDir)
	if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	lock, err := lockFile(name)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return lockOwner(name)
	}
	if err != nil {
		return 0, err
	}
	return 0, lock.Close()
}

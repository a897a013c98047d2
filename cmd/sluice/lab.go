package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sluice/daemon"
	"sluice/datapath"
	"sluice/internal/testnet"
)

// The addresses of a lab's server: those of the contract, since a lab stands in
// for a host of its own.
const (
	labAPI        = daemon.DefaultListen
	labAdmin      = daemon.DefaultAdmin
	labCloudShell = "127.0.0.1:8029"
	labWebAPI     = "127.0.0.1:9000"
)

// defaultLabDir is the default of --dir.
const defaultLabDir = "/run/sluice-lab"

// labOwner is the record of the directory that the host's lab belongs to: there is
// one lab, since the names of its namespaces are fixed, but --dir may be any.
const labOwner = "/run/sluice-lab.owner"

// serverStop bounds the wait for a server that was asked to stop.
const serverStop = 15 * time.Second

func newLabConfig(dir string) labConfig {
	return labConfig{Dir: dir, Network: testnet.Lab(testnet.LabPrefix), API: labAPI, Admin: labAdmin, CloudShell: labCloudShell, WebAPI: labWebAPI, Owner: labOwner}
}

// labFlags reads the command line that the lab's verbs share.
func labFlags(s *shell, args []string, verb, about string) (labConfig, error) {
	f := newFlags("sluice lab "+verb, "", about)
	dir := f.String("dir", defaultLabDir, "`DIR` for sluice.yaml and the server's state")
	if _, err := f.parse(s, args, 0, 0); err != nil {
		return labConfig{}, err
	}
	if err := s.needRoot("a lab is made of network namespaces"); err != nil {
		return labConfig{}, err
	}
	abs, err := filepath.Abs(*dir)
	if err != nil {
		return labConfig{}, fmt.Errorf("find directory of the lab: %w", err)
	}
	return newLabConfig(abs), nil
}

func labUp(_ context.Context, s *shell, args []string) error {
	config, err := labFlags(s, args, "up", "Builds four network namespaces: a gateway that forwards between client, server and\n"+
		"sensor. Prints what it made; the last line is the path of a configuration for sluice serve.")
	if err != nil {
		return err
	}
	return upLab(s, config)
}

func upLab(s *shell, config labConfig) error {
	if err := config.checkOwner(); err != nil {
		return err
	}
	status, err := readLab(config)
	if err != nil {
		return err
	}
	switch {
	case status.up():
		fmt.Fprintln(s.stderr, "the lab is up already")
	case status.absent():
		if err := createLab(config); err != nil {
			return err
		}
		if status, err = readLab(config); err != nil {
			return err
		}
	default:
		return errors.New("a part of a lab is there already: sluice lab down removes it")
	}
	return status.print(s)
}

func labDown(ctx context.Context, s *shell, args []string) error {
	config, err := labFlags(s, args, "down", "Stops the lab's server and removes the namespaces, the programs and maps in the kernel,\n"+
		"and the directory.")
	if err != nil {
		return err
	}
	return downLab(ctx, s, config)
}

func downLab(ctx context.Context, s *shell, config labConfig) error {
	if err := config.checkOwner(); err != nil {
		return err
	}
	pid, err := stopLabServer(ctx, config)
	if err != nil {
		return err
	}
	if pid != 0 {
		fmt.Fprintf(s.stdout, "stopped the server, process %d\n", pid)
	}
	if err := removeLab(config); err != nil {
		return err
	}
	fmt.Fprintln(s.stdout, "the lab is gone")
	return nil
}

func labStatus(_ context.Context, s *shell, args []string) error {
	config, err := labFlags(s, args, "status", "Says what there is of the lab. Exits with 1 when it is not up.")
	if err != nil {
		return err
	}
	return statusOfLab(s, config)
}

func statusOfLab(s *shell, config labConfig) error {
	if err := config.checkOwner(); err != nil {
		return err
	}
	status, err := readLab(config)
	if err != nil {
		return err
	}
	if status.absent() {
		return errors.New("the lab is not up")
	}
	if err := status.print(s); err != nil {
		return err
	}
	if !status.up() {
		return errors.New("the lab is not complete: sluice lab down removes what is left")
	}
	return nil
}

// createLab makes the namespaces and writes the configuration. The owner is
// recorded before anything is there that could have one.
func createLab(config labConfig) error {
	if err := config.recordOwner(); err != nil {
		return err
	}
	if err := os.MkdirAll(config.Dir, 0o755); err != nil {
		return fmt.Errorf("make directory of the lab: %w", err)
	}
	if err := config.Network.Create(); err != nil {
		return fmt.Errorf("make lab: %w", err)
	}
	// A device that finishes no checksums makes the kernel cut super-packets before
	// it, as the wire to a sensor would; between namespaces nothing else does.
	sensor := config.Network.Hosts()[2]
	if err := testnet.SetOffload(config.Network.Gateway, sensor.Link, false, testnet.TXChecksum); err != nil {
		return fmt.Errorf("make lab: %w", err)
	}
	var text bytes.Buffer
	if err := config.write(&text); err != nil {
		return fmt.Errorf("write %s: %w", config.ConfigFile(), err)
	}
	if err := os.WriteFile(config.ConfigFile(), text.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write configuration of the lab: %w", err)
	}
	return nil
}

// removeLab removes everything that createLab and a server of the lab have made.
// What is not there is no error.
func removeLab(config labConfig) error {
	err := errors.Join(
		datapath.RemovePins(pinDir(daemon.DefaultBPFFS, config.StateDir())),
		config.Network.Remove(),
		removeLabFiles(config),
	)
	if err != nil {
		return err // the record stays: what is left has an owner
	}
	return config.forgetOwner()
}

// removeLabFiles removes what belongs to the lab, and the directory if nothing
// else is in it: --dir may name one that people use otherwise.
func removeLabFiles(config labConfig) error {
	var errs []error
	for _, name := range []string{config.StateDir(), config.ConfigFile(), filepath.Join(config.Dir, "server.log"), filepath.Join(config.Dir, demoCapture), filepath.Join(config.Dir, demoLock)} {
		errs = append(errs, os.RemoveAll(name))
	}
	err := os.Remove(config.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// stopLabServer ends the server that runs on the lab's state, if there is one,
// and returns its pid.
func stopLabServer(ctx context.Context, config labConfig) (pid int, err error) {
	pid, err = runningServer(config.StateDir())
	if pid == 0 || err != nil {
		return 0, err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && err != syscall.ESRCH {
		return pid, fmt.Errorf("stop server, process %d: %w", pid, err)
	}
	deadline := time.Now().Add(serverStop)
	for {
		owner, err := runningServer(config.StateDir())
		if owner == 0 || err != nil {
			return pid, err
		}
		if time.Now().After(deadline) {
			return pid, fmt.Errorf("the lab's server, process %d, did not stop within %s", pid, serverStop)
		}
		select {
		case <-ctx.Done():
			return pid, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// labState is what there is of a lab.
type labState struct {
	config     labConfig
	ends       []testnet.EndStatus
	configured bool
}

func readLab(config labConfig) (labState, error) {
	ends, err := config.Network.Status()
	if err != nil {
		return labState{}, err
	}
	_, err = os.Stat(config.ConfigFile())
	return labState{config: config, ends: ends, configured: err == nil}, nil
}

func (l labState) up() bool {
	for _, e := range l.ends {
		if !e.Present {
			return false
		}
	}
	return l.configured
}

func (l labState) absent() bool {
	for _, e := range l.ends {
		if e.Present || testnet.NamespaceExists(e.Netns) {
			return false
		}
	}
	return true
}

// print writes the devices, and the path of the configuration as the last line.
func (l labState) print(s *shell) error {
	t := &table{columns: []column{{heading: "NAMESPACE"}, {heading: "DEVICE"}, {heading: "ADDRESSES"}, {heading: "MTU", right: true}, {heading: "STATE"}}}
	for _, e := range l.ends {
		state, mtu, addresses := "missing", "-", ""
		if e.Present {
			state, mtu = "down", strconv.Itoa(e.MTU)
		}
		if e.Up {
			state = "up"
		}
		for i, a := range e.Addresses {
			if i > 0 {
				addresses += " "
			}
			addresses += a.String()
		}
		t.add(e.Netns, e.Device, addresses, mtu, state)
	}
	if err := t.write(s.stdout, ""); err != nil {
		return err
	}
	_, err := fmt.Fprintln(s.stdout, l.config.ConfigFile())
	return err
}

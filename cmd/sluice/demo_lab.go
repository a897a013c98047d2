package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/testnet"
)

// demoDirs is where demos keep their files, one directory each.
const demoDirs = "/run/sluice-demo-*"

// serverStart bounds the wait for the demo's server; its budget is 1.5 s.
const serverStart = 20 * time.Second

// newDemoLab builds a lab that collides with no other: names, files, pins and
// ports are its own.
func newDemoLab(undo *cleanups) (labConfig, error) {
	// The process id tells people whose it is; what is random keeps apart those of
	// different process namespaces.
	dir, err := os.MkdirTemp(filepath.Dir(demoDirs), strings.Replace(filepath.Base(demoDirs), "*", strconv.Itoa(os.Getpid())+"-*", 1))
	if err != nil {
		return labConfig{}, fmt.Errorf("make directory of the demo: %w", err)
	}
	lock, err := lockFile(filepath.Join(dir, demoLock))
	if err != nil {
		return labConfig{}, errors.Join(err, os.RemoveAll(dir))
	}
	config := demoConfig(dir)
	undo.add("lab", func(context.Context) error { return errors.Join(removeLab(config), lock.Close()) })
	ports, err := freeAddresses(2)
	if err != nil {
		return config, err
	}
	config.API, config.Admin = ports[0], ports[1]
	return config, createLab(config)
}

// demoLock is the file that a running demo holds locked.
const demoLock = "demo.lock"

// demoConfig is the lab of a demo's directory: the names of its namespaces follow
// from it, so that a later run can sweep them away.
func demoConfig(dir string) labConfig {
	return labConfig{Dir: dir, Network: testnet.Lab(filepath.Base(dir) + "-")}
}

// sweepDemos removes what demos left that were killed.
func sweepDemos(s *shell) error {
	dirs, err := filepath.Glob(demoDirs)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		lock, err := lockFile(filepath.Join(dir, demoLock))
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, os.ErrNotExist) {
			continue // it runs, or it has just gone
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(s.stderr, "sluice: removing what an earlier demo left in %s\n", dir)
		if err := errors.Join(removeLab(demoConfig(dir)), lock.Close()); err != nil {
			return fmt.Errorf("remove an earlier demo: %w", err)
		}
	}
	return nil
}

// freeAddresses finds loopback addresses with ports that nobody listens on.
func freeAddresses(n int) ([]string, error) {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() // all are held until all are found, so that they differ
		out = append(out, l.Addr().String())
	}
	return out, nil
}

// startServer runs sluice serve as a process of its own, and returns the line
// that it prints when it is ready.
func startServer(ctx context.Context, config labConfig, undo *cleanups) (*testnet.Process, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", fmt.Errorf("find own binary: %w", err)
	}
	log, err := os.Create(filepath.Join(config.Dir, "server.log"))
	if err != nil {
		return nil, "", fmt.Errorf("make log of the server: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(self, "serve", "--config", config.ConfigFile())
	cmd.Stderr = log
	// A group of its own: ctrl-C is for the demo, which stops its server itself.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, "", fmt.Errorf("make pipe: %w", err)
	}
	defer out.Close()
	cmd.Stdout = in
	server, err := testnet.Start("", cmd)
	if err = errors.Join(err, in.Close()); err != nil {
		return nil, "", err
	}
	undo.add("server", func(ctx context.Context) error { return stopServer(ctx, server) })
	line, err := readyLine(ctx, out)
	if err != nil {
		text, readErr := os.ReadFile(log.Name())
		return nil, "", errors.Join(fmt.Errorf("start server: %w\n%s", err, tail(string(text), 10)), readErr)
	}
	return server, line, nil
}

// readyLine waits for the first line of a server's output.
func readyLine(ctx context.Context, out *os.File) (string, error) {
	stop := context.AfterFunc(ctx, func() { out.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := out.SetReadDeadline(time.Now().Add(serverStart)); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	switch {
	case err == io.EOF:
		return "", errors.New("it ended before it was ready")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", fmt.Errorf("it was not ready within %s", serverStart)
	}
	return strings.TrimSpace(line), err
}

// stopServer asks a server to stop, and kills it when it does not.
func stopServer(ctx context.Context, server *testnet.Process) error {
	select {
	case <-server.Done():
		return nil
	default:
	}
	if err := server.Cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-server.Done():
		return nil
	case <-ctx.Done():
	case <-time.After(cleanupTimeout / 2):
	}
	server.Kill()
	return errors.New("the server did not stop on SIGTERM and was killed")
}

package main

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/daemon"
	"sluice/internal/testnet"
)

// asBinary makes the test binary behave as sluice, so that the demo and the
// processes that it starts from its own executable are the code under test.
const asBinary = "SLUICE_TEST_AS_BINARY"

func TestMain(m *testing.M) {
	if os.Getenv(asBinary) != "" {
		main()
	}
	if os.Getenv(asHanging) != "" {
		mainWith(hangingCommands())
	}
	os.Exit(m.Run())
}

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}

// demoProcess is a demo that runs in a process group of its own.
type demoProcess struct {
	cmd    *exec.Cmd
	output syncBuffer
	ended  chan struct{}
	err    error
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func startDemo(t *testing.T) *demoProcess {
	t.Helper()
	return startDemoTo(t, func(*exec.Cmd) {})
}

func startDemoTo(t *testing.T, prepare func(*exec.Cmd)) *demoProcess {
	t.Helper()
	requireRoot(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := &demoProcess{cmd: exec.Command(self, "demo"), ended: make(chan struct{})}
	d.cmd.Env = append(os.Environ(), asBinary+"=1")
	d.cmd.Stdout, d.cmd.Stderr = &d.output, &d.output
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	prepare(d.cmd)
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.ended)
	}()
	t.Cleanup(func() {
		select {
		case <-d.ended:
		default:
			d.cmd.Process.Signal(syscall.SIGTERM)
			<-d.ended
		}
		if t.Failed() {
			t.Logf("the demo said:\n%s", d.output.String())
		}
	})
	return d
}

// wait waits for the end and returns the exit code.
func (d *demoProcess) wait(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-d.ended:
	case <-time.After(limit):
		t.Fatalf("the demo did not end within %s", limit)
	}
	var exit *exec.ExitError
	if d.err != nil && !errors.As(d.err, &exit) {
		t.Fatal(d.err)
	}
	return d.cmd.ProcessState.ExitCode()
}

// leftovers lists what a demo has left behind, wherever it can be.
func (d *demoProcess) leftovers(t *testing.T) []string {
	t.Helper()
	name := "sluice-demo-" + strconv.Itoa(d.cmd.Process.Pid) + "-"
	left, err := testnet.ListNamespaces(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"/run/" + name + "*", filepath.Join(daemon.DefaultBPFFS, "*"+name+"*")} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, files...)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		line, err := os.ReadFile(p)
		if err == nil && bytes.Contains(line, []byte(name)) { // an error: it has just ended
			left = append(left, p+": "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	for _, device := range []string{"client0", "server0", "sensor0"} {
		if _, err := net.InterfaceByName(device); err == nil {
			left = append(left, "device "+device)
		}
	}
	return left
}

func TestDemoHoldsAndLeavesNothingBehind(t *testing.T) {
	began := time.Now()
	d := startDemo(t)
	if code := d.wait(t, 90*time.Second); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	t.Logf("took %s", time.Since(began).Round(time.Millisecond))
	for _, want := range []string{"$ sluice flow capture", "$ sluice flow flush", "is reset after", "client.start_flow_capture(", "$ sluice mirror check", "packet by packet and byte by byte", "All of it held."} {
		if !strings.Contains(d.output.String(), want) {
			t.Errorf("the demo did not say %q", want)
		}
	}
	if left := d.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestDemoLeavesNothingBehindWhenItIsInterrupted(t *testing.T) {
	requireRoot(t)
	for i, after := range []time.Duration{5, 150, 400, 700, 1000, 1400} {
		// A part at random, so that the signal meets another moment in each run.
		after := after*time.Millisecond + time.Duration(rand.IntN(250))*time.Millisecond
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			d := startDemo(t)
			time.Sleep(after) // the moment is the test's parameter
			group := i%2 == 0
			// A terminal's ctrl-C, its end and its ctrl-\ go to the whole group.
			signal := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGTERM}[i]
			pid := d.cmd.Process.Pid
			if group {
				pid = -pid
			}
			if err := syscall.Kill(pid, signal); err != nil && err != syscall.ESRCH { // it may be over
				t.Fatal(err)
			}
			code := d.wait(t, cleanupTimeout+10*time.Second)
			t.Logf("%s to the group: %v, after %s: exit code %d", signal, group, after, code)
			// Before its first line it may not have asked for signals yet.
			early := d.output.String() == ""
			if code != exitFailed && !early && !strings.Contains(d.output.String(), "All of it held.") {
				t.Errorf("exit code %d", code)
			}
			if code == exitFailed && !early && !strings.Contains(d.output.String(), "Cleaning up after an interruption") {
				t.Error("the headline does not say that it was interrupted")
			}
			if left := d.leftovers(t); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestDemoLeavesNothingBehindWhenItsReaderLeaves(t *testing.T) {
	requireRoot(t)
	d := startDemoTo(t, func(cmd *exec.Cmd) {
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		out.Close()
		t.Cleanup(func() { in.Close() })
		cmd.Stdout = in
	})
	if code := d.wait(t, 90*time.Second); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if left := d.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestDemoRemovesWhatAKilledOneLeft(t *testing.T) {
	killed := startDemo(t)
	for !strings.Contains(killed.output.String(), "$ sluice firewall create") {
		select {
		case <-killed.ended:
			t.Fatal("the demo ended before it could be killed")
		case <-time.After(5 * time.Millisecond):
		}
	}
	if err := killed.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-killed.ended
	if left := killed.leftovers(t); len(left) == 0 {
		t.Fatal("the killed demo left nothing, so that this test proves nothing")
	}
	next := startDemo(t)
	if code := next.wait(t, 90*time.Second); code != exitOK {
		t.Errorf("exit code %d of the next demo", code)
	}
	if left := killed.leftovers(t); len(left) > 0 {
		t.Errorf("the next demo left behind of the killed one: %q", left)
	}
}

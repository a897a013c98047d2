package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// asHanging makes the test binary a verb that never ends by itself; the value says
// what it does with a second signal.
const asHanging = "SLUICE_TEST_AS_HANGING"

// hangingCommands is a verb that hangs while it stops.
func hangingCommands() []command {
	return []command{{name: "hang", run: func(ctx context.Context, s *shell, _ []string) error {
		if os.Getenv(asHanging) == "releasing" {
			s.endOnSecondSignal(ctx)
		}
		fmt.Fprintln(s.stdout, "began")
		<-ctx.Done()
		fmt.Fprintln(s.stdout, "stopping")
		select {}
	}}}
}

func TestASecondSignalEndsOnlyAVerbThatAllowsIt(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for kind, second := range map[string]syscall.Signal{"releasing": syscall.SIGTERM, "swallowing": syscall.SIGKILL} {
		t.Run(kind, func(t *testing.T) {
			cmd := exec.Command(self, "hang")
			cmd.Env = append(os.Environ(), asHanging+"="+kind)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			lines.Scan()
			cmd.Process.Signal(syscall.SIGINT)
			lines.Scan()
			if lines.Text() != "stopping" {
				t.Errorf("said %q", lines.Text())
			}
			// The release runs beside the verb: signals are sent until one works.
			ended := make(chan struct{})
			go func() { cmd.Wait(); close(ended) }()
			deadline := time.After(10 * time.Second)
			if kind == "swallowing" {
				deadline = time.After(300 * time.Millisecond)
			}
			for over := false; !over; {
				cmd.Process.Signal(syscall.SIGTERM)
				select {
				case <-ended:
					over = true
				case <-deadline:
					cmd.Process.Kill()
					<-ended
					over = true
				case <-time.After(10 * time.Millisecond):
				}
			}
			if got := cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(); got != second {
				t.Errorf("ended by %v, want %v", got, second)
			}
		})
	}
}

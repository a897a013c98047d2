package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// The exit codes that scripts rely on.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// shell is what a verb may touch of the process it runs in.
type shell struct {
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string
	euid   int // 0 is root
	// releaseSignals gives signals their usual effect back: the next one ends the
	// process at once. nil where the process takes no signals for the verb.
	releaseSignals func()
}

// endOnSecondSignal lets a second signal end the process at once, though the verb
// may hang while it stops.
func (s *shell) endOnSecondSignal(ctx context.Context) {
	if s.releaseSignals != nil {
		context.AfterFunc(ctx, s.releaseSignals)
	}
}

// needRoot refuses what only root may do, with the reason.
func (s *shell) needRoot(why string) error {
	if s.euid == 0 {
		return nil
	}
	return errors.New(why + ": run this as root (sudo)")
}

func main() { mainWith(commands()) }

// mainWith is the process: its signals, its streams and its exit code.
func mainWith(list []command) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(s) { // as under nohup
			signals = append(signals, s)
		}
	}
	// Signals beyond the first are swallowed, so that an impatient second ctrl-C
	// can't interrupt a verb that is cleaning up. A verb may give that up.
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	s := &shell{stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, euid: os.Geteuid(), releaseSignals: stop}
	code := runList(ctx, s, list, os.Args[1:])
	stop()
	os.Exit(code)
}

// run carries out a command line and returns the exit code.
func run(ctx context.Context, s *shell, args []string) int {
	return runList(ctx, s, commands(), args)
}

func runList(ctx context.Context, s *shell, list []command, args []string) int {
	err := dispatch(ctx, s, list, "sluice", args)
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(s.stderr, "sluice: %s\nTry: %s --help\n", usage.problem, usage.command)
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(s.stderr, "sluice: interrupted")
		return exitFailed
	}
	fmt.Fprintf(s.stderr, "sluice: %s\n", describeError(err))
	return exitFailed
}

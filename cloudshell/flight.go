package cloudshell

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"sluice/control"
)

// The bounds of commands.
const (
	maxRunning     = 64              // at a time
	commandTimeout = 5 * time.Minute // of one; none takes that long
	// undelivered is how long the outcome of a command is kept whose caller was gone
	// when it ended. Clients repeat a request one second after its connection broke.
	undelivered    = time.Minute
	maxUndelivered = 256
)

// flights are the commands that run. One that is asked for again, byte for byte with
// the same token, while it runs or before anybody was told how it ended, is not run
// again.
type flights struct {
	mu      sync.Mutex
	byKey   map[string]*flight
	running int
	wg      sync.WaitGroup
}

// flight is a command, running or ended.
type flight struct {
	id      string
	done    chan struct{}
	text    string // the output; after done
	err     error
	callers int // that start gave it to; guarded by flights.mu
}

// start runs a command to its end, whatever happens to ctx, or finds the flight that
// does so already.
func (f *flights) start(ctx context.Context, key, id string, run func(context.Context) (string, error)) (*flight, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if same, ok := f.byKey[key]; ok {
		same.callers++
		return same, nil
	}
	if f.running >= maxRunning {
		return nil, faultf(control.SandboxErrorGeneral, "%d commands are running; try again later", maxRunning)
	}
	if f.byKey == nil {
		f.byKey = map[string]*flight{}
	}
	one := &flight{id: id, done: make(chan struct{}), callers: 1}
	f.byKey[key] = one
	f.running++
	f.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
		defer cancel()
		one.text, one.err = guarded(ctx, run)
		f.ended(key, one)
	})
	return one, nil
}

// guarded turns a panic into an error: a command has no handler above it.
func guarded(ctx context.Context, run func(context.Context) (string, error)) (text string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("run command: panic: %v\n%s", r, debug.Stack())
		}
	}()
	return run(ctx)
}

func (f *flights) ended(key string, one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running--
	close(one.done)
	if len(f.byKey)-f.running > maxUndelivered {
		delete(f.byKey, key)
		return
	}
	time.AfterFunc(undelivered, func() { f.forget(key, one) })
}

// forget lets an equal request run again.
func (f *flights) forget(key string, one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byKey[key] == one {
		delete(f.byKey, key)
	}
}

// callers is how many requests wait for, or have waited for, what is in flight.
func (f *flights) callers() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.byKey {
		n += one.callers
	}
	return n
}

// wait returns when no command runs.
func (f *flights) wait(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		f.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for commands: %w", ctx.Err())
	}
}

package cloudshell

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"sluice/control"
)

// The bounds of commands.
const (
	maxRunning     = 64              // at a time
	maxRunningOf   = 16              // at a time, of one user: others have some left
	commandTimeout = 5 * time.Minute // of one; none takes that long
	// undelivered is how long the outcome of a command is kept whose caller was gone
	// when it ended. Clients repeat a request one second after its connection broke,
	// and twice; what comes later is meant to run.
	undelivered    = 5 * time.Second
	maxUndelivered = 256
)

// flights are the commands that run. One that is asked for again, byte for byte with
// the same token, while it runs or before anybody was told how it ended, is not run
// again. An outcome that nobody was told is kept for a moment, and no longer than until
// another command of the same token begins in the same sandbox: then its caller goes on,
// and it may not be true any more. Commands of others say nothing about the caller.
type flights struct {
	mu      sync.Mutex
	byKey   map[string]*flight // that an equal request joins
	running int                // also those that are no longer in byKey
	byUser  map[string]int     // those of running, by the user's name in lower case
	wg      sync.WaitGroup
}

// errand says whose command it is, and where it runs.
type errand struct {
	user      string
	token     string // of the log-on that sent it
	key       string // of the request; an equal one has the same
	sandboxID string
	id        string // that the caller is told of; "": of none
}

// flight is a command, running or ended.
type flight struct {
	errand
	done    chan struct{}
	text    string // the output; after done
	err     error
	ended   bool // guarded by flights.mu
	callers int  // that start gave it to; guarded by flights.mu
}

// start runs a command to its end, whatever happens to ctx, or finds the flight that does
// so already.
func (f *flights) start(ctx context.Context, e errand, run func(context.Context) (string, error)) (*flight, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if same, ok := f.byKey[e.key]; ok {
		same.callers++
		return same, nil
	}
	if f.running >= maxRunning {
		return nil, faultf(control.SandboxErrorGeneral, "%d commands are running; try again later", maxRunning)
	}
	user := strings.ToLower(e.user)
	if f.byUser[user] >= maxRunningOf {
		return nil, faultf(control.SandboxErrorGeneral, "%d commands of user '%s' are running; try again later", maxRunningOf, user)
	}
	// Only now: a command that is refused changes nothing.
	for other, kept := range f.byKey {
		if kept.ended && kept.token == e.token && kept.sandboxID == e.sandboxID {
			delete(f.byKey, other)
		}
	}
	if f.byKey == nil {
		f.byKey, f.byUser = map[string]*flight{}, map[string]int{}
	}
	one := &flight{errand: e, done: make(chan struct{}), callers: 1}
	f.byKey[e.key] = one
	f.running++
	f.byUser[user]++
	f.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
		defer cancel()
		one.text, one.err = guarded(ctx, run)
		f.ended(user, e.key, one)
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

func (f *flights) ended(user, key string, one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running--
	if f.byUser[user]--; f.byUser[user] == 0 {
		delete(f.byUser, user)
	}
	one.ended = true
	close(one.done)
	if f.byKey[key] == one { // it has not been answered before it ended
		f.linger(key, one)
	}
}

// linger keeps the outcome of a command for a while. f.mu is held.
func (f *flights) linger(key string, one *flight) {
	kept := 0
	for _, other := range f.byKey {
		if other.ended {
			kept++
		}
	}
	if kept > maxUndelivered {
		delete(f.byKey, key)
		return
	}
	time.AfterFunc(undelivered, func() { f.forget(key, one) })
}

// keep takes a command up again that was forgotten for an answer that didn't get out.
func (f *flights) keep(key string, one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, taken := f.byKey[key]; taken { // by itself, or by its repetition
		return
	}
	f.byKey[key] = one
	if one.ended {
		f.linger(key, one)
	}
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

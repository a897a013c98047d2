package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// tasks run until their context ends. The first that fails, or ends too early,
// ends them all.
type tasks struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	failure error
}

func newTasks(ctx context.Context) *tasks {
	t := &tasks{}
	t.ctx, t.cancel = context.WithCancel(ctx)
	return t
}

// start runs a task beside the others.
func (t *tasks) start(name string, run func(context.Context) error) {
	t.wg.Go(func() {
		err := run(t.ctx)
		stopping := t.ctx.Err() != nil
		if stopping && (err == nil || errors.Is(err, context.Canceled)) {
			return
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		t.fail(fmt.Errorf("%s: %w", name, err))
	})
}

func (t *tasks) fail(err error) {
	t.mu.Lock()
	if t.failure == nil {
		t.failure = err
	}
	t.mu.Unlock()
	t.cancel()
}

// stop ends the tasks, waits for them and returns the first failure.
func (t *tasks) stop() error {
	t.cancel()
	t.wg.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failure
}

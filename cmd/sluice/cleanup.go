package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// cleanupTimeout bounds all cleaning up after a verb, however it ended.
const cleanupTimeout = 20 * time.Second

// cleanups are what has to be undone, last first.
type cleanups struct{ list []cleanup }

type cleanup struct {
	what string
	undo func(context.Context) error
}

func (c *cleanups) add(what string, undo func(context.Context) error) {
	c.list = append(c.list, cleanup{what, undo})
}

// run undoes everything, though some of it may fail. It has a context of its own,
// since the verb's is over when a signal ended it.
func (c *cleanups) run() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	var errs []error
	for len(c.list) > 0 {
		last := c.list[len(c.list)-1]
		c.list = c.list[:len(c.list)-1]
		if err := last.undo(ctx); err != nil {
			errs = append(errs, fmt.Errorf("clean up %s: %w", last.what, err))
		}
	}
	return errors.Join(errs...)
}

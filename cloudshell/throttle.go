package cloudshell

import (
	"sync"
	"time"
)

// How failed log-ons slow down: some mistakes are free, then the wait doubles, up to a
// bound.
const (
	freeFailures  = 3
	firstDelay    = 250 * time.Millisecond
	maxDelay      = 4 * time.Second
	failureMemory = 10 * time.Minute
	maxFailures   = 4096 // users and addresses that are remembered
)

// throttle counts failed log-ons by user and by address.
type throttle struct {
	mu    sync.Mutex
	fails map[string]failures
}

type failures struct {
	count int
	last  time.Time
}

// delay is how long a log-on has to wait before its password is looked at.
func (t *throttle) delay(now time.Time, keys ...string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var most time.Duration
	for _, key := range keys {
		f := t.fails[key]
		if f.count < freeFailures || now.Sub(f.last) >= failureMemory {
			continue
		}
		d := maxDelay
		if shift := f.count - freeFailures; shift < 8 {
			d = min(maxDelay, firstDelay<<shift)
		}
		most = max(most, d)
	}
	return most
}

// failed counts a log-on that failed.
func (t *throttle) failed(now time.Time, keys ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fails == nil {
		t.fails = map[string]failures{}
	}
	for _, key := range keys {
		f, known := t.fails[key]
		if !known && len(t.fails) >= maxFailures {
			t.makeRoom(now)
		}
		if now.Sub(f.last) >= failureMemory {
			f.count = 0
		}
		t.fails[key] = failures{f.count + 1, now}
	}
}

// succeeded forgets the failures of those who have logged on.
func (t *throttle) succeeded(keys ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		delete(t.fails, key)
	}
}

func (t *throttle) makeRoom(now time.Time) {
	var oldest string
	var first time.Time
	for key, f := range t.fails {
		if now.Sub(f.last) >= failureMemory {
			delete(t.fails, key)
		} else if first.IsZero() || f.last.Before(first) {
			oldest, first = key, f.last
		}
	}
	if len(t.fails) >= maxFailures {
		delete(t.fails, oldest)
	}
}

package inventory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"sluice"
)

// Declared is an interface that the configuration names. What is empty is derived.
type Declared struct {
	Device           string
	Netns            string // "" is the host's own
	AvailabilityZone string
	SubnetID         string
	InstanceID       string
	Firewall         *bool // nil: where the namespace forwards packets
}

// Options are what an Inventory is made of.
type Options struct {
	HostID   string // see HostID
	Hostname string // the name of the host's own instance
	Region   string
	// Declared are the interfaces that are in, and no others. nil is every device of
	// the host's own namespace that has an address beyond its link, but loopback.
	Declared []Declared
	// Memory is a file in which the devices are kept with their ids, so that a start is
	// no error while a declared one that was there before is away, and one that comes
	// back is the same interface. "" is none.
	Memory string
	// MemoryReadOnly says that Memory is read and not written.
	MemoryReadOnly bool
	Logger         *slog.Logger
}

// Inventory watches the devices of a host. It is safe for concurrent use.
type Inventory struct {
	options Options

	mu       sync.Mutex
	seen     map[string]namespaceState // the last readings by namespace
	known    []remembered              // every device and its id: see identify
	snapshot sluice.Inventory
	changed  chan struct{}
	written  []byte // what Memory holds
}

// New makes an Inventory that is empty until Load.
func New(o Options) *Inventory {
	return &Inventory{options: o, seen: map[string]namespaceState{}, changed: make(chan struct{})}
}

// settle is how long a burst of kernel messages is gathered before the devices are
// read again: setting up one device alone sends half a dozen.
const settle = 10 * time.Millisecond

// retry is how soon a reading that failed is tried again, and how often the names
// of namespaces are looked at.
const retry = time.Second

// Load reads the devices for the first time. A declared one that is not there is
// an error, which names all such and what there is instead, unless an earlier
// process has seen it; from then on a device that disappears stays in the inventory
// as one that is not up.
func (v *Inventory) Load() error {
	var errs []error
	known := v.recall()
	recalled := v.readings(known)
	v.mu.Lock()
	v.known = known
	v.mu.Unlock()
	for _, name := range v.namespaces() {
		state, err := readNamespace(name)
		if err != nil {
			return fmt.Errorf("load inventory: %w", err)
		}
		state = state.after(recalled[name], name, v.options.Declared)
		errs = append(errs, state.missing(name, v.options.Declared)...)
		for _, d := range state.away(name, v.options.Declared) {
			v.options.Logger.Warn("interface is not there; its firewalls and mirror sessions wait for it", "netns", name, "device", d)
		}
		v.mu.Lock()
		v.seen[name] = state
		v.mu.Unlock()
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	v.publish()
	if len(v.Snapshot().Interfaces) == 0 {
		v.options.Logger.Warn("no device of this host has an address: there is nothing to attach a firewall to")
	}
	return nil
}

// Run keeps the inventory up to date until ctx is cancelled. Load comes first.
func (v *Inventory) Run(ctx context.Context) error {
	dirty := make(chan string, 1)
	var watches sync.WaitGroup
	defer watches.Wait()
	for _, name := range v.namespaces() {
		watches.Go(func() { watchNamespace(ctx, name, dirty, v.options.Logger) })
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case name := <-dirty:
			if !v.reread(ctx, name, dirty) {
				return nil
			}
		}
	}
}

// reread reads a namespace again, and those that change meanwhile. It is false
// when ctx ended first.
func (v *Inventory) reread(ctx context.Context, name string, dirty chan string) bool {
	names := map[string]bool{name: true}
	timer := time.NewTimer(settle)
	defer timer.Stop()
	for gathering := true; gathering; {
		select {
		case <-ctx.Done():
			return false
		case more := <-dirty:
			names[more] = true
		case <-timer.C:
			gathering = false
		}
	}
	for name := range names {
		state, err := readNamespace(name)
		if err != nil {
			v.options.Logger.Warn("can't read devices; the last reading stays for now", "netns", name, "error", err)
			time.AfterFunc(retry, func() {
				select {
				case dirty <- name:
				case <-ctx.Done():
				}
			})
			continue
		}
		v.mu.Lock()
		old := v.seen[name]
		state = state.after(old, name, v.options.Declared)
		v.seen[name] = state
		v.mu.Unlock()
		v.report(name, old.away(name, v.options.Declared), state.away(name, v.options.Declared))
	}
	v.publish()
	return true
}

// report logs the declared devices that have gone or come back.
func (v *Inventory) report(netns string, before, now []string) {
	for _, d := range now {
		if !slices.Contains(before, d) {
			v.options.Logger.Warn("interface has gone; its firewalls and mirror sessions wait for it", "netns", netns, "device", d)
		}
	}
	for _, d := range before {
		if !slices.Contains(now, d) {
			v.options.Logger.Info("interface is back", "netns", netns, "device", d)
		}
	}
}

// publish derives the inventory from the readings, and tells when it differs.
func (v *Inventory) publish() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known = identify(v.options, v.seen, v.known)
	v.remember()
	next := derive(v.options, v.seen, v.known)
	if reflect.DeepEqual(next, v.snapshot) {
		return
	}
	v.snapshot = next
	close(v.changed)
	v.changed = make(chan struct{})
}

// Snapshot returns the inventory as it is now. It must not be modified.
func (v *Inventory) Snapshot() sluice.Inventory {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.snapshot
}

// Changed returns a channel that is closed when Snapshot has changed since.
func (v *Inventory) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

// namespaces returns each namespace to look into once.
func (v *Inventory) namespaces() []string {
	if v.options.Declared == nil {
		return []string{""}
	}
	var names []string
	known := map[string]bool{}
	for _, d := range v.options.Declared {
		if !known[d.Netns] {
			known[d.Netns] = true
			names = append(names, d.Netns)
		}
	}
	return names
}

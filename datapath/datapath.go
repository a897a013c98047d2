package datapath

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
)

var errClosed = errors.New("datapath is closed")

// Options are what Open needs.
type Options struct {
	// Dir is a directory on a BPF file system, made if it is not there. All pins of
	// this installation lie in it, and nothing else may.
	Dir string
	// MaxFlows is how many flows the table holds, from 1024 to 1<<26. The default is
	// 1<<20. With another number than before, Open makes a new, empty table.
	MaxFlows uint64
	// CopyPercent is how much of each processor's time copying may take, 1 to 100 percent;
	// what would take more is not copied, and counted as capped, unless the processor would
	// be idle. TruncatedCopyPercent is the same for copies that have to be truncated to the
	// path to their target, and bounds them besides. 100 is no bound; so is 0.
	CopyPercent, TruncatedCopyPercent int
	Logger                            *slog.Logger
}

// The bounds of Options.MaxFlows.
const (
	MaxFlowsDefault = 1 << 20
	MaxFlowsMin     = 1 << 10
	MaxFlowsMax     = 1 << 26
)

// Datapath is the firewall programs and the flow table of one host. Its methods are
// safe for concurrent use.
type Datapath struct {
	dir string
	log *slog.Logger

	// open is held by all that read the table's memory, and by Close alone while it
	// takes it away.
	open sync.RWMutex
	*table
	mirrors *mirrorTable
	watch   *watcher
	cache   scanCache

	mu      sync.Mutex // of Apply, Close and what follows
	adopted bool       // Apply has been through all links since Open
	// followed holds the namespaces that are watched for endpoints and for mirrors.
	followed [2][]string
}

// Open takes up the table and the programs that run under o.Dir, or makes an empty
// table. No packet is missed by what runs already. It fails with a clear error where
// the kernel, the rights or the file system don't do.
func Open(o Options) (*Datapath, error) {
	if o.MaxFlows == 0 {
		o.MaxFlows = MaxFlowsDefault
	}
	if o.MaxFlows < MaxFlowsMin || o.MaxFlows > MaxFlowsMax {
		return nil, fmt.Errorf("open datapath: max_flows is %d, want %d to %d", o.MaxFlows, MaxFlowsMin, MaxFlowsMax)
	}
	prices, err := newCopyPrices(o.CopyPercent, o.TruncatedCopyPercent)
	if err != nil {
		return nil, fmt.Errorf("open datapath: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := checkKernel(o.Dir); err != nil {
		return nil, fmt.Errorf("open datapath: %w", err)
	}
	t, err := openTable(o.Dir, o.MaxFlows, o.Logger)
	if err != nil {
		return nil, fmt.Errorf("open datapath: %w", err)
	}
	d := &Datapath{dir: o.Dir, log: o.Logger, table: t}
	if err := d.table.startCleaner(); err != nil {
		return nil, errors.Join(fmt.Errorf("open datapath: %w", err), t.close())
	}
	if d.mirrors, err = openMirrors(o.Dir, copyMark(&t.layout), o.Logger); err != nil {
		return nil, errors.Join(fmt.Errorf("open datapath: %w", err), t.close())
	}
	d.mirrors.prices = prices
	d.watch = newWatcher(o.Logger)
	return d, nil
}

// Changed delivers a value after a device or a namespace of the applied endpoints has
// come, gone or been renamed, or a device has got another master or parent.
func (d *Datapath) Changed() <-chan struct{} { return d.watch.changed }

// Close lets go of everything. What is pinned goes on: the programs filter and count.
func (d *Datapath) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watch.close()
	d.open.Lock()
	defer d.open.Unlock()
	if d.mem == nil {
		return nil
	}
	return errors.Join(d.table.close(), d.mirrors.close())
}

// What namespaces are watched for.
const (
	followEndpoints = iota
	followMirrors
)

// follow watches the namespaces of endpoints and mirrors, one half of which are these.
func (d *Datapath) follow(half int, names []string) {
	d.followed[half] = names
	d.watch.follow(slices.Concat(d.followed[:]...))
}

// Remove detaches all programs and deletes the table with its flows, then closes.
func (d *Datapath) Remove() error {
	closed := d.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(closed, RemovePins(d.dir))
}

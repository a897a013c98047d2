package datapath

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice"
)

// flushGrace is how long the programs may take with a flow that they found before it
// was marked. They run with preemption off and take microseconds.
const flushGrace = 10 * time.Millisecond

// touchEvery is how often a slow flush tells the kernel's cleaner that it is alive,
// which takes marked entries after FLUSHED_GRACE_SECONDS.
const touchEvery = time.Second

// Capture calls emit with the flows of an endpoint that the selection holds, in blocks
// of at most a few thousand and never two at a time. Neither closed nor timed out nor
// flushed flows are among them. It reads the table in place while packets change it:
// each flow is consistent in itself, all of them together are no snapshot. When ctx
// ends or emit fails, it stops and returns that error.
func (d *Datapath) Capture(ctx context.Context, endpointID string, s sluice.FlowSelection, emit func(sluice.FlowBlock) error) error {
	d.open.RLock()
	defer d.open.RUnlock()
	slot, now, err := d.begin(endpointID)
	if err != nil {
		return fmt.Errorf("capture flows of %s: %w", endpointID, err)
	}
	f := compile(s, slot)
	out := newEmitter(emit)
	err = d.mem.scan(ctx, &f, func(worker int, bucket uint32, slot uint8) error {
		var flow firewallFlow
		if !d.mem.read(bucket, slot, &flow) || !f.holds(&flow, now) || closed(&flow) {
			return nil
		}
		return out.add(worker, export(&flow, now))
	})
	if err == nil {
		err = out.flush()
	}
	if err != nil {
		return fmt.Errorf("capture flows of %s: %w", endpointID, err)
	}
	return nil
}

// Flush marks the flows of an endpoint that the selection holds, so that their packets
// belong to no flow from then on, waits until no packet is in the middle of one,
// removes them, and calls emit with what they came to. When ctx ends before all are
// marked, what is marked is removed and emitted, and ctx's error returned. When emit
// fails, the rest is removed without it. It fails, too, where a flow was cut off but could
// not be emitted because this process had been stopped for seconds.
func (d *Datapath) Flush(ctx context.Context, endpointID string, s sluice.FlowSelection, emit func(sluice.FlowBlock) error) error {
	d.open.RLock()
	defer d.open.RUnlock()
	slot, now, err := d.begin(endpointID)
	if err != nil {
		return fmt.Errorf("flush flows of %s: %w", endpointID, err)
	}
	f := compile(s, slot)
	marked, err := d.markFlows(ctx, &f, now)
	if cutErr := d.cut(marked, emit); err == nil {
		err = cutErr
	}
	if err != nil {
		return fmt.Errorf("flush flows of %s: %w", endpointID, err)
	}
	return nil
}

// begin returns what both operations start from.
func (d *Datapath) begin(endpointID string) (slot uint16, now uint64, err error) {
	if d.mem == nil {
		return 0, 0, errClosed
	}
	n, ok := d.slotOf(endpointID)
	if !ok {
		return 0, 0, fmt.Errorf("find endpoint %s: not on this host", endpointID)
	}
	now, err = monotonic()
	return uint16(n), now, err
}

func (d *Datapath) markFlows(ctx context.Context, f *filter, now uint64) ([]entry, error) {
	parts := make([][]entry, scanWorkers())
	err := d.mem.scan(ctx, f, func(worker int, bucket uint32, slot uint8) error {
		var flow firewallFlow
		if !d.mem.read(bucket, slot, &flow) || !f.holds(&flow, now) {
			return nil
		}
		// What was taken for closed may go on: a flush is to leave nothing of it.
		e := entry{bucket: bucket, slot: slot, generation: flow.Generation, closed: closed(&flow)}
		if d.mem.mark(e, uint32(now/uint64(time.Second))) {
			parts[worker] = append(parts[worker], e)
		}
		return nil
	})
	return slices.Concat(parts...), err
}

// cut removes marked entries and emits them. Where one was gone before it could be read,
// what was emitted is short of it, and cut fails.
func (d *Datapath) cut(marked []entry, emit func(sluice.FlowBlock) error) error {
	if len(marked) == 0 {
		return nil
	}
	var done atomic.Int64 // how many of marked have been removed
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := make(chan struct{})
	defer close(stop)
	all := marked
	wg.Go(func() { d.mem.hold(all, &done, stop) })
	time.Sleep(flushGrace)
	var failed error
	lost := 0
	for len(marked) > 0 {
		n := min(len(marked), blockFlows)
		now, err := monotonic()
		if err != nil {
			return err
		}
		block := make(sluice.FlowBlock, 0, n)
		for _, e := range marked[:n] {
			var flow firewallFlow
			switch read := d.mem.read(e.bucket, e.slot, &flow) && flow.Generation == e.generation; {
			case read && !e.closed:
				block = append(block, export(&flow, now))
			case !e.closed:
				lost++
			}
			d.mem.free(e)
		}
		marked = marked[n:]
		done.Add(int64(n))
		if failed == nil && len(block) > 0 {
			failed = emit(block)
		}
	}
	if lost > 0 {
		failed = errors.Join(failed, fmt.Errorf("%d flows were flushed, but gone before they were read", lost))
	}
	return failed
}

// hold touches marked entries, from the done-th on, at once and each second, however long
// the receiver of the others takes, until stop is closed.
func (m *memory) hold(marked []entry, done *atomic.Int64, stop <-chan struct{}) {
	t := time.NewTicker(touchEvery)
	defer t.Stop()
	for {
		// Entries that are lost without a clock are told of by who misses them.
		if now, err := monotonic(); err == nil {
			for _, e := range marked[done.Load():] {
				m.touch(e, uint32(now/uint64(time.Second)))
			}
		}
		select {
		case <-stop:
			return
		case <-t.C:
		}
	}
}

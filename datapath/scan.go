package datapath

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"sluice"
)

const (
	// scanStride is how many buckets a goroutine takes at a time.
	scanStride = 2048
	// blockFlows is the most flows that emit gets at once.
	blockFlows = 4096
)

// scan calls visit for every entry whose key the filter holds, from several
// goroutines; worker is below scanWorkers(). It ends early with ctx's error and with
// visit's.
func (m *memory) scan(ctx context.Context, f *filter, visit func(worker int, bucket uint32, slot uint8) error) error {
	if len(f.matches) == 0 {
		return ctx.Err()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Uint64
	var wg sync.WaitGroup
	for worker := range scanWorkers() {
		wg.Go(func() {
			for ctx.Err() == nil {
				from := next.Add(scanStride) - scanStride
				if from >= uint64(len(m.tags)) {
					return
				}
				to := min(from+scanStride, uint64(len(m.tags)))
				if err := m.scanBuckets(f, worker, uint32(from), uint32(to), visit); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func scanWorkers() int { return runtime.GOMAXPROCS(0) }

func (m *memory) scanBuckets(f *filter, worker int, from, to uint32, visit func(int, uint32, uint8) error) error {
	for b := from; b < to; b++ {
		tags, flows := &m.tags[b].Tag, &m.flows[b].Flow
		for s := range tags {
			if atomic.LoadUint32(&tags[s]) < tagFirst || !f.holdsKey(keyWords(&flows[s])) {
				continue
			}
			if err := visit(worker, b, uint8(s)); err != nil {
				return err
			}
		}
	}
	return nil
}

// emitter gathers flows by worker and hands them on in blocks, one at a time.
type emitter struct {
	mu     sync.Mutex
	emit   func(sluice.FlowBlock) error
	blocks []sluice.FlowBlock
}

func newEmitter(emit func(sluice.FlowBlock) error) *emitter {
	return &emitter{emit: emit, blocks: make([]sluice.FlowBlock, scanWorkers())}
}

// add hands over a worker's block when it is full. The block is the receiver's then.
func (e *emitter) add(worker int, f sluice.Flow) error {
	e.blocks[worker] = append(e.blocks[worker], f)
	if len(e.blocks[worker]) < blockFlows {
		return nil
	}
	return e.send(worker)
}

func (e *emitter) send(worker int) error {
	block := e.blocks[worker]
	e.blocks[worker] = nil
	if len(block) == 0 {
		return nil
	}
	if len(block) == blockFlows {
		// There will be more: the next one needn't grow.
		e.blocks[worker] = make(sluice.FlowBlock, 0, blockFlows)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.emit(block)
}

// flush hands over what is left.
func (e *emitter) flush() error {
	for worker := range e.blocks {
		if err := e.send(worker); err != nil {
			return err
		}
	}
	return nil
}

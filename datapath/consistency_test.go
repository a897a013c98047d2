package datapath

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"sluice"
)

// Packets on several CPUs, captures, flushes, time-outs and the cleaner, all at once on
// a table that is too small; then nothing may be counted wrong or be there twice.
func TestTableStaysConsistentUnderEverything(t *testing.T) {
	p := testPolicy()
	p.StreamException = sluice.StreamExceptionContinue
	r := newRig(t, MaxFlowsMin, p)
	deadline := time.Now().Add(3 * time.Second)
	var wg sync.WaitGroup
	var cut atomic.Uint64
	for worker := range uint64(4) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(worker, 1))
			for time.Now().Before(deadline) {
				n := uint32(random.IntN(3000))
				frame := numbered(n, random.IntN(2) == 0)
				if random.IntN(50) == 0 { // RST of the SYN's flow, or of none
					frame = numbered(n, true)
					frame[14+20+13] = flagRST
				}
				if _, err := r.ingress.Run(&ebpf.RunOptions{Data: frame}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for time.Now().Before(deadline) {
			f := sluice.FlowFilter{SourceAddress: "10.0.0.0/21", Protocols: []string{"17"}}
			cut.Add(uint64(len(flushAll(t, r.Datapath, f))))
			r.capture()
		}
	})
	wg.Wait()
	if cut.Load() == 0 || r.mem.state.Reclaimed == 0 || r.mem.state.Refused == 0 {
		t.Errorf("too little happened: %d cut, %+v", cut.Load(), *r.mem.state)
	}
	t.Logf("%d cut, %+v", cut.Load(), *r.mem.state)
	await(t, "the table adds up", 5*time.Second, func() bool {
		used := atomic.LoadUint64(&r.mem.state.Used)
		var n uint64
		for b := range r.mem.tags {
			n += uint64(r.mem.used(uint32(b)))
		}
		return n == used && atomic.LoadUint64(&r.mem.state.Used) == used
	})
	seen := map[[5]uint64]bool{}
	for b := range r.mem.tags {
		for s := range r.mem.tags[b].Tag {
			var f firewallFlow
			if !r.mem.read(uint32(b), uint8(s), &f) {
				continue
			}
			k := *keyWords(&f)
			b1, b2, tag := placeOf(&r.layout, &k)
			if got := atomic.LoadUint32(r.mem.tag(uint32(b), uint8(s))); got != tag || uint32(b) != b1 && uint32(b) != b2 {
				t.Errorf("%v lies in bucket %d with tag %x, want %d or %d with %x", k, b, got, b1, b2, tag)
			}
			if f.Status&statusGone != 0 {
				continue
			}
			if seen[k] {
				t.Errorf("%v is there twice", k)
			}
			seen[k] = true
		}
	}
}

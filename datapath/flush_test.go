package datapath

import (
	"strings"
	"testing"
	"time"

	"sluice"
)

// TestASlowReceiverLosesNoFlushedFlow takes longer over the first block than the kernel's
// cleaner leaves marked entries alone.
func TestASlowReceiverLosesNoFlushedFlow(t *testing.T) {
	t.Parallel() // it waits for seconds
	r := newRig(t, 1<<14, testPolicy())
	const flows = 2*blockFlows + 100
	if n, err := r.Seed(testEndpoint, manyFlows(flows)); n != flows || err != nil {
		t.Fatal(n, err)
	}
	got := 0
	err := r.Flush(t.Context(), testEndpoint, selection(t), func(b sluice.FlowBlock) error {
		if got == 0 {
			// Both passes of the cleaner take seconds beside the time that it waits.
			time.Sleep(11 * time.Second)
		}
		got += len(b)
		return nil
	})
	if err != nil || got != flows {
		t.Errorf("%d flows, %v; want %d", got, err, flows)
	}
	if left := len(r.capture()); left != 0 {
		t.Errorf("%d flows are left", left)
	}
}

func TestAFlushedFlowThatIsGoneIsAnError(t *testing.T) {
	r := newRig(t, MaxFlowsMin, testPolicy())
	if n, err := r.Seed(testEndpoint, manyFlows(10)); n != 10 || err != nil {
		t.Fatal(n, err)
	}
	_, now, err := r.begin(testEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	f := compile(selection(t), uint16(r.slot))
	marked, err := r.markFlows(t.Context(), &f, now)
	if err != nil || len(marked) != 10 {
		t.Fatal(len(marked), err)
	}
	r.mem.free(marked[3])
	got := 0
	err = r.cut(marked, func(b sluice.FlowBlock) error {
		got += len(b)
		return nil
	})
	if got != 9 || err == nil || !strings.Contains(err.Error(), "1 flows were flushed, but gone") {
		t.Errorf("%d flows, error %v; want 9 and that one was gone", got, err)
	}
}

func TestAFlowThatTookThePlaceIsNotMarked(t *testing.T) {
	r := newRig(t, MaxFlowsMin, testPolicy())
	if n, err := r.Seed(testEndpoint, manyFlows(1)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	_, now, err := r.begin(testEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	f := compile(selection(t), uint16(r.slot))
	marked, err := r.markFlows(t.Context(), &f, now)
	if err != nil || len(marked) != 1 {
		t.Fatal(len(marked), err)
	}
	if r.mem.mark(marked[0], 0) {
		t.Error("a flow was marked twice")
	}
	marked[0].generation++
	if r.mem.mark(marked[0], 0) {
		t.Error("a flow that is another one was marked")
	}
}

package agent

import (
	"context"

	"sluice"
)

// Datapath is the packet side of one host; package datapath implements it.
type Datapath interface {
	// Apply makes the kernel carry exactly these endpoints, with their policies,
	// and says how far it came. An interface whose device is absent is reported as
	// missing. It is idempotent: what is right already is not touched.
	Apply(ctx context.Context, endpoints []sluice.Endpoint) []sluice.EndpointStatus
	// ApplyMirrors makes the kernel mirror exactly these sources, and says how far it
	// came. Like Apply it is idempotent, and packets meet the old sessions of a source or
	// the new ones, never a mixture.
	ApplyMirrors(ctx context.Context, sources []sluice.MirrorSource) []sluice.MirrorSourceStatus
	// Capture calls emit with the live flows of an endpoint that the selection
	// holds: neither closed, nor expired, nor flushed. It ends early with ctx's
	// error, and with emit's.
	Capture(ctx context.Context, endpointID string, s sluice.FlowSelection, emit func(sluice.FlowBlock) error) error
	// Flush marks the selected flows, then removes them, and calls emit with what
	// it cut.
	Flush(ctx context.Context, endpointID string, s sluice.FlowSelection, emit func(sluice.FlowBlock) error) error
	// Counters reads all counters.
	Counters() (sluice.DatapathCounters, error)
	// Changed delivers a value after a device has come, gone or been renamed in a
	// namespace of the applied endpoints, or such a namespace itself: Apply again.
	Changed() <-chan struct{}
}

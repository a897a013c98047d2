package control_test

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"sluice"
	"sluice/control"
)

// TestADiskWithoutRoomStopsNoFlush: what is to be cut is cut, though its list can't be
// kept. A capture without its list is nothing, and runs nothing.
func TestADiskWithoutRoomStopsNoFlush(t *testing.T) {
	for _, c := range []struct {
		kind  sluice.FlowOperationType
		asked int32
		want  sluice.FlowOperationStatus
	}{
		{sluice.FlowFlush, 1, sluice.OperationCompletedWithErrors},
		{sluice.FlowCapture, 0, sluice.OperationFailed},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			r := newRig(t)
			must(t, os.WriteFile(filepath.Join(r.dir, "results"), nil, 0o600)) // where a directory is wanted
			f := r.readyFirewall("edge", "subnet-a")
			var asked atomic.Int32
			r.fleet.onCommand(func(ctx context.Context, cmd command, emit emitter) outcomes {
				asked.Add(1)
				return emits(0, 10)(ctx, cmd, emit)
			})
			in := capture("edge", zoneA)
			in.Type = c.kind
			op := r.run(in)
			if op.Status != c.want || op.Message != sluice.MessageFlowError || asked.Load() != c.asked {
				t.Errorf("ended %s (%s), endpoints asked %d times", op.Status, op.Message, asked.Load())
			}
			_, rows, more, err := r.FlowResults(t.Context(), control.FlowScope{FirewallArn: f.Arn, AvailabilityZone: zoneA}, op.ID, 0, 100)
			if err != nil || len(rows) != 0 || more {
				t.Errorf("results are %d rows, more %v, %v", len(rows), more, err)
			}
		})
	}
}

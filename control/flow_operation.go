package control

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice"
)

// StartFlowOperation begins a capture or a flush and answers IN_PROGRESS, which is
// durable before any agent is asked. The operation ends on its own.
func (c *Controller) StartFlowOperation(ctx context.Context, in StartFlowOperationInput) (sluice.FlowOperation, error) {
	var none sluice.FlowOperation
	matches, err := sluice.CompileFlowFilters(in.Filters)
	if err != nil {
		return none, err
	}
	if in.MinimumAge < 0 {
		return none, sluice.InvalidParameter("MinimumFlowAgeInSeconds", "is not within the bound",
			strconv.Itoa(int(in.MinimumAge)), "MinimumFlowAgeInSeconds")
	}
	select {
	case <-c.ready: // what an earlier process left running has been ended
	case <-ctx.Done():
		return none, ctx.Err()
	}
	f, err := c.findScoped(ctx, in.Scope)
	if err != nil {
		return none, err
	}
	zones, err := in.Scope.startZones(f)
	if err != nil {
		return none, err
	}
	if err := c.requireReady(ctx, f, zones); err != nil {
		return none, err
	}
	op := sluice.FlowOperation{
		ID:               sluice.NewUUID(),
		Type:             in.Type,
		FirewallArn:      f.Arn,
		FirewallID:       f.ID,
		Status:           sluice.OperationInProgress,
		RequestTime:      c.o.Clock(),
		Filters:          in.Filters,
		MinimumAge:       in.MinimumAge,
		MinimumGiven:     in.MinimumGiven,
		AvailabilityZone: in.Scope.AvailabilityZone,
		VpcEndpointID:    in.Scope.VpcEndpointID,
		Zones:            zones,
	}
	selection := sluice.FlowSelection{Matches: matches, MinimumAge: time.Duration(in.MinimumAge) * time.Second}
	if err := c.begin(ctx, f, op, selection); err != nil {
		return none, err
	}
	return op, nil
}

// requireReady refuses an operation on a firewall that is being deleted or whose
// endpoints in scope are still being built. An endpoint in error is let through:
// the operation will say what it could not reach.
func (c *Controller) requireReady(ctx context.Context, f sluice.Firewall, zones []string) error {
	v, err := c.firewallView(ctx, f)
	if err != nil {
		return err
	}
	ready := v.Status.Status != sluice.FirewallDeleting
	for _, z := range zones {
		ready = ready && v.Status.Zones[z].Attachment != sluice.AttachmentCreating
	}
	if !ready {
		return sluice.Errorf(sluice.KindInvalidRequest, "Firewall is not ready")
	}
	return nil
}

// expired tells whether an operation is too old to be shown.
func (c *Controller) expired(op sluice.FlowOperation) bool {
	return c.o.Clock().Sub(op.RequestTime) > sluice.FlowOperationRetention
}

// DescribeFlowOperation returns an operation that is in scope and not too old.
func (c *Controller) DescribeFlowOperation(ctx context.Context, scope FlowScope, id string) (sluice.FlowOperation, error) {
	f, err := c.findScoped(ctx, scope)
	if err != nil {
		return sluice.FlowOperation{}, err
	}
	op, err := c.o.Store.FlowOperation(ctx, f.ID, id)
	if err != nil {
		return sluice.FlowOperation{}, err
	}
	if c.expired(op) || !scope.holds(f, op) {
		return sluice.FlowOperation{}, errNotFound("FlowOperationId", id)
	}
	return op, nil
}

// ListFlowOperations returns the operations in scope that are not too old, newest
// first. An empty type is both types.
func (c *Controller) ListFlowOperations(ctx context.Context, scope FlowScope, t sluice.FlowOperationType) ([]sluice.FlowOperation, error) {
	f, err := c.findScoped(ctx, scope)
	if err != nil {
		return nil, err
	}
	all, err := c.o.Store.FlowOperations(ctx, f.ID)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, c.expired)
	if err := scope.readable(f, all); err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(op sluice.FlowOperation) bool {
		return !scope.holds(f, op) || t != "" && op.Type != t
	})
	slices.SortFunc(all, func(a, b sluice.FlowOperation) int {
		if n := b.RequestTime.Compare(a.RequestTime); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, nil
}

// FlowResults returns rows of an operation that has ended, in an order that never
// changes. While it runs and when it failed there are none.
func (c *Controller) FlowResults(ctx context.Context, scope FlowScope, id string, offset int64, limit int) (op sluice.FlowOperation, rows []sluice.Flow, more bool, err error) {
	op, err = c.DescribeFlowOperation(ctx, scope, id)
	if err != nil || op.Flows == 0 || op.Status == sluice.OperationInProgress || op.Status == sluice.OperationFailed {
		return op, nil, false, err
	}
	rows, err = c.o.Results.Read(op.ID, offset, limit)
	if err != nil {
		// The sweep may have come between: then the operation is gone, too.
		if _, gone := c.DescribeFlowOperation(ctx, scope, id); sluice.KindOf(gone) == sluice.KindNotFound {
			err = gone
		}
		return sluice.FlowOperation{}, nil, false, err
	}
	return op, rows, offset+int64(len(rows)) < op.Flows, nil
}

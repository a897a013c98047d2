package control

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"sluice"
)

// recoverOperations ends the operations that an earlier process left running, and
// removes the rows that belong to no operation. Where rows had been committed, the
// operation shows them, with an error, since nobody knows who had answered; where
// not, it failed. A flush may have cut flows that it lists nowhere.
func (c *Controller) recoverOperations(ctx context.Context) error {
	all, err := c.o.Store.FlowOperations(ctx, "")
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(all))
	for _, op := range all {
		known[op.ID] = true
		if op.Status != sluice.OperationInProgress {
			continue
		}
		if op, err = c.recovered(op); err != nil {
			return err
		}
		if err := c.finish(ctx, op); err != nil {
			return err
		}
		c.o.Logger.Warn("flow operation was cut off by a restart", "operation", op.ID, "status", op.Status, "flows", op.Flows)
	}
	ids, err := c.o.Results.List()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if !known[id] {
			if err := c.o.Results.Delete(id); err != nil {
				return err
			}
		}
	}
	return c.sweep(ctx)
}

func (c *Controller) recovered(op sluice.FlowOperation) (sluice.FlowOperation, error) {
	rows, err := c.o.Results.Commit(op.ID)
	if errors.Is(err, fs.ErrNotExist) || err == nil && rows == 0 && op.Type == sluice.FlowFlush {
		return failed(op, sluice.MessageFlowError), nil
	}
	if err != nil {
		c.o.Logger.Error("read the results of an interrupted flow operation", "operation", op.ID, "error", err)
		return failed(op, sluice.MessageFlowError), nil
	}
	op.Status, op.Message, op.Flows = sluice.OperationCompletedWithErrors, sluice.MessageFlowError, rows
	return op, nil
}

// sweep removes the operations that are too old, and their rows.
func (c *Controller) sweep(ctx context.Context) error {
	all, err := c.o.Store.FlowOperations(ctx, "")
	if err != nil {
		return err
	}
	old := slices.DeleteFunc(all, func(op sluice.FlowOperation) bool {
		return !c.expired(op) || op.Status == sluice.OperationInProgress
	})
	if err := c.o.Store.RemoveFlowOperations(ctx, old); err != nil {
		return err
	}
	for _, op := range old {
		if err := c.o.Results.Delete(op.ID); err != nil {
			return err
		}
	}
	return nil
}

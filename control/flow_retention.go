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
	if err := c.endAbandoned(ctx, all); err != nil {
		return err
	}
	known := make(map[string]bool, len(all))
	for _, op := range all {
		known[op.ID] = true
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

// endAbandoned ends the operations in progress that this process does not run:
// those of an earlier process, and those whose end could not be written. It relies
// on an operation being registered before it is written, and on there being one
// controller.
func (c *Controller) endAbandoned(ctx context.Context, all []sluice.FlowOperation) error {
	for _, op := range all {
		c.mu.Lock()
		_, runs := c.running[op.ID]
		c.mu.Unlock()
		if runs || op.Status != sluice.OperationInProgress {
			continue
		}
		op = c.recovered(op)
		err := c.finish(ctx, op)
		switch sluice.KindOf(err) {
		case sluice.KindInvalidOperation, sluice.KindNotFound:
			continue // it ended, or its firewall went, after all was read
		}
		if err != nil {
			return err
		}
		c.o.Logger.Warn("flow operation was cut off", "operation", op.ID, "status", op.Status, "flows", op.Flows)
	}
	return nil
}

func (c *Controller) recovered(op sluice.FlowOperation) sluice.FlowOperation {
	rows, err := c.o.Results.Commit(op.ID)
	if errors.Is(err, fs.ErrNotExist) || err == nil && rows == 0 && op.Type == sluice.FlowFlush {
		return failed(op, sluice.MessageFlowError)
	}
	if err != nil {
		c.o.Logger.Error("read the results of an interrupted flow operation", "operation", op.ID, "error", err)
		return failed(op, sluice.MessageFlowError)
	}
	op.Status, op.Message, op.Flows = sluice.OperationCompletedWithErrors, sluice.MessageFlowError, rows
	return op
}

// sweep ends the operations that nobody runs, and removes those that are too old
// with their rows.
func (c *Controller) sweep(ctx context.Context) error {
	all, err := c.o.Store.FlowOperations(ctx, "")
	if err != nil {
		return err
	}
	if err := c.endAbandoned(ctx, all); err != nil {
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

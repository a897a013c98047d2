package control

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"sluice"
)

// grace is how long after the deadline the fleet may take to return.
const grace = 2 * time.Second

// finishTimeout bounds the time that the end of an operation may take to be
// written, also while the controller stops. What is not written by then is ended
// by a sweep or the next start.
const finishTimeout = 30 * time.Second

// errRowLimit ends a capture that has found more rows than are kept.
var errRowLimit = errors.New("keep rows: limit exceeded")

// errNoHost is the outcome of an endpoint that no host has a part of.
var errNoHost = errors.New("run flow command: no host has a part of the endpoint")

// runningOperation is an operation that this process carries out.
type runningOperation struct {
	firewallID string
	cancel     context.CancelFunc
}

// runs tells whether an operation of a firewall is running. c.mu is held.
func (c *Controller) runs(firewallID string) bool {
	for _, r := range c.running {
		if r.firewallID == firewallID {
			return true
		}
	}
	return false
}

// cancelOperations ends the operations of a firewall early.
func (c *Controller) cancelOperations(firewallID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.running {
		if r.firewallID == firewallID {
			r.cancel()
		}
	}
}

// begin writes an operation down and lets it run. It is registered before it is
// written, so that whoever deletes the firewall sees one or the other.
func (c *Controller) begin(ctx context.Context, f sluice.Firewall, op sluice.FlowOperation, s sluice.FlowSelection) error {
	run, cancel := context.WithCancel(c.base)
	c.mu.Lock()
	if c.stopping {
		c.mu.Unlock()
		cancel()
		return errors.New("start flow operation: the controller is stopping")
	}
	c.running[op.ID] = runningOperation{firewallID: f.ID, cancel: cancel}
	c.operations.Add(1)
	c.mu.Unlock()
	end := func() {
		cancel()
		c.mu.Lock()
		delete(c.running, op.ID)
		c.mu.Unlock()
		c.operations.Done()
		c.changed() // a firewall that is being deleted may have waited for it
	}
	if err := c.o.Store.StartFlowOperation(ctx, f.Name, op); err != nil {
		end()
		return err
	}
	go func() {
		defer end()
		c.carryOut(run, f, op, s)
	}()
	return nil
}

// carryOut runs an operation on its endpoints and writes down how it ended.
func (c *Controller) carryOut(ctx context.Context, f sluice.Firewall, op sluice.FlowOperation, s sluice.FlowSelection) {
	began := time.Now()
	log := c.o.Logger.With("operation", op.ID, "type", op.Type, "firewall", f.Name)
	rec := &recorder{results: c.o.Results, id: op.ID, limit: c.o.MaxRows, flush: op.Type == sluice.FlowFlush}
	err := c.o.Results.Begin(op.ID)
	if err != nil {
		log.Error("begin results", "error", err)
		rec.unkept = true
	}
	if rec.unkept && !rec.flush {
		op = failed(op, sluice.MessageFlowError)
	} else {
		parts := c.askEndpoints(ctx, f, op, s, rec)
		for _, p := range parts {
			if p != nil {
				log.Warn("flow operation on an endpoint", "error", p)
			}
		}
		op = c.settle(op, parts, rec, log.Error)
	}
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	if err := c.finish(finish, op); err != nil {
		log.Error("write the end of a flow operation", "error", err)
	}
	if c.o.Observer != nil {
		c.o.Observer.FlowOperationEnded(op.Type, op.Status, time.Since(began), op.Flows)
	}
	log.Info("flow operation ended", "status", op.Status, "flows", op.Flows, "duration", time.Since(began))
}

// askEndpoints runs the command on all endpoints in scope at once and returns how
// each part ended: nil for each (endpoint, host) that went through.
func (c *Controller) askEndpoints(ctx context.Context, f sluice.Firewall, op sluice.FlowOperation, s sluice.FlowSelection, rec *recorder) []error {
	deadline := time.Now().Add(c.o.OperationDeadline)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	answers := make(chan []error, len(op.Zones))
	for _, zone := range op.Zones {
		m, _ := f.Mapping(zone) // the zones were derived from the mappings
		command := sluice.FlowCommand{OperationID: op.ID, Type: op.Type, EndpointID: m.EndpointID, Selection: s, Deadline: deadline}
		go func() {
			var parts []error
			for _, o := range c.o.Fleet.RunFlowCommand(ctx, command, rec.emit) {
				if o.Err != nil {
					o.Err = fmt.Errorf("endpoint %s on host %s: %w", command.EndpointID, o.HostID, o.Err)
				}
				parts = append(parts, o.Err)
			}
			if len(parts) == 0 {
				parts = []error{fmt.Errorf("endpoint %s: %w", command.EndpointID, errNoHost)}
			}
			answers <- parts
		}()
	}
	var all []error
	for late := time.After(time.Until(deadline) + grace); len(op.Zones) > 0; op.Zones = op.Zones[1:] {
		select {
		case parts := <-answers:
			all = append(all, parts...)
		case <-late: // the fleet broke its word; what it still emits is refused
			all = append(all, context.DeadlineExceeded)
		}
	}
	return all
}

// settle commits the rows and derives the status from the parts: all answered,
// some did or rows were found all the same, or none.
func (c *Controller) settle(op sluice.FlowOperation, parts []error, rec *recorder, report func(string, ...any)) sluice.FlowOperation {
	answered, message := 0, ""
	for _, err := range parts {
		switch {
		case err == nil:
			answered++
		case errors.Is(err, context.DeadlineExceeded) && message == "":
			message = sluice.MessageFlowTimeout
		case !errors.Is(err, context.DeadlineExceeded):
			message = sluice.MessageFlowError
		}
	}
	if rec.incomplete.Load() {
		message = sluice.MessageFlowError
	}
	if rec.unkept && answered > 0 { // a flush cuts also where its list can't be kept
		op.Status, op.Message, op.Flows = sluice.OperationCompletedWithErrors, sluice.MessageFlowError, 0
		return op
	}
	if rec.unkept {
		return failed(op, sluice.MessageFlowError)
	}
	rows, err := c.o.Results.Commit(op.ID)
	if err != nil {
		report("commit results", "error", err)
		return failed(op, sluice.MessageFlowError)
	}
	if answered == 0 && rows == 0 {
		return failed(op, message)
	}
	op.Status, op.Message, op.Flows = sluice.OperationCompleted, message, rows
	if message != "" {
		op.Status = sluice.OperationCompletedWithErrors
	}
	return op
}

// failed is an operation that ended without anything to show.
func failed(op sluice.FlowOperation, message string) sluice.FlowOperation {
	op.Status, op.Message, op.Flows = sluice.OperationFailed, message, 0
	return op
}

// finish writes the end of an operation down, again and again while the store
// fails, and removes the rows that nobody will read.
func (c *Controller) finish(ctx context.Context, op sluice.FlowOperation) error {
	for {
		err := c.o.Store.FinishFlowOperation(ctx, op)
		switch kind := sluice.KindOf(err); {
		case err == nil && op.Status == sluice.OperationFailed, kind == sluice.KindNotFound:
			return errors.Join(err, c.o.Results.Delete(op.ID))
		case err == nil || kind != sluice.KindInternal && kind != sluice.KindThrottling:
			return err
		}
		select {
		case <-time.After(retryInterval):
		case <-ctx.Done():
			return err
		}
	}
}

// recorder keeps the rows of one operation, up to a limit.
type recorder struct {
	results    Results
	id         string
	limit      int64
	flush      bool
	unkept     bool // there is nowhere to keep rows; set before the first
	rows       atomic.Int64
	incomplete atomic.Bool // rows were found that are not kept
}

// emit keeps a block. A capture ends at the limit; a flush goes on, since it is
// more than a list of what it cuts.
func (r *recorder) emit(block sluice.FlowBlock) error {
	if r.unkept {
		return nil
	}
	after := r.rows.Add(int64(len(block)))
	over := after > r.limit
	if over {
		r.incomplete.Store(true)
		block = block[:max(0, int64(len(block))-(after-r.limit))]
	}
	if len(block) > 0 {
		if err := r.results.Append(r.id, block); err != nil {
			r.incomplete.Store(true)
			return err
		}
	}
	if over && !r.flush {
		return errRowLimit
	}
	return nil
}

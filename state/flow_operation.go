package state

import (
	"context"

	"sluice"
)

// maxRemovals bounds the writes of one transaction; etcd allows 128.
const maxRemovals = 100

// StartFlowOperation writes an operation and takes its zones, in each of which
// one operation of a firewall runs at a time. The firewall exists and is not
// being deleted.
func (s *Store) StartFlowOperation(ctx context.Context, firewallName string, op sluice.FlowOperation) error {
	return s.transact(ctx, func(tx *transaction) error {
		f, ok, err := load[sluice.Firewall](tx, firewallPrefix+firewallName)
		if err != nil {
			return err
		}
		if !ok || f.ID != op.FirewallID {
			return errMissing("FirewallArn", op.FirewallArn)
		}
		if f.Deleting {
			return sluice.Errorf(sluice.KindInvalidRequest, "Firewall is not ready")
		}
		for _, zone := range op.Zones {
			key := runningPrefix + op.FirewallID + "/" + zone
			_, busy, err := load[string](tx, key)
			if err != nil {
				return err
			}
			if busy {
				return sluice.Errorf(sluice.KindThrottling,
					"Flow operation already in progress, parameter: [%s], context: AvailabilityZone", zone)
			}
			if err := save(tx, key, op.ID); err != nil {
				return err
			}
		}
		return save(tx, flowOperationPrefix+op.FirewallID+"/"+op.ID, op)
	})
}

// FinishFlowOperation writes the end of an operation that was in progress and
// frees its zones.
func (s *Store) FinishFlowOperation(ctx context.Context, op sluice.FlowOperation) error {
	return s.transact(ctx, func(tx *transaction) error {
		key := flowOperationPrefix + op.FirewallID + "/" + op.ID
		old, ok, err := load[sluice.FlowOperation](tx, key)
		if err != nil {
			return err
		}
		if !ok {
			return errMissing("FlowOperationId", op.ID)
		}
		if old.Status != sluice.OperationInProgress {
			return sluice.Errorf(sluice.KindInvalidOperation, "Flow operation has ended already, parameter: [%s]", op.ID)
		}
		for _, zone := range old.Zones {
			running := runningPrefix + op.FirewallID + "/" + zone
			holder, busy, err := load[string](tx, running)
			if err != nil {
				return err
			}
			if busy && holder == op.ID {
				tx.remove(running)
			}
		}
		return save(tx, key, op)
	})
}

// FlowOperation returns an operation of a firewall.
func (s *Store) FlowOperation(ctx context.Context, firewallID, id string) (op sluice.FlowOperation, err error) {
	tx := &transaction{ctx: ctx, kv: s.kv}
	op, ok, err := load[sluice.FlowOperation](tx, flowOperationPrefix+firewallID+"/"+id)
	if err == nil && !ok {
		err = errMissing("FlowOperationId", id)
	}
	return op, err
}

// FlowOperations returns the operations of a firewall, in no useful order; an
// empty id is all firewalls.
func (s *Store) FlowOperations(ctx context.Context, firewallID string) ([]sluice.FlowOperation, error) {
	prefix := flowOperationPrefix
	if firewallID != "" {
		prefix += firewallID + "/"
	}
	return loadAll[sluice.FlowOperation](&transaction{ctx: ctx, kv: s.kv}, prefix)
}

// RemoveFlowOperations removes operations. One that is still in progress is kept,
// since its zones are taken.
func (s *Store) RemoveFlowOperations(ctx context.Context, ops []sluice.FlowOperation) error {
	for len(ops) > 0 {
		n := min(len(ops), maxRemovals)
		err := s.transact(ctx, func(tx *transaction) error {
			for _, op := range ops[:n] {
				if op.Status != sluice.OperationInProgress {
					tx.remove(flowOperationPrefix + op.FirewallID + "/" + op.ID)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		ops = ops[n:]
	}
	return nil
}

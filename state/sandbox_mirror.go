package state

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"sluice"
)

// sandboxObject is a session that a sandbox has made, with its filter, or a target of
// sandboxes that it has used.
type sandboxObject struct {
	ID       string
	FilterID string // "" of a target
}

// maxRemovedAtOnce bounds the sessions that one transaction removes: each takes some
// thirty comparisons and writes.
const maxRemovedAtOnce = 100

// sandboxMirrorChecks are what CreateSandboxMirrors asks, all of them pure.
type sandboxMirrorChecks struct {
	admit    func(sluice.Sandbox) error
	complete func(sluice.Sandbox, sluice.SandboxMirror) (sluice.SandboxMirror, error)
	receiver func(sluice.TrafficMirrorTarget) error
	session  func(sluice.TrafficMirrorSession, sluice.TrafficMirrorTarget) (sluice.TrafficMirrorSession, error)
}

// CreateSandboxMirrors makes all mirrors or none of them, in one transaction, and
// returns them as they were made. admit is asked first whether the sandbox may; then
// all session numbers are found; complete is given each mirror with its number and
// returns it as it shall be. Filters, targets and sessions are made as the single
// operations make them, and receiver and session check the same.
func (s *Store) CreateSandboxMirrors(ctx context.Context, id string, plans []sluice.SandboxMirror, q sluice.MirrorQuotas,
	admit func(sluice.Sandbox) error,
	complete func(sluice.Sandbox, sluice.SandboxMirror) (sluice.SandboxMirror, error),
	receiver func(sluice.TrafficMirrorTarget) error,
	session func(sluice.TrafficMirrorSession, sluice.TrafficMirrorTarget) (sluice.TrafficMirrorSession, error)) ([]sluice.SandboxMirror, error) {
	checks := sandboxMirrorChecks{admit, complete, receiver, session}
	var made []sluice.SandboxMirror
	err := s.transact(ctx, func(tx *transaction) error {
		b, err := loadSandbox(tx, id)
		if err != nil {
			return err
		}
		if err := checks.admit(b); err != nil {
			return err
		}
		if made, err = numberSessions(tx, plans); err != nil {
			return err
		}
		for i := range made {
			if made[i], err = addSandboxMirror(tx, b, made[i], q, checks); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// numberSessions gives every session its number. A number is taken while a session of
// the source has it, or a sandbox holds it in the source's pool.
func numberSessions(tx *transaction, plans []sluice.SandboxMirror) ([]sluice.SandboxMirror, error) {
	out := slices.Clone(plans)
	taken := map[string]map[int32]bool{} // by source
	for i := range out {
		n := &out[i].Session
		numbers := taken[n.NetworkInterfaceID]
		if numbers == nil {
			var err error
			if numbers, err = takenNumbers(tx, n.NetworkInterfaceID); err != nil {
				return nil, err
			}
			taken[n.NetworkInterfaceID] = numbers
		}
		if n.SessionNumber == 0 {
			for n.SessionNumber = 1; numbers[n.SessionNumber]; n.SessionNumber++ {
			}
		}
		if numbers[n.SessionNumber] || n.SessionNumber > sluice.MaxSessionNumber {
			return nil, sluice.EC2Errorf(sluice.KindInvalidOperation, sluice.CodeSessionNumber, "%s", n.NetworkInterfaceID)
		}
		numbers[n.SessionNumber] = true
	}
	return out, nil
}

// takenNumbers are the session numbers of a source that can't be had.
func takenNumbers(tx *transaction, source string) (map[int32]bool, error) {
	uses, err := sessionUses(tx, "source", source)
	if err != nil {
		return nil, err
	}
	items, err := loadAll[sluice.PoolItem](tx, poolKey(source))
	if err != nil {
		return nil, err
	}
	taken := map[int32]bool{}
	for _, u := range uses {
		taken[u.Number] = true
	}
	for _, i := range items {
		if n, err := strconv.ParseInt(i.Value, 10, 32); err == nil { // other values are no numbers
			taken[int32(n)] = true
		}
	}
	return taken, nil
}

// addSandboxMirror writes one mirror and notes that the sandbox made it.
func addSandboxMirror(tx *transaction, b sluice.Sandbox, m sluice.SandboxMirror, q sluice.MirrorQuotas, checks sandboxMirrorChecks) (sluice.SandboxMirror, error) {
	m, err := checks.complete(b, m)
	if err != nil {
		return m, err
	}
	if m.Target, err = useTarget(tx, b.ID, m.Target, q, checks.receiver); err != nil {
		return m, err
	}
	rules := m.Filter.Rules
	m.Filter.Rules = nil
	if err := addFilter(tx, m.Filter, q); err != nil {
		return m, err
	}
	for _, r := range rules {
		if err := addFilterRule(tx, r, q); err != nil {
			return m, err
		}
	}
	m.Filter.Rules = rules
	m.Session.TargetID, m.Session.FilterID = m.Target.ID, m.Filter.ID
	if m.Session, err = addSession(tx, m.Session, q, checks.session); err != nil {
		return m, err
	}
	return m, save(tx, sandboxObjectPrefix+b.ID+"/"+m.Session.ID, sandboxObject{m.Session.ID, m.Filter.ID})
}

// useTarget returns the target that stands for an interface already, or makes one.
func useTarget(tx *transaction, sandboxID string, t sluice.TrafficMirrorTarget, q sluice.MirrorQuotas,
	check func(sluice.TrafficMirrorTarget) error) (sluice.TrafficMirrorTarget, error) {
	there, err := loadAll[string](tx, targetUsePrefix+receiver(t)+"/")
	if err != nil {
		return t, err
	}
	ours := true
	if len(there) > 0 {
		if t, err = loadTarget(tx, there[0]); err != nil {
			return t, err
		}
		if _, ours, err = tx.get(sandboxTargetPrefix + t.ID); err != nil {
			return t, err
		}
	} else {
		if err := addTarget(tx, t, q, func() error { return check(t) }); err != nil {
			return t, err
		}
		if err := save(tx, sandboxTargetPrefix+t.ID, t.ID); err != nil {
			return t, err
		}
	}
	if !ours { // it was made otherwise, and stays
		return t, nil
	}
	return t, save(tx, sandboxObjectPrefix+sandboxID+"/"+t.ID, sandboxObject{ID: t.ID})
}

// releaseTarget removes a target that sandboxes have made, unless a session uses it.
func releaseTarget(tx *transaction, id string) error {
	_, ours, err := tx.get(sandboxTargetPrefix + id)
	if err != nil || !ours {
		return err
	}
	users, err := sessionUses(tx, "target", id)
	if err != nil || len(users) > 0 {
		return err
	}
	return removeTarget(tx, id)
}

// RemoveSandboxMirrors removes the sessions of a sandbox that pick wants, with the
// filters that were made for them, and returns the sessions in the order of their ids.
// Without pick it removes all, and the filters of sessions that are gone already.
// Targets stay until FinishSandbox. A sandbox of thousands of sessions loses them in
// several steps.
func (s *Store) RemoveSandboxMirrors(ctx context.Context, id string, pick func(sluice.TrafficMirrorSession, sluice.TrafficMirrorTarget) bool) ([]sluice.TrafficMirrorSession, error) {
	wanted, err := s.pickSandboxObjects(ctx, id, pick)
	if err != nil {
		return nil, err
	}
	var all []sluice.TrafficMirrorSession
	for batch := range slices.Chunk(wanted, maxRemovedAtOnce) {
		var removed []sluice.TrafficMirrorSession
		err := s.transact(ctx, func(tx *transaction) error {
			removed = nil
			for _, o := range batch {
				session, ok, err := removeSandboxObject(tx, id, o)
				if err != nil {
					return err
				}
				if ok {
					removed = append(removed, session)
				}
			}
			return nil
		})
		if err != nil {
			return all, err
		}
		all = append(all, removed...)
	}
	return all, nil
}

// pickSandboxObjects finds what RemoveSandboxMirrors is to remove.
func (s *Store) pickSandboxObjects(ctx context.Context, id string, pick func(sluice.TrafficMirrorSession, sluice.TrafficMirrorTarget) bool) ([]sandboxObject, error) {
	tx := &transaction{ctx: ctx, kv: s.kv}
	if _, err := loadSandbox(tx, id); err != nil {
		return nil, err
	}
	objects, err := loadAll[sandboxObject](tx, sandboxObjectPrefix+id+"/")
	if err != nil {
		return nil, err
	}
	var out []sandboxObject
	for _, o := range objects {
		if sluice.EC2ResourceType(o.ID) != sluice.ResourceMirrorSession {
			continue
		}
		if pick == nil {
			out = append(out, o)
			continue
		}
		session, ok, err := load[sluice.TrafficMirrorSession](tx, sessionPrefix+o.ID)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		target, err := loadTarget(tx, session.TargetID)
		if err != nil {
			return nil, err
		}
		if pick(session, target) {
			out = append(out, o)
		}
	}
	return out, nil
}

// removeSandboxObject removes a session and its filter. Either may be gone, and the
// filter may have found other users: then it is theirs.
func removeSandboxObject(tx *transaction, id string, o sandboxObject) (sluice.TrafficMirrorSession, bool, error) {
	key := sandboxObjectPrefix + id + "/" + o.ID
	if _, still, err := tx.get(key); err != nil || !still {
		return sluice.TrafficMirrorSession{}, false, err // another request was faster
	}
	session, ok, err := load[sluice.TrafficMirrorSession](tx, sessionPrefix+o.ID)
	if err != nil {
		return session, false, err
	}
	if ok {
		removeSession(tx, session)
	}
	err = removeFilter(tx, o.FilterID)
	var known *sluice.Error
	if errors.As(err, &known) && (known.Kind == sluice.KindNotFound || known.Kind == sluice.KindInvalidOperation) {
		err = nil
	}
	tx.remove(key)
	return session, ok, err
}

// ReleaseSandboxTargets removes those of the targets that sandboxes have made and that
// no session uses, and lets the sandbox forget them.
func (s *Store) ReleaseSandboxTargets(ctx context.Context, id string, targets []string) error {
	return s.transact(ctx, func(tx *transaction) error {
		for _, t := range targets {
			if err := releaseTarget(tx, t); err != nil {
				return err
			}
			if _, ours, err := tx.get(sandboxTargetPrefix + t); err != nil {
				return err
			} else if !ours {
				tx.remove(sandboxObjectPrefix + id + "/" + t)
			}
		}
		return nil
	})
}

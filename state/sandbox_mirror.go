package state

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"sluice"
)

// sandboxObject is a session that a sandbox has made, with its filter, or a target of
// sandboxes that it has used. The instances are those that the interfaces had then: an
// interface may be away when its instance leaves the sandbox.
type sandboxObject struct {
	ID             string
	FilterID       string // "" of a target
	TargetID       string // that the session was made with; "" of a target
	SourceInstance string // "" of a target
	TargetInstance string
}

// maxRemovedAtOnce bounds the sessions that one transaction removes: each takes some
// thirty comparisons and writes.
const maxRemovedAtOnce = 100

// maxReleasedBeside bounds the targets that go in a transaction that removes sessions.
const maxReleasedBeside = 50

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
	if m, err = useTarget(tx, b.ID, m, q, checks.receiver); err != nil {
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
	return m, save(tx, sandboxObjectPrefix+b.ID+"/"+m.Session.ID,
		sandboxObject{m.Session.ID, m.Filter.ID, m.Target.ID, m.SourceInstance, m.TargetInstance})
}

// useTarget gives a mirror the target that stands for its interface already, or makes
// one.
func useTarget(tx *transaction, sandboxID string, m sluice.SandboxMirror, q sluice.MirrorQuotas,
	check func(sluice.TrafficMirrorTarget) error) (sluice.SandboxMirror, error) {
	there, err := loadAll[string](tx, targetUsePrefix+receiver(m.Target)+"/")
	if err != nil {
		return m, err
	}
	ours := true
	m.TargetMade = len(there) == 0
	if m.TargetMade {
		if err := addTarget(tx, m.Target, q, func() error { return check(m.Target) }); err != nil {
			return m, err
		}
		if err := save(tx, sandboxTargetPrefix+m.Target.ID, m.Target.ID); err != nil {
			return m, err
		}
	} else {
		if m.Target, err = loadTarget(tx, there[0]); err != nil {
			return m, err
		}
		if _, ours, err = tx.get(sandboxTargetPrefix + m.Target.ID); err != nil {
			return m, err
		}
	}
	if !ours { // it was made otherwise, and stays
		return m, nil
	}
	return m, listTarget(tx, sandboxID, m.Target.ID, m.TargetInstance)
}

// listTarget notes that a sandbox has used a target of sandboxes.
func listTarget(tx *transaction, sandboxID, target, instance string) error {
	if err := save(tx, sandboxTargetUsePrefix+target+"/"+sandboxID, sandboxID); err != nil {
		return err
	}
	return save(tx, sandboxObjectPrefix+sandboxID+"/"+target, sandboxObject{ID: target, TargetInstance: instance})
}

func unlistTarget(tx *transaction, sandboxID, target string) {
	tx.remove(sandboxTargetUsePrefix + target + "/" + sandboxID)
	tx.remove(sandboxObjectPrefix + sandboxID + "/" + target)
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

// releaseStray releases a target that no living sandbox has used: a session that was
// moved to it has outlived the sandboxes that had.
func releaseStray(tx *transaction, id string) error {
	_, ours, err := tx.get(sandboxTargetPrefix + id)
	if err != nil || !ours {
		return err
	}
	users, err := loadAll[string](tx, sandboxTargetUsePrefix+id+"/")
	if err != nil || len(users) > 0 {
		return err
	}
	return releaseTarget(tx, id)
}

// removeMirrorsOf removes the sessions of a sandbox from and to instances, or the first
// of many, and tells whether those were all. With the last go the targets that stand for
// interfaces of the instances, unless others use them.
func removeMirrorsOf(tx *transaction, id string, instances []string,
	gone func(instances []string, nic string) bool) (removed []sluice.TrafficMirrorSession, all bool, _ error) {
	objects, err := loadAll[sandboxObject](tx, sandboxObjectPrefix+id+"/")
	if err != nil {
		return nil, false, err
	}
	var targets []string
	for _, o := range objects {
		if sluice.EC2ResourceType(o.ID) == sluice.ResourceMirrorTarget {
			if slices.Contains(instances, o.TargetInstance) {
				targets = append(targets, o.ID)
			}
			continue
		}
		touches, err := touchesInstances(tx, o, instances, gone)
		if err != nil {
			return nil, false, err
		}
		if !touches {
			continue
		}
		if len(removed) == maxRemovedAtOnce {
			return removed, false, nil
		}
		session, ok, err := removeSandboxObject(tx, id, o)
		if err != nil {
			return nil, false, err
		}
		if ok {
			removed = append(removed, session)
		}
	}
	if len(removed) > 0 && len(targets) > maxReleasedBeside {
		return removed, false, nil
	}
	for _, t := range targets {
		if err := releaseTarget(tx, t); err != nil {
			return nil, false, err
		}
		unlistTarget(tx, id, t)
	}
	return removed, true, nil
}

// touchesInstances tells whether a session of a sandbox mirrors from or to one of some
// instances. Its source never changes; its target may have, through the EC2 API.
func touchesInstances(tx *transaction, o sandboxObject, instances []string, gone func(instances []string, nic string) bool) (bool, error) {
	if slices.Contains(instances, o.SourceInstance) {
		return true, nil
	}
	session, ok, err := load[sluice.TrafficMirrorSession](tx, sessionPrefix+o.ID)
	if err != nil || !ok {
		return false, err
	}
	if session.TargetID == o.TargetID {
		return slices.Contains(instances, o.TargetInstance), nil
	}
	target, err := loadTarget(tx, session.TargetID)
	return err == nil && gone(instances, target.NetworkInterfaceID), err
}

// RemoveSandboxMirrors removes the sessions of a sandbox that pick wants, with the
// filters that were made for them, and returns the sessions in the order of their ids.
// Without pick it removes all, and the filters of sessions that are gone already.
// Targets stay until FinishSandbox. A sandbox of thousands of sessions loses them in
// several steps.
func (s *Store) RemoveSandboxMirrors(ctx context.Context, id string, pick func(sluice.TrafficMirrorSession, sluice.TrafficMirrorTarget) bool) ([]sluice.TrafficMirrorSession, error) {
	var wanted []sandboxObject
	err := s.view(ctx, func(tx *transaction) (err error) {
		wanted, err = pickSandboxObjects(tx, id, pick)
		return err
	})
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
func pickSandboxObjects(tx *transaction, id string, pick func(sluice.TrafficMirrorSession, sluice.TrafficMirrorTarget) bool) ([]sandboxObject, error) {
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
		if err := removeSession(tx, session); err != nil {
			return session, false, err
		}
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
				unlistTarget(tx, id, t)
			}
		}
		return nil
	})
}

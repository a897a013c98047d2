package state

import (
	"context"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"

	"sluice"
)

// sessionUse says that a session uses what its key names.
type sessionUse struct {
	SessionID string
	Source    string
	Number    int32
}

// sessionUses returns the sessions that use a thing: "source", "target", "filter"
// or "vni".
func sessionUses(tx *transaction, what, id string) ([]sessionUse, error) {
	return loadAll[sessionUse](tx, sessionUsePrefix+what+"/"+url.PathEscape(id)+"/")
}

// useKeys are the keys that tell what a session uses.
func useKeys(s sluice.TrafficMirrorSession) [4]string {
	key := func(what, id string) string {
		return sessionUsePrefix + what + "/" + url.PathEscape(id) + "/" + s.ID
	}
	return [4]string{
		key("source", s.NetworkInterfaceID), key("target", s.TargetID), key("filter", s.FilterID),
		key("vni", strconv.Itoa(int(s.VirtualNetworkID))),
	}
}

// CreateTrafficMirrorSession adds a session whose target and filter exist, whose
// number is free on its source, and that keeps within the quotas. check is given
// the target and returns the session as it shall be.
func (s *Store) CreateTrafficMirrorSession(ctx context.Context, c sluice.Creation, session sluice.TrafficMirrorSession, q sluice.MirrorQuotas,
	check func(sluice.TrafficMirrorSession, sluice.TrafficMirrorTarget) (sluice.TrafficMirrorSession, error)) (sluice.TrafficMirrorSession, error) {
	return created(ctx, s, "CreateTrafficMirrorSession", c, func(tx *transaction) (sluice.TrafficMirrorSession, error) {
		return addSession(tx, session, q, check)
	})
}

// addSession writes a new session and returns it as it is written.
func addSession(tx *transaction, session sluice.TrafficMirrorSession, q sluice.MirrorQuotas,
	check func(sluice.TrafficMirrorSession, sluice.TrafficMirrorTarget) (sluice.TrafficMirrorSession, error)) (sluice.TrafficMirrorSession, error) {
	n, err := resolveSession(tx, session, q, check)
	if err != nil {
		return n, err
	}
	total, err := tx.count(sessionPrefix)
	if err != nil {
		return n, err
	}
	if total >= q.Sessions {
		return n, sluice.EC2Errorf(sluice.KindLimitExceeded, "TrafficMirrorSessionLimitExceeded", "Session limit reached (%d)", q.Sessions)
	}
	if err := saveTags(tx, n.ID, n.Tags); err != nil {
		return n, err
	}
	return n, saveSession(tx, n)
}

// UpdateTrafficMirrorSession replaces a session by what the pure change makes of
// it, after the checks of CreateTrafficMirrorSession. Its tags stay.
func (s *Store) UpdateTrafficMirrorSession(ctx context.Context, id string, dryRun bool, q sluice.MirrorQuotas,
	change func(sluice.TrafficMirrorSession) (sluice.TrafficMirrorSession, error),
	check func(sluice.TrafficMirrorSession, sluice.TrafficMirrorTarget) (sluice.TrafficMirrorSession, error)) (n sluice.TrafficMirrorSession, err error) {
	err = s.transact(ctx, func(tx *transaction) error {
		old, err := loadSession(tx, id)
		if err != nil {
			return err
		}
		if old.Tags, err = loadTags(tx, id); err != nil {
			return err
		}
		if n, err = change(old); err != nil {
			return err
		}
		if n, err = resolveSession(tx, n, q, check); err != nil {
			return err
		}
		if dryRun {
			return sluice.DryRun()
		}
		kept := useKeys(n)
		for i, key := range useKeys(old) {
			if key != kept[i] {
				tx.remove(key)
			}
		}
		if n.TargetID != old.TargetID {
			if err := releaseStray(tx, old.TargetID); err != nil {
				return err
			}
		}
		return saveSession(tx, n)
	})
	return n, err
}

func loadSession(tx *transaction, id string) (sluice.TrafficMirrorSession, error) {
	s, ok, err := load[sluice.TrafficMirrorSession](tx, sessionPrefix+id)
	if err == nil && !ok {
		err = sluice.NoSuchResource(sluice.ResourceMirrorSession, id)
	}
	return s, err
}

// saveSession writes a session without tags, and what it uses.
func saveSession(tx *transaction, s sluice.TrafficMirrorSession) error {
	s.Tags = nil
	for _, key := range useKeys(s) {
		if err := save(tx, key, sessionUse{s.ID, s.NetworkInterfaceID, s.SessionNumber}); err != nil {
			return err
		}
	}
	return save(tx, sessionPrefix+s.ID, s)
}

// resolveSession checks a session against everything else and draws its network
// identifier where it has none.
func resolveSession(tx *transaction, n sluice.TrafficMirrorSession, q sluice.MirrorQuotas,
	check func(sluice.TrafficMirrorSession, sluice.TrafficMirrorTarget) (sluice.TrafficMirrorSession, error)) (sluice.TrafficMirrorSession, error) {
	target, err := loadTarget(tx, n.TargetID)
	if err != nil {
		return n, err
	}
	if _, err := loadFilter(tx, n.FilterID); err != nil {
		return n, err
	}
	if n, err = check(n, target); err != nil {
		return n, err
	}
	if err := requireSource(tx, n, q); err != nil {
		return n, err
	}
	if err := requireTarget(tx, n, target, q); err != nil {
		return n, err
	}
	if n.VirtualNetworkID == sluice.AnyVirtualNetworkID {
		n.VirtualNetworkID, err = freeVirtualNetwork(tx)
	}
	return n, err
}

// requireSource checks what a source allows: it is no target, the number is free,
// and there is room for a session.
func requireSource(tx *transaction, n sluice.TrafficMirrorSession, q sluice.MirrorQuotas) error {
	uses, err := sessionUses(tx, "source", n.NetworkInterfaceID)
	if err != nil {
		return err
	}
	// A target made on a source that is one already bars no change of its sessions.
	if !slices.ContainsFunc(uses, func(u sessionUse) bool { return u.SessionID == n.ID }) {
		targets, err := loadAll[string](tx, targetUsePrefix+url.PathEscape(n.NetworkInterfaceID)+"/")
		if err != nil {
			return err
		}
		if len(targets) > 0 {
			return sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidParameterValue", "%s is in use by target %s", n.NetworkInterfaceID, targets[0])
		}
	}
	others, kept := 0, false
	for _, u := range uses {
		if u.SessionID == n.ID {
			kept = u.Number == n.SessionNumber
			continue
		}
		others++
		if u.Number == n.SessionNumber {
			return numberTaken(n)
		}
	}
	if !kept {
		held, err := tx.count(poolKey(n.NetworkInterfaceID) + strconv.Itoa(int(n.SessionNumber)) + "/")
		if err != nil {
			return err
		}
		if held > 0 { // a sandbox has reserved it
			return numberTaken(n)
		}
	}
	if others >= q.SessionsPerSource {
		return sluice.EC2Errorf(sluice.KindLimitExceeded, "TrafficMirrorSessionsPerInterfaceLimitExceeded",
			"Sessions per interface limit reached (%d)", others+1)
	}
	return nil
}

func numberTaken(n sluice.TrafficMirrorSession) error {
	return sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidParameterValue",
		"Session number %d is already being used on %s", n.SessionNumber, n.NetworkInterfaceID)
}

// requireTarget checks that an interface gets copies of no more sources than it
// may, over all targets that stand for it. A source counts once.
func requireTarget(tx *transaction, n sluice.TrafficMirrorSession, t sluice.TrafficMirrorTarget, q sluice.MirrorQuotas) error {
	if !t.Interface() {
		return nil
	}
	targets, err := loadAll[string](tx, targetUsePrefix+receiver(t)+"/")
	if err != nil {
		return err
	}
	sources := map[string]bool{n.NetworkInterfaceID: true}
	for _, id := range targets {
		uses, err := sessionUses(tx, "target", id)
		if err != nil {
			return err
		}
		for _, u := range uses {
			if u.SessionID != n.ID {
				sources[u.Source] = true
			}
		}
	}
	if len(sources) > q.SourcesPerTarget {
		return sluice.EC2Errorf(sluice.KindLimitExceeded, "TrafficMirrorSourcesPerTargetLimitExceeded",
			"Sources per interface-target limit reached (%d)", len(sources))
	}
	return nil
}

// maxDraws bounds the search for a free network identifier. There are 16 million of
// them, so that even the second draw is rare.
const maxDraws = 100

func freeVirtualNetwork(tx *transaction) (int32, error) {
	for range maxDraws {
		vni := 1 + rand.Int32N(sluice.MaxVirtualNetworkID)
		n, err := tx.count(sessionUsePrefix + "vni/" + strconv.Itoa(int(vni)) + "/")
		if err != nil || n == 0 {
			return vni, err
		}
	}
	return 0, sluice.EC2Errorf(sluice.KindLimitExceeded, "TrafficMirrorSessionLimitExceeded", "No virtual network ID is free")
}

// TrafficMirrorSessions returns all sessions, ordered by id.
func (s *Store) TrafficMirrorSessions(ctx context.Context) ([]sluice.TrafficMirrorSession, error) {
	tx := &transaction{ctx: ctx, kv: s.kv}
	all, err := loadAll[sluice.TrafficMirrorSession](tx, sessionPrefix)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(tx, sluice.ResourceMirrorSession)
	for i := range all {
		all[i].Tags = tags[all[i].ID]
	}
	return all, err
}

// DeleteTrafficMirrorSession removes a session.
func (s *Store) DeleteTrafficMirrorSession(ctx context.Context, id string, dryRun bool) error {
	return s.transact(ctx, func(tx *transaction) error {
		old, err := loadSession(tx, id)
		if err != nil {
			return err
		}
		if dryRun {
			return sluice.DryRun()
		}
		return removeSession(tx, old)
	})
}

// maxSourcesAtOnce bounds the sources whose sessions one transaction removes: a source has
// at most three, and each takes up to a dozen writes.
const maxSourcesAtOnce = 100

// DeleteSessionsOf removes all sessions of some sources and returns them. It is one
// transaction for each maxSourcesAtOnce sources.
func (s *Store) DeleteSessionsOf(ctx context.Context, sources []string) ([]sluice.TrafficMirrorSession, error) {
	var all []sluice.TrafficMirrorSession
	for batch := range slices.Chunk(sources, maxSourcesAtOnce) {
		var removed []sluice.TrafficMirrorSession
		err := s.transact(ctx, func(tx *transaction) error {
			removed = nil
			for _, source := range batch {
				uses, err := sessionUses(tx, "source", source)
				if err != nil {
					return err
				}
				for _, u := range uses {
					session, err := loadSession(tx, u.SessionID)
					if err != nil {
						return err
					}
					if err := removeSession(tx, session); err != nil {
						return err
					}
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

func removeSession(tx *transaction, s sluice.TrafficMirrorSession) error {
	for _, key := range useKeys(s) {
		tx.remove(key)
	}
	tx.remove(sessionPrefix + s.ID)
	tx.remove(tagKey(s.ID))
	return releaseStray(tx, s.TargetID)
}

// Mirrors returns filters, targets and sessions as they were at one moment.
func (s *Store) Mirrors(ctx context.Context) (filters []sluice.TrafficMirrorFilter, targets []sluice.TrafficMirrorTarget, sessions []sluice.TrafficMirrorSession, err error) {
	tx := &transaction{ctx: ctx, kv: s.kv}
	if sessions, err = loadAll[sluice.TrafficMirrorSession](tx, sessionPrefix); err != nil {
		return nil, nil, nil, err
	}
	if targets, err = loadAll[sluice.TrafficMirrorTarget](tx, targetPrefix); err != nil {
		return nil, nil, nil, err
	}
	if filters, err = loadAll[sluice.TrafficMirrorFilter](tx, filterPrefix); err != nil {
		return nil, nil, nil, err
	}
	tags, err := tagsOf(tx, sluice.ResourceMirrorSession)
	for i := range sessions {
		sessions[i].Tags = tags[sessions[i].ID]
	}
	return filters, targets, sessions, err
}

package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// Sources and sessions have slots in pinned arrays, so that a restarted process finds
// the counters of each again.

// freeSlot finds a slot that nobody has.
func freeSlot(taken map[string]uint32, slots uint32) (uint32, bool) {
	used := make(map[uint32]bool, len(taken))
	for _, s := range taken {
		used[s] = true
	}
	for s := range slots {
		if !used[s] {
			return s, true
		}
	}
	return 0, false
}

// claimSource gives a source a slot. It has it for good once it has a generation.
func (t *mirrorTable) claimSource(id string) (uint32, error) {
	if slot, ok := t.sources[id]; ok {
		return slot, nil
	}
	slot, ok := freeSlot(t.sources, maxSources)
	if !ok {
		return 0, fmt.Errorf("mirror %s: this host has %d sources already", id, maxSources)
	}
	t.sources[id] = slot
	return slot, nil
}

// claimSession gives a session a slot, with counters at zero.
func (t *mirrorTable) claimSession(id string) (uint32, error) {
	if slot, ok := t.sessions[id]; ok {
		return slot, nil
	}
	slot, ok := freeSlot(t.sessions, maxSessions)
	if !ok {
		return 0, fmt.Errorf("make session %s: this host has %d already", id, maxSessions)
	}
	record := mirrorSessionSlot{Delivery: slot * deliveriesPerSession}
	if !setText(record.Id[:], id) {
		return 0, fmt.Errorf("make session %q: not an id", id)
	}
	zero := make([]mirrorSessionCounters, possibleCPUs())
	for _, key := range []uint32{slot * 2, slot*2 + 1} {
		if err := t.maps.Fates.Put(key, zero); err != nil {
			return 0, fmt.Errorf("reset counters: %w", err)
		}
	}
	// Nor does it pay for what an earlier one has sent.
	if err := t.maps.Rates.Put(slot, make([]byte, t.maps.Rates.ValueSize())); err != nil {
		return 0, fmt.Errorf("reset rate: %w", err)
	}
	if err := t.maps.SessionSlots.Put(slot, &record); err != nil {
		return 0, fmt.Errorf("claim session slot: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range []uint32{slot * 2, slot*2 + 1} {
		delete(t.offered, key)
		delete(t.lost, key)
	}
	t.sessions[id] = slot
	return slot, nil
}

// setDelivery writes a delivery to a free place, unless the one in force is the same, and
// returns its index. The place that the generation in force names stays as it is, however
// often a new one comes to nothing, and that which was in force is used again last.
func (t *mirrorTable) setDelivery(slot uint32, wanted mirrorDelivery, inForce *mirrorSource) (uint32, error) {
	var record mirrorSessionSlot
	var now mirrorDelivery
	if err := t.maps.SessionSlots.Lookup(slot, &record); err != nil {
		return 0, fmt.Errorf("read session slot: %w", err)
	}
	named := record.Delivery
	if inForce != nil {
		for _, s := range inForce.Session[:min(inForce.Sessions, sessionsPerSource)] {
			if s.Slot == slot {
				named = s.Delivery
			}
		}
	}
	if err := t.maps.Deliveries.Lookup(named, &now); err != nil {
		return 0, fmt.Errorf("read delivery: %w", err)
	}
	if now == wanted {
		return named, nil
	}
	next := func(i uint32) uint32 { return slot*deliveriesPerSession + (i+1)%deliveriesPerSession }
	if record.Delivery = next(record.Delivery); record.Delivery == named {
		record.Delivery = next(named)
	}
	if err := t.maps.Deliveries.Put(record.Delivery, &wanted); err != nil {
		return 0, fmt.Errorf("write delivery: %w", err)
	}
	if err := t.maps.SessionSlots.Put(slot, &record); err != nil {
		return 0, fmt.Errorf("write session slot: %w", err)
	}
	return record.Delivery, nil
}

// releaseSources frees the slots of all sources but the wanted ones, whose programs are
// detached by now.
func (t *mirrorTable) releaseSources(wanted map[string]bool) error {
	for id, slot := range t.sources {
		if wanted[id] {
			continue
		}
		if err := t.maps.Sources.Delete(slot); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("release source %s: %w", id, err)
		}
		delete(t.sources, id)
	}
	return nil
}

// releaseSessions frees the slots of all sessions but the wanted ones.
func (t *mirrorTable) releaseSessions(wanted map[string]bool) error {
	for id, slot := range t.sessions {
		if wanted[id] {
			continue
		}
		if err := t.maps.SessionSlots.Put(slot, &mirrorSessionSlot{}); err != nil {
			return fmt.Errorf("release session %s: %w", id, err)
		}
		t.mu.Lock()
		delete(t.sessions, id)
		t.mu.Unlock()
	}
	return nil
}

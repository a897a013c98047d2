package datapath

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"sluice"
)

// The endpoints of this host have slots in a pinned array, so that a restarted process
// finds the flows of each again.

func endpointName(e *firewallEndpoint) string {
	b := make([]byte, 0, len(e.Id))
	for _, c := range e.Id {
		if c == 0 {
			break
		}
		b = append(b, byte(c))
	}
	return string(b)
}

// slotOf finds the slot of an endpoint that packets meet.
func (t *table) slotOf(id string) (uint32, bool) {
	for i := range t.mem.endpoints {
		e := &t.mem.endpoints[i]
		if atomic.LoadUint32(&e.State) == endpointInUse && endpointName(e) == id {
			return uint32(i), true
		}
	}
	return 0, false
}

// claimSlot gives an endpoint a slot, with its policy in it before it is in use.
func (t *table) claimSlot(id string, p sluice.EndpointPolicy) (uint32, error) {
	if slot, ok := t.slotOf(id); ok {
		return slot, t.setPolicy(slot, p)
	}
	var zero firewallEndpoint
	// The id is also the first part of the names of its links.
	if len(id) == 0 || len(id) >= len(zero.Id) || strings.ContainsAny(id, "_./") {
		return 0, fmt.Errorf("make endpoint %q: an id has 1 to %d bytes, none of them _ . or /", id, len(zero.Id)-1)
	}
	for i := range t.mem.endpoints {
		e := &t.mem.endpoints[i]
		if atomic.LoadUint32(&e.State) != endpointFree {
			continue
		}
		e.Id = zero.Id
		for n := range len(id) {
			e.Id[n] = int8(id[n])
		}
		if err := t.setPolicy(uint32(i), p); err != nil {
			return 0, err
		}
		atomic.StoreUint32(&e.State, endpointInUse)
		return uint32(i), nil
	}
	return 0, fmt.Errorf("make endpoint %s: this host carries %d already", id, maxEndpoints)
}

func encodeAction(action string) (uint8, error) {
	switch action {
	case sluice.ActionPass:
		return actionPass, nil
	case sluice.ActionDrop:
		return actionDrop, nil
	case sluice.ActionForwardToSFE:
		return actionForward, nil
	}
	return 0, fmt.Errorf("set policy: unknown stateless action %q", action)
}

func encodeException(exception string) (uint8, error) {
	switch exception {
	case sluice.StreamExceptionDrop:
		return exceptionDrop, nil
	case sluice.StreamExceptionContinue:
		return exceptionContinue, nil
	case sluice.StreamExceptionReject:
		return exceptionReject, nil
	}
	return 0, fmt.Errorf("set policy: unknown stream exception policy %q", exception)
}

func encodePolicy(p sluice.EndpointPolicy) (firewallPolicy, error) {
	out := firewallPolicy{Generation: p.Generation}
	var err error
	if out.StatelessDefault, err = encodeAction(p.StatelessDefault); err != nil {
		return out, err
	}
	if out.FragmentDefault, err = encodeAction(p.FragmentDefault); err != nil {
		return out, err
	}
	if out.StreamException, err = encodeException(p.StreamException); err != nil {
		return out, err
	}
	seconds := p.TCPIdleTimeout / time.Second
	if seconds < sluice.TCPIdleTimeoutMin || seconds > sluice.TCPIdleTimeoutMax {
		return out, fmt.Errorf("set policy: TCP idle time-out is %v, want %d to %d s", p.TCPIdleTimeout,
			sluice.TCPIdleTimeoutMin, sluice.TCPIdleTimeoutMax)
	}
	out.TcpIdleTimeout = uint16(seconds)
	return out, nil
}

// setPolicy writes a policy to a free place and then swaps one index, so that no packet
// sees half of it. The place that was in force is used again last.
func (t *table) setPolicy(slot uint32, p sluice.EndpointPolicy) error {
	wanted, err := encodePolicy(p)
	if err != nil {
		return err
	}
	e := &t.mem.endpoints[slot]
	index := atomic.LoadUint32(&e.Policy)
	if index/policiesPerEndpoint == slot && t.mem.policies[index] == wanted {
		return nil
	}
	index = slot*policiesPerEndpoint + (index+1)%policiesPerEndpoint
	t.mem.policies[index] = wanted
	atomic.StoreUint32(&e.Policy, index)
	return nil
}

// policyGeneration is the generation that the packets of a slot meet.
func (t *table) policyGeneration(slot uint32) uint32 {
	return t.mem.policies[atomic.LoadUint32(&t.mem.endpoints[slot].Policy)].Generation
}

// releaseSlots frees the slots of all endpoints but the wanted ones, whose programs are
// detached by now: first their flows go, so that the next endpoint in the slot does not
// inherit them.
func (t *table) releaseSlots(ctx context.Context, wanted map[string]bool) error {
	var failed error
	for i := range t.mem.endpoints {
		e := &t.mem.endpoints[i]
		state := atomic.LoadUint32(&e.State)
		if state == endpointFree || state == endpointInUse && wanted[endpointName(e)] {
			continue
		}
		atomic.StoreUint32(&e.State, endpointLeaving)
		if err := t.releaseSlot(ctx, uint32(i)); err != nil {
			failed = errors.Join(failed, fmt.Errorf("release endpoint %s: %w", endpointName(e), err))
			continue
		}
		atomic.StoreUint32(&e.State, endpointFree)
	}
	return failed
}

func (t *table) releaseSlot(ctx context.Context, slot uint32) error {
	// Detaching waits for what runs, so that no packet adds a flow any more. The grace is
	// for programs that lost their device by themselves.
	time.Sleep(flushGrace)
	all := sluice.FlowMatch{
		AnyProtocol:     true,
		SourcePort:      sluice.PortRange{From: 0, To: 65535},
		DestinationPort: sluice.PortRange{From: 0, To: 65535},
	}
	f := compile(sluice.FlowSelection{Matches: []sluice.FlowMatch{all}}, uint16(slot))
	err := t.mem.scan(ctx, &f, func(_ int, bucket uint32, s uint8) error {
		var flow firewallFlow
		if t.mem.read(bucket, s, &flow) && uint32(flow.Key.Endpoint) == slot {
			t.mem.free(entry{bucket: bucket, slot: s, generation: flow.Generation})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("purge flows: %w", err)
	}
	zero := make([]firewallVerdictCounters, possibleCPUs())
	if err := t.maps.Verdicts.Put(slot, zero); err != nil {
		return fmt.Errorf("reset counters: %w", err)
	}
	return nil
}

package datapath

import (
	"fmt"
	"sync/atomic"
	"time"

	"sluice"
)

// Seed puts flows into the table of an endpoint that is applied, with their counters,
// ages and states, as if packets had made them: programs, captures, flushes and the
// cleaner take them for their own. It is for tests and benchmarks. It does not look
// whether a flow is there already, and no packet of the same flow may come meanwhile.
// It returns how many found room.
func (d *Datapath) Seed(endpointID string, flows []sluice.Flow) (int, error) {
	d.open.RLock()
	defer d.open.RUnlock()
	slot, now, err := d.begin(endpointID)
	if err != nil {
		return 0, fmt.Errorf("seed flows of %s: %w", endpointID, err)
	}
	policy := d.mem.policies[atomic.LoadUint32(&d.mem.endpoints[slot].Policy)]
	for i := range flows {
		f := entryOf(&flows[i], slot, now)
		f.PolicyGeneration = policy.Generation
		f.EstablishedTimeout = policy.TcpIdleTimeout
		f.Timeout = timeoutOf(&f)
		if !d.insert(&f) {
			return i, nil
		}
	}
	return len(flows), nil
}

// entryOf is the entry that a flow would have.
func entryOf(f *sluice.Flow, slot uint16, now uint64) firewallFlow {
	var out firewallFlow
	out.Key.Src, out.Key.Dst = words(f.Source), words(f.Destination)
	out.Key.Sport, out.Key.Dport = f.SourcePort, f.DestinationPort
	out.Key.Protocol, out.Key.Endpoint = f.Protocol, slot
	out.Key.Family = familyIPv6
	if f.Source.Unmap().Is4() {
		out.Key.Family = familyIPv4
	}
	// The clock began when the machine did.
	out.First, out.Last = now-min(now, uint64(max(0, f.Age))), now-min(now, uint64(max(0, f.Idle)))
	out.Engine = uint8(f.Engine)
	out.Packets, out.Bytes = f.Packets, f.Bytes
	tcp := f.Protocol == sluice.ProtocolTCP
	if tcp {
		out.Status = statusSYN0
	}
	switch {
	case f.State == sluice.FlowNew:
	case tcp:
		out.Status |= statusSYN1 | statusAcked
	default:
		out.Status |= statusReplied
	}
	if f.State == sluice.FlowClosed {
		out.Status |= statusClosed
	}
	return out
}

// timeoutOf is the idle time-out of an entry's state, in ms.
func timeoutOf(f *firewallFlow) uint32 {
	tcp := f.Key.Protocol == sluice.ProtocolTCP
	switch state := flowState(f.Key.Protocol, f.Status); {
	case state == sluice.FlowClosed:
		return timeoutTCPClosed
	case tcp && state == sluice.FlowEstablished:
		return uint32(f.EstablishedTimeout) * uint32(time.Second/time.Millisecond)
	case tcp:
		return timeoutTCPNew
	case state == sluice.FlowEstablished:
		return timeoutEstablished
	}
	return timeoutNew
}

// insert puts an entry where the programs would, or tells that there is no room.
func (d *Datapath) insert(f *firewallFlow) bool {
	b1, b2, tag := placeOf(&d.layout, keyWords(f))
	if used := d.mem.used(b1); used >= bucketFavoured && d.mem.used(b2) < used {
		b1, b2 = b2, b1
	}
	if atomic.AddUint64(&d.mem.state.Used, 1) <= d.layout.MaxFlows &&
		(d.mem.claim(b1, tag, f) || d.mem.claim(b2, tag, f)) {
		return true
	}
	atomic.AddUint64(&d.mem.state.Used, ^uint64(0))
	return false
}

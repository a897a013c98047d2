package datapath

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"

	"sluice"
)

// scanCacheTime is how long a count of flows by state is good for.
const scanCacheTime = time.Second

func possibleCPUs() int { return ebpf.MustPossibleCPU() }

// Counters reads all counters. The count by protocol and state comes from a scan and
// may be a second old; closed flows are in it, those that timed out are not.
func (d *Datapath) Counters() (sluice.DatapathCounters, error) {
	d.open.RLock()
	defer d.open.RUnlock()
	if d.mem == nil {
		return sluice.DatapathCounters{}, fmt.Errorf("read counters: %w", errClosed)
	}
	s := d.mem.state
	out := sluice.DatapathCounters{
		Table: sluice.FlowTableCounters{
			MaxFlows:    d.layout.MaxFlows,
			Flows:       atomic.LoadUint64(&s.Used),
			Refused:     atomic.LoadUint64(&s.Refused),
			Emergencies: atomic.LoadUint64(&s.Emergencies),
			Emergency:   atomic.LoadUint64(&s.Emergency) != 0,
		},
		Endpoints: map[string]sluice.VerdictCounters{},
	}
	var err error
	if out.Table.ByProtocolState, err = d.cache.read(d.mem); err != nil {
		return out, fmt.Errorf("read counters: %w", err)
	}
	if out.Sessions, err = d.mirrors.counters(); err != nil {
		return out, fmt.Errorf("read counters: %w", err)
	}
	for i := range d.mem.endpoints {
		e := &d.mem.endpoints[i]
		if atomic.LoadUint32(&e.State) != endpointInUse {
			continue
		}
		v, err := d.table.verdicts(uint32(i))
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			continue
		}
		if err != nil {
			return out, fmt.Errorf("read counters: %w", err)
		}
		out.Endpoints[endpointName(e)] = v
	}
	return out, nil
}

// MemoryBytes is the kernel memory that the flow table takes, full or empty: its places
// and their tags, and the locks, fragments and counters beside them.
func (d *Datapath) MemoryBytes() (uint64, error) {
	d.open.RLock()
	defer d.open.RUnlock()
	if d.mem == nil {
		return 0, fmt.Errorf("read memory of flow table: %w", errClosed)
	}
	var sum uint64
	err := d.eachMap(func(_ string, m **ebpf.Map) error {
		info, err := (*m).Info()
		if err != nil {
			return err
		}
		n, ok := info.Memlock()
		if !ok {
			return errors.New("the kernel doesn't tell")
		}
		sum += n
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read memory of flow table: %w", err)
	}
	return sum, nil
}

// verdicts adds up what the CPUs counted for a slot.
func (t *table) verdicts(slot uint32) (sluice.VerdictCounters, error) {
	var perCPU []firewallVerdictCounters
	if err := t.maps.Verdicts.Lookup(slot, &perCPU); err != nil {
		return sluice.VerdictCounters{}, err
	}
	sum := func(v int) (c sluice.Counter) {
		for i := range perCPU {
			c.Packets += perCPU[i].Packets[v]
			c.Bytes += perCPU[i].Bytes[v]
		}
		return c
	}
	return sluice.VerdictCounters{
		PassedStateless:              sum(verdictPassedStateless),
		PassedStateful:               sum(verdictPassedStateful),
		DroppedStateless:             sum(verdictDroppedStateless),
		DroppedStateful:              sum(verdictDroppedStateful),
		RejectedPackets:              sum(verdictRejected),
		StreamExceptionPolicyPackets: sum(verdictStreamException),
		InvalidDroppedPackets:        sum(verdictInvalid),
		OtherDroppedPackets:          sum(verdictOtherDropped),
	}, nil
}

// scanCache keeps the last count of flows by protocol and state.
type scanCache struct {
	mu    sync.Mutex
	at    time.Time
	count map[string]map[sluice.FlowState]uint64
}

// protocolNames are the labels of FlowTableCounters.ByProtocolState.
func protocolName(p uint8) string {
	switch p {
	case sluice.ProtocolTCP:
		return "tcp"
	case sluice.ProtocolUDP:
		return "udp"
	case sluice.ProtocolICMP:
		return "icmp"
	case sluice.ProtocolICMPv6:
		return "icmpv6"
	case sluice.ProtocolSCTP:
		return "sctp"
	}
	return "other"
}

func (c *scanCache) read(m *memory) (map[string]map[sluice.FlowState]uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count != nil && time.Since(c.at) < scanCacheTime {
		return cloneCount(c.count), nil
	}
	now, err := monotonic()
	if err != nil {
		return nil, err
	}
	var byNumber [256][3]uint64
	for b := range m.tags {
		for s := range m.tags[b].Tag {
			if atomic.LoadUint32(&m.tags[b].Tag[s]) < tagFirst {
				continue
			}
			f := &m.flows[b].Flow[s]
			status := atomic.LoadUint32(&f.Status)
			if status&statusGone == 0 && since(now, f.Last) <= time.Duration(f.Timeout)*time.Millisecond {
				byNumber[f.Key.Protocol][flowState(f.Key.Protocol, status)]++
			}
		}
		if b%scanStride == 0 {
			runtime.Gosched()
		}
	}
	count := map[string]map[sluice.FlowState]uint64{}
	for p, states := range byNumber {
		name := protocolName(uint8(p))
		for state, n := range states {
			if n == 0 {
				continue
			}
			if count[name] == nil {
				count[name] = map[sluice.FlowState]uint64{}
			}
			count[name][sluice.FlowState(state)] += n
		}
	}
	c.at, c.count = time.Now(), count
	return cloneCount(count), nil
}

func cloneCount(from map[string]map[sluice.FlowState]uint64) map[string]map[sluice.FlowState]uint64 {
	to := make(map[string]map[sluice.FlowState]uint64, len(from))
	for p, states := range from {
		to[p] = make(map[sluice.FlowState]uint64, len(states))
		for s, n := range states {
			to[p][s] = n
		}
	}
	return to
}

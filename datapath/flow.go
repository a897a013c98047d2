package datapath

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"sluice"
)

// monotonic is the clock of the programs, in ns.
func monotonic() (uint64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &ts); err != nil {
		return 0, fmt.Errorf("read monotonic clock: %w", err)
	}
	return uint64(ts.Nano()), nil
}

// since is the time from then to now, or 0 where another CPU's clock was ahead.
func since(now, then uint64) time.Duration {
	return max(0, time.Duration(now-then))
}

// flowState derives the state of a flow as the programs do in bpf/table.h.
func flowState(protocol uint8, status uint32) sluice.FlowState {
	if status&statusClosed != 0 || status&statusFIN == statusFIN {
		return sluice.FlowClosed
	}
	established := status&statusReplied != 0
	if protocol == sluice.ProtocolTCP && status&statusMidstream == 0 {
		established = status&statusAcked == statusAcked
	}
	if established {
		return sluice.FlowEstablished
	}
	return sluice.FlowNew
}

// present tells whether an entry stands for a flow, though it may be closed.
func present(f *firewallFlow, now uint64) bool {
	return f.Status&statusGone == 0 && since(now, f.Last) <= time.Duration(f.Timeout)*time.Millisecond
}

// closed tells whether a flow is one that captures leave out.
func closed(f *firewallFlow) bool {
	return flowState(f.Key.Protocol, f.Status) == sluice.FlowClosed
}

// words is an address as the table keeps it: IPv4 as ::ffff:a.b.c.d.
func words(a netip.Addr) [2]uint64 {
	b := a.As16()
	return [2]uint64{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])}
}

func address(w [2]uint64, family uint8) netip.Addr {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], w[0])
	binary.LittleEndian.PutUint64(b[8:], w[1])
	if family == familyIPv4 {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.AddrFrom16(b)
}

// export makes the root's Flow of an entry.
func export(f *firewallFlow, now uint64) sluice.Flow {
	return sluice.Flow{
		Source:          address(f.Key.Src, f.Key.Family),
		Destination:     address(f.Key.Dst, f.Key.Family),
		SourcePort:      f.Key.Sport,
		DestinationPort: f.Key.Dport,
		Protocol:        f.Key.Protocol,
		State:           flowState(f.Key.Protocol, f.Status),
		Engine:          sluice.Engine(f.Engine),
		Age:             since(now, f.First),
		Idle:            since(now, f.Last),
		Packets:         f.Packets,
		Bytes:           f.Bytes,
	}
}

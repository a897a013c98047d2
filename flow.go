package sluice

import (
	"net/netip"
	"time"
)

// IANA protocol numbers that the data plane treats in a way of their own.
const (
	ProtocolICMP   = 1
	ProtocolTCP    = 6
	ProtocolUDP    = 17
	ProtocolICMPv6 = 58
	ProtocolSCTP   = 132
)

// FlowState is what a flow has come to.
type FlowState uint8

// The states of a flow. TCP gets there by its handshake and its FINs or RST; for
// other protocols a flow is new while only one direction has sent, established
// once both have, and never closed (SCTP closes with ABORT or SHUTDOWN COMPLETE).
const (
	FlowNew FlowState = iota
	FlowEstablished
	FlowClosed
)

// String returns "new", "established" or "closed".
func (s FlowState) String() string {
	switch s {
	case FlowNew:
		return "new"
	case FlowEstablished:
		return "established"
	case FlowClosed:
		return "closed"
	}
	return "unknown"
}

// Engine says which half of the firewall let a flow's packets through.
type Engine uint8

// The two engines of a firewall.
const (
	EngineStateless Engine = iota // aws:pass
	EngineStateful                // aws:forward_to_sfe
)

// String returns "stateless" or "stateful".
func (e Engine) String() string {
	if e == EngineStateful {
		return "stateful"
	}
	return "stateless"
}

// Flow is one 5-tuple with its direction: Source is the side that sent the first
// packet. One entry stands for both directions.
type Flow struct {
	Source          netip.Addr
	Destination     netip.Addr
	SourcePort      uint16 // 0 where the protocol has no ports
	DestinationPort uint16 // 0 where the protocol has no ports
	Protocol        uint8  // IANA number
	State           FlowState
	Engine          Engine
	Age             time.Duration // from the first packet to the capture
	Idle            time.Duration // from the last packet to the capture
	Packets         [2]uint64     // wire packets: source to destination, and back
	Bytes           [2]uint64     // IP bytes including headers, by direction
}

// FlowBlock is a part of a capture or flush, as it comes from one endpoint.
type FlowBlock []Flow

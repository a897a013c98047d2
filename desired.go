package sluice

import "time"

// EndpointPolicy is a firewall policy as the data plane enforces it.
type EndpointPolicy struct {
	PolicyArn        string
	Generation       uint32
	StatelessDefault string        // ActionPass, ActionDrop or ActionForwardToSFE
	FragmentDefault  string        // the same, for fragmented UDP
	StreamException  string        // StreamExceptionDrop, …Continue or …Reject
	TCPIdleTimeout   time.Duration // for flows that begin from now on
}

// Endpoint is a firewall endpoint as an agent has to build it: the firewall
// program on both directions of each interface.
type Endpoint struct {
	ID           string // "vpce-" + 17 hex digits
	FirewallName string // label of metrics
	FirewallArn  string
	Zone         string
	Interfaces   []InterfaceRef
	Policy       EndpointPolicy
}

// InterfaceRef names a device on a host. The agent resolves it anew whenever
// devices come and go.
type InterfaceRef struct {
	ID     string // eni-…
	HostID string
	Netns  string // "" is the host's own
	Device string
}

// DesiredState is everything that one agent has to keep true.
type DesiredState struct {
	// Revision grows with each change; an agent's status says which it has reached.
	Revision  int64
	Endpoints []Endpoint
	// Mirrors are the sources of traffic mirroring.
	Mirrors []MirrorSource
}

// EndpointStatus is what an agent says of one endpoint.
type EndpointStatus struct {
	ID string
	// Attached lists the interface ids whose programs are in place.
	Attached []string
	// Missing lists those whose device is not there; it is attached when it comes.
	Missing []string
	// PolicyGeneration is the generation that packets meet now.
	PolicyGeneration uint32
	// Problem is why the endpoint can't be built; "" when all is well.
	Problem string
}

// AgentStatus is what an agent says of itself.
type AgentStatus struct {
	HostID    string
	Revision  int64 // the DesiredState that has been carried out
	Endpoints []EndpointStatus
	Mirrors   []MirrorSourceStatus
}

// VerdictCounters count the packets of one endpoint by what became of them. The
// names follow the CloudWatch metrics of AWS/NetworkFirewall.
type VerdictCounters struct {
	PassedStateless, PassedStateful   Counter
	DroppedStateless, DroppedStateful Counter
	RejectedPackets                   Counter // answered with a TCP RST
	StreamExceptionPolicyPackets      Counter // met the policy for streams without a flow; also counted by verdict
	InvalidDroppedPackets             Counter // could not be parsed
	OtherDroppedPackets               Counter // no room in the flow table, fragment without its first
}

// Counter counts packets and IP bytes.
type Counter struct{ Packets, Bytes uint64 }

// FlowTableCounters are the state of a host's flow table.
type FlowTableCounters struct {
	MaxFlows    uint64
	Flows       uint64 // entries in use
	Refused     uint64 // new flows that found no room
	Emergencies uint64 // times that emergency mode was entered
	Emergency   bool   // in force now
	// ByProtocolState counts flows by protocol ("tcp", "udp", "icmp", "icmpv6",
	// "sctp", "other") and state.
	ByProtocolState map[string]map[FlowState]uint64
}

// DatapathCounters are all counters of one host.
type DatapathCounters struct {
	Table     FlowTableCounters
	Endpoints map[string]VerdictCounters // by endpoint id
	Sessions  map[string]SessionCounters // by session id
}

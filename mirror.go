package sluice

import (
	"net/netip"
	"slices"
	"time"
)

// The values of TrafficMirrorTarget.Type.
const (
	TargetNetworkInterface    = "network-interface"
	TargetNetworkLoadBalancer = "network-load-balancer"
)

// The values of TrafficMirrorFilterRule.TrafficDirection: as seen from the source.
const (
	TrafficIngress = "ingress"
	TrafficEgress  = "egress"
)

// The values of TrafficMirrorFilterRule.RuleAction.
const (
	MirrorAccept = "accept" // mirror the packet
	MirrorReject = "reject" // this session doesn't; the next one is asked
)

// MirrorDevicePrefix begins the names of the devices that the data plane makes for
// itself in the namespaces of sources. They are no interfaces of the inventory.
const MirrorDevicePrefix = "sluice-"

// NetworkServiceDNS is the only network service of a filter.
const NetworkServiceDNS = "amazon-dns"

// TrafficMirrorTarget is where copies go. Exactly one of NetworkInterfaceID and
// NetworkLoadBalancerArn is set.
type TrafficMirrorTarget struct {
	ID                     string // "tmt-" + 17 hex digits
	Type                   string
	NetworkInterfaceID     string
	NetworkLoadBalancerArn string // names a target group of the configuration
	Description            string
	OwnerID                string
	Tags                   []Tag
}

// TrafficMirrorFilter says which packets a session copies.
type TrafficMirrorFilter struct {
	ID              string // "tmf-" + 17 hex digits
	Description     string
	NetworkServices []string                  // NetworkServiceDNS or nothing
	Rules           []TrafficMirrorFilterRule // both directions, ordered by number
	Tags            []Tag
}

// TrafficMirrorFilterRule is one rule of a filter and a direction. The first rule
// that matches decides.
type TrafficMirrorFilterRule struct {
	ID                   string // "tmfr-" + 17 hex digits
	FilterID             string
	TrafficDirection     string
	RuleNumber           int32 // unique in its filter and direction, from 1
	RuleAction           string
	Protocol             int32      // IANA number; -1 is any
	SourcePortRange      *PortRange // nil is any; only TCP and UDP have one
	DestinationPortRange *PortRange
	SourceCIDR           netip.Prefix // masked; of the same family as DestinationCIDR
	DestinationCIDR      netip.Prefix
	Description          string
	Tags                 []Tag
}

// TrafficMirrorSession copies the packets of a source interface to a target.
type TrafficMirrorSession struct {
	ID                 string // "tms-" + 17 hex digits
	NetworkInterfaceID string // the source
	TargetID           string
	FilterID           string
	SessionNumber      int32 // 1 to 32766, unique per source; the smallest is asked first
	PacketLength       int32 // bytes of the frame that are copied; 0 is all
	VirtualNetworkID   int32 // VXLAN network identifier, 24 bits
	Description        string
	OwnerID            string
	Tags               []Tag
}

// Clone returns a filter that shares nothing with f.
func (f TrafficMirrorFilter) Clone() TrafficMirrorFilter {
	f.NetworkServices = slices.Clone(f.NetworkServices)
	f.Rules = slices.Clone(f.Rules)
	f.Tags = slices.Clone(f.Tags)
	return f
}

// Interface tells whether copies go to an interface rather than to a group.
func (t TrafficMirrorTarget) Interface() bool { return t.Type == TargetNetworkInterface }

// TargetGroup is a named group of receivers. On the API it is a network load
// balancer that has a UDP listener on port 4789.
type TargetGroup struct {
	Name string // 1 to 32 letters, digits and hyphens
	Arn  string
	// Members are interface ids and IP addresses, in the order of the configuration.
	Members []string
}

// MirrorQuotas bound what an account may have of traffic mirroring.
type MirrorQuotas struct {
	Filters, Targets, Sessions int
	RulesPerFilter             int // both directions together
	SessionsPerSource          int
	SourcesPerTarget           int // of an interface; groups have no bound
}

// Creation says which request creates a thing, so that its repetition makes nothing
// new, and whether it is only tried.
type Creation struct {
	ClientToken string // "" for a request that can't be repeated
	Digest      string // of everything else that was asked for
	DryRun      bool   // check all, answer with DryRun, change nothing
	Time        time.Time
}

// MirrorSource is an interface with everything that an agent needs to mirror it.
type MirrorSource struct {
	Interface InterfaceRef
	// Addresses are the source addresses of copies: the interface's primary IPv4 and
	// IPv6 address. The zero Addr is none.
	IPv4, IPv6 netip.Addr
	Sessions   []MirrorSession // at most three, ordered by number
}

// MaxResolvers is how many resolvers a session can have.
const MaxResolvers = 8

// MirrorSession is a session with its filter and target resolved.
type MirrorSession struct {
	ID           string
	Number       int32
	VNI          uint32
	PacketLength uint32 // 0 is all
	// Targets are the addresses over which flows are spread, both directions of a flow
	// to the same one. One for an interface; members of a group otherwise.
	Targets []netip.Addr
	Rules   []TrafficMirrorFilterRule
	// DNS says that traffic with Resolvers is mirrored whatever the rules say; without
	// it, it is not mirrored at all.
	DNS       bool
	Resolvers []netip.Addr // at most MaxResolvers
	// PacketsPerSecond and BytesPerSecond cap the copies; 0 is no cap.
	PacketsPerSecond, BytesPerSecond uint64
}

// MirrorSourceStatus is what an agent says of one source.
type MirrorSourceStatus struct {
	InterfaceID string
	Attached    bool
	// Problem is why copies can't be made; "" when all is well. A device that is not
	// there is no problem: Attached is false until it comes.
	Problem string
}

// MirrorCounters count the packets of one session and direction. Bytes are frame
// bytes, of copies without their encapsulation.
type MirrorCounters struct {
	Matched   Counter // the filter said mirror
	Mirrored  Counter // copies handed to the network
	Sliced    Counter // of Mirrored: cut to PacketLength
	Truncated Counter // of Mirrored: cut to what the path to the target carries
	Capped    Counter // not copied: over the session's rate, or over what copies may take of a processor
	NoRoute   Counter // not copied: no way to the target
	Errors    Counter // not copied: anything else
}

// SessionCounters are the counters of one session.
type SessionCounters struct{ Ingress, Egress MirrorCounters }

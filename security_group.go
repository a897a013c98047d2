package sluice

import (
	"net/netip"
	"time"
)

// ProtocolAny is the IpProtocol of a security group rule for all traffic.
const ProtocolAny = "-1"

// SecurityGroup is a named set of rules. Sluice keeps groups for clients that expect
// them and does not enforce their rules.
type SecurityGroup struct {
	ID          string // "sg-" + 17 hex digits
	Name        string // unique in its VPC
	Description string
	VpcID       string
	OwnerID     string
	Rules       []SecurityGroupRule // both directions, in the order of their making
	Tags        []Tag
	Created     time.Time
}

// SecurityGroupRule allows one peer. Exactly one of CIDR and GroupID is set.
type SecurityGroupRule struct {
	ID       string // "sgr-" + 17 hex digits
	Egress   bool
	Protocol string // "tcp", "udp", "icmp", "icmpv6", a number, or ProtocolAny
	// FromPort and ToPort are ports, or type and code of ICMP; -1 is any, also where
	// the protocol has neither.
	FromPort, ToPort int32
	CIDR             netip.Prefix // masked
	GroupID          string
	Description      string
	Tags             []Tag
}

// Same tells whether two rules allow the same, whatever they are called.
func (r SecurityGroupRule) Same(o SecurityGroupRule) bool {
	return r.Egress == o.Egress && r.Protocol == o.Protocol && r.FromPort == o.FromPort && r.ToPort == o.ToPort &&
		r.CIDR == o.CIDR && r.GroupID == o.GroupID
}

// SecurityGroupQuotas bound what an account may have of security groups.
type SecurityGroupQuotas struct {
	Groups        int
	RulesPerGroup int // of one direction
}

package control

import (
	"context"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sluice"
)

// IPPermission is the IpPermission structure: a protocol with ports, and peers.
type IPPermission struct {
	Protocol         string
	FromPort, ToPort *int32
	Peers            []GroupPeer
}

// GroupPeer is one peer of an IPPermission. Exactly one of the others is set beside
// Description.
type GroupPeer struct {
	IPv4, IPv6  string // CIDR blocks
	Group       SecurityGroupSelector
	Description string
}

// anyPort is a port of rules that mean all, or whose protocol has none.
const anyPort = -1

// rulesOf makes ingress rules, without ids, of permissions.
func (c *Controller) rulesOf(ctx context.Context, permissions []IPPermission) ([]sluice.SecurityGroupRule, error) {
	var out []sluice.SecurityGroupRule
	for _, p := range permissions {
		base, err := p.rule()
		if err != nil {
			return nil, err
		}
		if len(p.Peers) == 0 {
			return nil, sluice.EC2Errorf(sluice.KindInvalidRequest, "MissingParameter", "Source group or CIDR missing: specify IpRanges, Ipv6Ranges or Groups")
		}
		for _, peer := range p.Peers {
			r := base
			r.Description = peer.Description
			if !groupTextPattern.MatchString(peer.Description) {
				return nil, sluice.InvalidValue("Description", peer.Description, "Expecting at most 255 characters of a-zA-Z0-9 ._-:/()#,@[]+=&;{}!$*.")
			}
			switch {
			case peer.IPv4 != "":
				r.CIDR, err = parseGroupCIDR(peer.IPv4, true)
			case peer.IPv6 != "":
				r.CIDR, err = parseGroupCIDR(peer.IPv6, false)
			default:
				var g sluice.SecurityGroup
				g, err = c.findGroup(ctx, peer.Group)
				r.GroupID = g.ID
			}
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(out, r.Same) {
				return nil, sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidParameterValue", "The same permission must not appear multiple times")
			}
			out = append(out, r)
		}
	}
	return out, nil
}

func parseGroupCIDR(s string, v4 bool) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4() != v4 || p.Addr().Is4In6() {
		return netip.Prefix{}, sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidParameterValue", "CIDR block %.64s is malformed", s)
	}
	return p.Masked(), nil
}

// groupProtocol returns the name that EC2 shows for a protocol: tcp, udp, icmp and
// icmpv6 have one, others their number.
func groupProtocol(s string) (string, error) {
	s = strings.ToLower(s)
	switch s {
	case "":
		return "", sluice.MissingParameter("IpProtocol")
	case "tcp", "6":
		return "tcp", nil
	case "udp", "17":
		return "udp", nil
	case "icmp", "1":
		return "icmp", nil
	case "icmpv6", "58":
		return "icmpv6", nil
	case sluice.ProtocolAny, "all":
		return sluice.ProtocolAny, nil
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return "", sluice.InvalidValue("IpProtocol", s, "Expecting tcp, udp, icmp, icmpv6, a number from 0 to 255, or -1 for all.")
	}
	return strconv.FormatUint(n, 10), nil
}

// rule is the ingress rule of a permission without its peer.
func (p IPPermission) rule() (sluice.SecurityGroupRule, error) {
	r := sluice.SecurityGroupRule{FromPort: anyPort, ToPort: anyPort}
	var err error
	if r.Protocol, err = groupProtocol(p.Protocol); err != nil {
		return r, err
	}
	switch r.Protocol {
	case "tcp", "udp":
		if p.FromPort == nil || p.ToPort == nil {
			return r, sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidParameterValue",
				"Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.")
		}
		if *p.FromPort < 0 || *p.ToPort > math.MaxUint16 || *p.FromPort > *p.ToPort {
			return r, sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidParameterValue",
				"Invalid value '%d-%d' for portRange. Expecting a range of ports from 0 to 65535.", *p.FromPort, *p.ToPort)
		}
		r.FromPort, r.ToPort = *p.FromPort, *p.ToPort
	case "icmp", "icmpv6":
		for _, n := range []struct {
			into  *int32
			given *int32
			what  string
		}{{&r.FromPort, p.FromPort, "type"}, {&r.ToPort, p.ToPort, "code"}} {
			if n.given == nil {
				continue
			}
			if *n.given < anyPort || *n.given > math.MaxUint8 {
				return r, sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidParameterValue", "ICMP %s (%d) out of range", n.what, *n.given)
			}
			*n.into = *n.given
		}
	}
	return r, nil
}

// describeGroupRule is how EC2 writes a rule into a message.
func describeGroupRule(r sluice.SecurityGroupRule) string {
	peer := r.GroupID
	if peer == "" {
		peer = r.CIDR.String()
	}
	protocol := strings.ToUpper(r.Protocol)
	if r.Protocol == sluice.ProtocolAny {
		return "peer: " + peer + ", ALL, ALLOW"
	}
	return "peer: " + peer + ", " + protocol + ", from port: " + strconv.Itoa(int(r.FromPort)) + ", to port: " + strconv.Itoa(int(r.ToPort)) + ", ALLOW"
}

package api

import (
	"slices"

	"sluice"
)

// ipPermission is the IpPermission structure: all rules of one protocol and one
// range of ports.
type ipPermission struct {
	Protocol    string      `xml:"ipProtocol"`
	FromPort    *int32      `xml:"fromPort"`
	ToPort      *int32      `xml:"toPort"`
	Groups      []groupPair `xml:"groups"`
	IPv4        []ipRange   `xml:"ipRanges"`
	IPv6        []ipv6Range `xml:"ipv6Ranges"`
	PrefixLists []struct{}  `xml:"prefixListIds"`
}

type groupPair struct {
	UserID      string `xml:"userId"`
	GroupID     string `xml:"groupId"`
	Description string `xml:"description"`
}

type ipRange struct {
	CIDR        string `xml:"cidrIp"`
	Description string `xml:"description"`
}

type ipv6Range struct {
	CIDR        string `xml:"cidrIpv6"`
	Description string `xml:"description"`
}

// addPermission adds a rule to the permission that it belongs to, or a new one.
func addPermission(in []ipPermission, r sluice.SecurityGroupRule, owner string) []ipPermission {
	added := ipPermission{Protocol: r.Protocol}
	switch r.Protocol {
	case "tcp", "udp", "icmp", "icmpv6": // the others have no ports
		added.FromPort, added.ToPort = &r.FromPort, &r.ToPort
	}
	at := slices.IndexFunc(in, func(p ipPermission) bool {
		return p.Protocol == added.Protocol && number(p.FromPort) == number(added.FromPort) && number(p.ToPort) == number(added.ToPort)
	})
	if at < 0 {
		at = len(in)
		in = append(in, added)
	}
	switch v4, v6 := groupCIDR(r); {
	case v4 != "":
		in[at].IPv4 = append(in[at].IPv4, ipRange{v4, r.Description})
	case v6 != "":
		in[at].IPv6 = append(in[at].IPv6, ipv6Range{v6, r.Description})
	default:
		in[at].Groups = append(in[at].Groups, groupPair{owner, r.GroupID, r.Description})
	}
	return in
}

package sluice

import (
	"net/netip"
	"slices"
)

// Interface is a Linux network device in one namespace of one host. On the API it
// is an elastic network interface.
type Interface struct {
	ID               string // "eni-" + 17 hex digits; a device that comes back keeps it
	HostID           string // which host, as its agent names itself
	Netns            string // the named network namespace; "" is the host's own
	Device           string // the device's name, "eth0"
	Index            int    // the kernel's ifindex in that namespace; 0 while the device is away
	MAC              string // "0a:58:…", lower case
	MTU              int    // bytes
	Up               bool
	Addresses        []netip.Prefix // with the prefix length that the device carries, IPv4 first
	InstanceID       string
	SubnetID         string
	VpcID            string
	AvailabilityZone string
	// Firewall says that firewall endpoints of the subnet attach here.
	Firewall bool
}

// Present tells whether the device is there now. One that is declared stays in the
// inventory while it is away: on the API it is attached to nothing then.
func (n Interface) Present() bool { return n.Index != 0 }

// Subnet is an IP network in one availability zone.
type Subnet struct {
	ID               string
	Name             string // the tag Name; "" where nothing is configured
	VpcID            string
	AvailabilityZone string
	CIDRs            []netip.Prefix // masked, IPv4 first
}

// Instance is a host, or a namespace of a host that is declared as a machine of
// its own.
type Instance struct {
	ID               string
	Name             string // host name, or namespace name
	HostID           string
	Netns            string
	AvailabilityZone string
	VpcID            string
	SubnetID         string // of the first interface
	InterfaceIDs     []string
}

// Vpc is the network that all subnets of an installation lie in.
type Vpc struct {
	ID    string
	CIDRs []netip.Prefix
}

// Inventory is everything that the EC2 reads can show, at one moment.
type Inventory struct {
	Interfaces []Interface // ordered by host, namespace, device
	Subnets    []Subnet    // ordered by id
	Instances  []Instance  // ordered by id
	Vpcs       []Vpc
	Zones      []string // zone names, sorted
}

// Subnet returns the subnet of an id.
func (i Inventory) Subnet(id string) (Subnet, bool) {
	for _, s := range i.Subnets {
		if s.ID == id {
			return s, true
		}
	}
	return Subnet{}, false
}

// FirewallInterfaces returns the interfaces of a subnet that carry firewalls.
func (i Inventory) FirewallInterfaces(subnetID string) []Interface {
	var out []Interface
	for _, n := range i.Interfaces {
		if n.SubnetID == subnetID && n.Firewall {
			out = append(out, n)
		}
	}
	return out
}

// Interface returns the interface of an id.
func (i Inventory) Interface(id string) (Interface, bool) {
	for _, n := range i.Interfaces {
		if n.ID == id {
			return n, true
		}
	}
	return Interface{}, false
}

// HasAddress tells whether the interface has an address.
func (n Interface) HasAddress(a netip.Addr) bool {
	return slices.ContainsFunc(n.Addresses, func(p netip.Prefix) bool { return p.Addr().Unmap() == a.Unmap() })
}

// Primary returns the first IPv4 and the first IPv6 address that reach beyond the
// link; the zero Addr where there is none.
func (n Interface) Primary() (v4, v6 netip.Addr) {
	for _, p := range n.Addresses {
		a := p.Addr().Unmap()
		switch {
		case a.IsLinkLocalUnicast():
		case a.Is4() && !v4.IsValid():
			v4 = a
		case a.Is6() && !v6.IsValid():
			v6 = a
		}
	}
	return v4, v6
}

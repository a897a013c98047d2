package inventory

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"sluice"
)

// derive makes the inventory out of readings. known has the id of each device that is
// in: see identify. It is a pure function of its arguments.
func derive(o Options, seen map[string]namespaceState, known []remembered) sluice.Inventory {
	v := builder{
		options:   o,
		vpc:       sluice.DeriveID("vpc", o.Region),
		ids:       map[deviceName]string{},
		subnets:   map[string]*sluice.Subnet{},
		instances: map[string]*sluice.Instance{},
	}
	for _, r := range known {
		v.ids[deviceName{r.Netns, r.Device}] = r.ID // the ones that are in come last
	}
	for _, d := range wanted(o, seen) {
		state := seen[d.Netns]
		if dev, ok := state.find(d.Device); ok {
			v.add(d, dev, state.forwards)
		}
	}
	return v.finish()
}

// wanted returns what is in: the declared interfaces, or all of the host that have
// an address.
func wanted(o Options, seen map[string]namespaceState) []Declared {
	if o.Declared != nil {
		return o.Declared
	}
	var out []Declared
	for _, d := range seen[""].devices {
		if len(d.addresses) > 0 {
			out = append(out, Declared{Device: d.name})
		}
	}
	return out
}

// builder gathers an inventory.
type builder struct {
	options    Options
	vpc        string
	ids        map[deviceName]string
	interfaces []sluice.Interface
	subnets    map[string]*sluice.Subnet
	instances  map[string]*sluice.Instance
}

// deviceName is where a device is, and how it is called there.
type deviceName struct{ netns, device string }

func (v *builder) add(d Declared, dev device, forwards bool) {
	zone := d.AvailabilityZone
	if zone == "" {
		zone = v.defaultZone()
	}
	n := sluice.Interface{
		ID:               v.ids[deviceName{d.Netns, dev.name}],
		HostID:           v.options.HostID,
		Netns:            d.Netns,
		Device:           dev.name,
		Index:            dev.index,
		MAC:              dev.mac,
		MTU:              dev.mtu,
		Up:               dev.up,
		Addresses:        dev.addresses,
		InstanceID:       d.InstanceID,
		SubnetID:         d.SubnetID,
		VpcID:            v.vpc,
		AvailabilityZone: zone,
		Firewall:         forwards,
	}
	if d.Firewall != nil {
		n.Firewall = *d.Firewall
	}
	if n.InstanceID == "" {
		n.InstanceID = v.instanceID(d.Netns, zone)
	}
	if n.SubnetID == "" {
		n.SubnetID = v.subnetID(n)
	}
	v.interfaces = append(v.interfaces, n)
}

func (v *builder) defaultZone() string { return v.options.Region + "a" }

// instanceID follows from the namespace. An instance lies in one zone, so that a
// namespace with devices in several is several instances.
func (v *builder) instanceID(netns, zone string) string {
	if zone == v.defaultZone() {
		return sluice.DeriveID("i", v.options.HostID, netns)
	}
	return sluice.DeriveID("i", v.options.HostID, netns, zone)
}

// subnetID follows from the IP network alone, so that several hosts in it agree;
// a device without one is a subnet by itself.
func (v *builder) subnetID(n sluice.Interface) string {
	networks := networksOf(n.Addresses)
	if len(networks) == 0 {
		return sluice.DeriveID("subnet", n.HostID, n.Netns, n.Device, n.AvailabilityZone)
	}
	return sluice.DeriveID("subnet", networks[0].String(), n.AvailabilityZone)
}

// networksOf returns the network of the first IPv4 and of the first IPv6 address.
func networksOf(addresses []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, is4 := range []bool{true, false} {
		i := slices.IndexFunc(addresses, func(p netip.Prefix) bool { return p.Addr().Is4() == is4 })
		if i >= 0 {
			out = append(out, addresses[i].Masked())
		}
	}
	return out
}

// finish orders everything and adds what follows from the interfaces.
func (v *builder) finish() sluice.Inventory {
	slices.SortStableFunc(v.interfaces, func(a, b sluice.Interface) int {
		return cmp.Or(cmp.Compare(a.HostID, b.HostID), cmp.Compare(a.Netns, b.Netns), cmp.Compare(a.Device, b.Device))
	})
	out := sluice.Inventory{Interfaces: v.interfaces, Zones: []string{v.defaultZone()}}
	if len(v.interfaces) > 0 {
		out.Zones = nil
	}
	for _, n := range v.interfaces {
		v.addToSubnet(n)
		v.addToInstance(n)
		out.Zones = append(out.Zones, n.AvailabilityZone)
	}
	slices.Sort(out.Zones)
	out.Zones = slices.Compact(out.Zones)

	vpc := sluice.Vpc{ID: v.vpc}
	for _, s := range v.subnets {
		sortNetworks(s.CIDRs)
		s.CIDRs = slices.Compact(s.CIDRs)
		vpc.CIDRs = append(vpc.CIDRs, s.CIDRs...)
		out.Subnets = append(out.Subnets, *s)
	}
	sortNetworks(vpc.CIDRs)
	vpc.CIDRs = slices.Compact(vpc.CIDRs)
	out.Vpcs = []sluice.Vpc{vpc}
	for _, i := range v.instances {
		out.Instances = append(out.Instances, *i)
	}
	slices.SortFunc(out.Subnets, func(a, b sluice.Subnet) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(out.Instances, func(a, b sluice.Instance) int { return cmp.Compare(a.ID, b.ID) })
	v.nameSubnets(out.Subnets)
	return out
}

func (v *builder) addToSubnet(n sluice.Interface) {
	s := v.subnets[n.SubnetID]
	if s == nil {
		s = &sluice.Subnet{ID: n.SubnetID, VpcID: v.vpc, AvailabilityZone: n.AvailabilityZone}
		v.subnets[n.SubnetID] = s
	}
	s.CIDRs = append(s.CIDRs, networksOf(n.Addresses)...)
}

func (v *builder) addToInstance(n sluice.Interface) {
	i := v.instances[n.InstanceID]
	if i == nil {
		name := n.Netns
		if name == "" {
			name = v.options.Hostname
		}
		i = &sluice.Instance{
			ID: n.InstanceID, Name: name, HostID: n.HostID, Netns: n.Netns,
			AvailabilityZone: n.AvailabilityZone, VpcID: v.vpc, SubnetID: n.SubnetID,
		}
		v.instances[n.InstanceID] = i
	}
	i.InterfaceIDs = append(i.InterfaceIDs, n.ID)
}

// nameSubnets gives each subnet the name of the device that leads into it where
// firewalls are carried, without its number: client0 leads into client. Where that
// would name two subnets alike, the whole name of the device is kept.
func (v *builder) nameSubnets(subnets []sluice.Subnet) {
	device := map[string]string{}
	count := map[string]int{}
	for _, n := range v.interfaces {
		if n.Firewall && device[n.SubnetID] == "" {
			device[n.SubnetID] = n.Device
			count[withoutNumber(n.Device)]++
		}
	}
	for i, s := range subnets {
		name := device[s.ID]
		if short := withoutNumber(name); count[short] == 1 {
			name = short
		}
		subnets[i].Name = name
	}
}

func withoutNumber(device string) string {
	if short := strings.TrimRight(device, "0123456789"); short != "" {
		return short
	}
	return device
}

// sortNetworks puts IPv4 before IPv6, and each in numeric order.
func sortNetworks(networks []netip.Prefix) {
	slices.SortFunc(networks, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
}

package control

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"sluice"
)

// checkMappings makes the mappings of a request ready to be added to a firewall's:
// each subnet exists in the VPC, and no zone has two.
func checkMappings(inv sluice.Inventory, vpcID string, have, add []sluice.SubnetMapping) ([]sluice.SubnetMapping, error) {
	if len(add) == 0 {
		return nil, sluice.InvalidParameter("SubnetMappings", "cannot be null or empty", "", "SubnetMappings")
	}
	all := slices.Clone(have)
	for i, m := range add {
		path := fmt.Sprintf("SubnetMappings[%d]", i)
		subnet, ok := inv.Subnet(m.SubnetID)
		if !ok {
			return nil, sluice.InvalidParameter("SubnetId", "does not exist", m.SubnetID, path+".SubnetId")
		}
		if subnet.VpcID != vpcID {
			return nil, sluice.InvalidParameter("SubnetId, VpcId", "cannot exist together", m.SubnetID+", "+vpcID, path+".SubnetId")
		}
		for _, o := range all {
			if o.SubnetID == m.SubnetID {
				return nil, sluice.InvalidParameter("SubnetId", "has duplicate values", m.SubnetID, path+".SubnetId")
			}
			if o.AvailabilityZone == subnet.AvailabilityZone {
				return nil, sluice.InvalidParameter("AvailabilityZone", "has duplicate values", subnet.AvailabilityZone, path)
			}
		}
		if err := checkAddressType(m.IPAddressType, subnet, path); err != nil {
			return nil, err
		}
		if m.IPAddressType == "" {
			m.IPAddressType = sluice.IPAddressIPv4
		}
		m.AvailabilityZone = subnet.AvailabilityZone
		m.EndpointID = sluice.NewID("vpce")
		all = append(all, m)
	}
	return all[len(have):], nil
}

// checkAddressType compares a type that was sent with the families of the subnet.
func checkAddressType(t string, s sluice.Subnet, path string) error {
	has := func(is4 bool) bool {
		return slices.ContainsFunc(s.CIDRs, func(p netip.Prefix) bool { return p.Addr().Is4() == is4 })
	}
	ok := false
	switch t {
	case "":
		ok = true
	case sluice.IPAddressIPv4:
		ok = has(true)
	case sluice.IPAddressIPv6:
		ok = has(false)
	case sluice.IPAddressDualstack:
		ok = has(true) && has(false)
	}
	if !ok {
		return sluice.InvalidParameter("IPAddressType", "is invalid", t, path+".IPAddressType")
	}
	return nil
}

// AssociateSubnets adds subnets to a firewall, in zones where it has none.
func (c *Controller) AssociateSubnets(ctx context.Context, s Selector, token string, mappings []sluice.SubnetMapping) (sluice.Firewall, error) {
	inv := c.o.Inventory.Snapshot()
	return c.updateFirewall(ctx, s, token, func(f sluice.Firewall) (sluice.Firewall, error) {
		if f.SubnetChangeProtection {
			return f, errProtected("SubnetChangeProtection", f)
		}
		added, err := checkMappings(inv, f.VpcID, f.SubnetMappings, mappings)
		f.SubnetMappings = append(f.SubnetMappings, added...)
		return f, err
	})
}

// DisassociateSubnets removes subnets from a firewall, but not its last.
func (c *Controller) DisassociateSubnets(ctx context.Context, s Selector, token string, subnetIDs []string) (sluice.Firewall, error) {
	if len(subnetIDs) == 0 {
		return sluice.Firewall{}, sluice.InvalidParameter("SubnetIds", "cannot be null or empty", "", "SubnetIds")
	}
	return c.updateFirewall(ctx, s, token, func(f sluice.Firewall) (sluice.Firewall, error) {
		if f.SubnetChangeProtection {
			return f, errProtected("SubnetChangeProtection", f)
		}
		for i, id := range subnetIDs {
			isIt := func(m sluice.SubnetMapping) bool { return m.SubnetID == id }
			if !slices.ContainsFunc(f.SubnetMappings, isIt) {
				return f, sluice.InvalidParameter("SubnetIds", "is invalid", id, fmt.Sprintf("SubnetIds[%d]", i))
			}
			f.SubnetMappings = slices.DeleteFunc(f.SubnetMappings, isIt)
		}
		if len(f.SubnetMappings) == 0 {
			return f, sluice.InvalidParameter("SubnetIds", "must leave at least one subnet", subnetIDs[0], "SubnetIds")
		}
		return f, nil
	})
}

package control

import (
	"context"
	"slices"

	"sluice"
)

// findScoped finds the firewall of a scope by its ARN.
func (c *Controller) findScoped(ctx context.Context, scope FlowScope) (sluice.Firewall, error) {
	return c.firewall(ctx, Selector{Arn: scope.FirewallArn})
}

// zones returns the zones that a scope means on a firewall, sorted; all of them
// when it names none. missingZone is the error where the zone is not one of the
// firewall's.
func (s FlowScope) zones(f sluice.Firewall, missingZone func() error) ([]string, error) {
	if s.EndpointAssociationArn != "" {
		// There are none yet, so none can be found.
		return nil, errNotFound("VpcEndpointAssociationArn", s.EndpointAssociationArn)
	}
	var zones []string
	for _, m := range f.SubnetMappings {
		if (s.VpcEndpointID == "" || s.VpcEndpointID == m.EndpointID) &&
			(s.AvailabilityZone == "" || s.AvailabilityZone == m.AvailabilityZone) {
			zones = append(zones, m.AvailabilityZone)
		}
	}
	slices.Sort(zones)
	if len(zones) > 0 {
		return zones, nil
	}
	hasEndpoint := slices.ContainsFunc(f.SubnetMappings, func(m sluice.SubnetMapping) bool { return m.EndpointID == s.VpcEndpointID })
	if s.VpcEndpointID != "" && !hasEndpoint {
		return nil, errNotFound("VpcEndpointId", s.VpcEndpointID)
	}
	return nil, missingZone()
}

// startZones is zones for an operation that begins.
func (s FlowScope) startZones(f sluice.Firewall) ([]string, error) {
	return s.zones(f, func() error {
		if _, ok := f.Mapping(s.AvailabilityZone); ok && s.VpcEndpointID != "" {
			return sluice.InvalidParameter("AvailabilityZone, VpcEndpointId", "cannot exist together",
				s.AvailabilityZone+", "+s.VpcEndpointID, "AvailabilityZone")
		}
		return sluice.InvalidParameter("AvailabilityZone", "is invalid", s.AvailabilityZone, "AvailabilityZone")
	})
}

// holds tells whether an operation is in a scope of reading: every zone that the
// scope names is one that the operation works in. A firewall may have left a zone
// since, so the operation's own words count too.
func (s FlowScope) holds(f sluice.Firewall, op sluice.FlowOperation) bool {
	if s.EndpointAssociationArn != "" {
		return false
	}
	if s.AvailabilityZone != "" && !slices.Contains(op.Zones, s.AvailabilityZone) {
		return false
	}
	if s.VpcEndpointID == "" || s.VpcEndpointID == op.VpcEndpointID {
		return true
	}
	return slices.ContainsFunc(f.SubnetMappings, func(m sluice.SubnetMapping) bool {
		return m.EndpointID == s.VpcEndpointID && slices.Contains(op.Zones, m.AvailabilityZone) &&
			(s.AvailabilityZone == "" || s.AvailabilityZone == m.AvailabilityZone)
	})
}

// readable checks that a scope of reading means something on a firewall.
func (s FlowScope) readable(f sluice.Firewall, ops []sluice.FlowOperation) error {
	_, err := s.zones(f, func() error { return errNotFound("AvailabilityZone", s.AvailabilityZone) })
	if err != nil && slices.ContainsFunc(ops, func(op sluice.FlowOperation) bool { return s.holds(f, op) }) {
		return nil
	}
	return err
}

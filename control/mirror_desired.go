package control

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"sluice"
)

// desiredMirrors derives what the agents have to mirror. A session whose source is
// not in the inventory waits for it; one whose receiver has no address keeps its
// place, so that no other session gets its packets.
func (c *Controller) desiredMirrors(ctx context.Context, inv sluice.Inventory) ([]sluice.MirrorSource, error) {
	filters, targets, sessions, err := c.o.Store.Mirrors(ctx)
	if err != nil {
		return nil, err
	}
	d := mirrorDerivation{
		controller: c, inventory: inv, resolvers: c.o.Resolvers,
		filters: map[string]sluice.TrafficMirrorFilter{}, targets: map[string]sluice.TrafficMirrorTarget{},
	}
	for _, f := range filters {
		d.filters[f.ID] = f
	}
	for _, t := range targets {
		d.targets[t.ID] = t
	}
	bySource := map[string][]sluice.TrafficMirrorSession{}
	for _, s := range sessions {
		bySource[s.NetworkInterfaceID] = append(bySource[s.NetworkInterfaceID], s)
	}
	var out []sluice.MirrorSource
	for _, n := range inv.Interfaces {
		if own := bySource[n.ID]; len(own) > 0 {
			out = append(out, d.source(n, own))
		}
	}
	return out, nil
}

// mirrorDerivation is what a source's sessions are resolved with.
type mirrorDerivation struct {
	controller *Controller
	inventory  sluice.Inventory
	filters    map[string]sluice.TrafficMirrorFilter
	targets    map[string]sluice.TrafficMirrorTarget
	resolvers  []netip.Addr // nil: those of AWS
}

func (d mirrorDerivation) source(n sluice.Interface, sessions []sluice.TrafficMirrorSession) sluice.MirrorSource {
	out := sluice.MirrorSource{Interface: interfaceRefs([]sluice.Interface{n})[0]}
	out.IPv4, out.IPv6 = n.Primary()
	slices.SortFunc(sessions, func(a, b sluice.TrafficMirrorSession) int { return cmp.Compare(a.SessionNumber, b.SessionNumber) })
	resolvers := d.resolversOf(n)
	for _, s := range sessions {
		f := d.filters[s.FilterID]
		// Tags were checked when they were set; a cap that can't be read caps nothing.
		packets, bytes, err := s.Caps()
		if err != nil {
			d.controller.o.Logger.Error("read rate caps of traffic mirror session", "session", s.ID, "error", err)
		}
		out.Sessions = append(out.Sessions, sluice.MirrorSession{
			ID:               s.ID,
			Number:           s.SessionNumber,
			VNI:              uint32(s.VirtualNetworkID),
			PacketLength:     uint32(s.PacketLength),
			Targets:          d.addresses(d.targets[s.TargetID], out.IPv4.IsValid()),
			Rules:            f.Rules,
			DNS:              slices.Contains(f.NetworkServices, sluice.NetworkServiceDNS),
			Resolvers:        resolvers,
			PacketsPerSecond: packets,
			BytesPerSecond:   bytes,
		})
	}
	return out
}

// addresses are where copies to a target go. Members of a group whose interface is
// missing, down or without an address are left out.
func (d mirrorDerivation) addresses(t sluice.TrafficMirrorTarget, preferIPv4 bool) []netip.Addr {
	if t.Interface() {
		n, ok := d.inventory.Interface(t.NetworkInterfaceID)
		if !ok {
			return nil
		}
		return reachable(n, preferIPv4)
	}
	var out []netip.Addr
	g, _ := d.controller.targetGroup(t.NetworkLoadBalancerArn) // a group that has gone has no members
	for _, m := range g.Members {
		if a, err := netip.ParseAddr(m); err == nil {
			out = append(out, a)
			continue
		}
		if n, ok := d.inventory.Interface(m); ok && n.Up {
			out = append(out, reachable(n, preferIPv4)...)
		}
	}
	return out
}

// reachable is the primary address of a receiver, in the family that the source has
// where there is a choice.
func reachable(n sluice.Interface, preferIPv4 bool) []netip.Addr {
	v4, v6 := n.Primary()
	if v4.IsValid() && (preferIPv4 || !v6.IsValid()) {
		return []netip.Addr{v4}
	}
	if v6.IsValid() {
		return []netip.Addr{v6}
	}
	return nil
}

// resolversOf are the resolvers that a source uses. In a VPC the third address of a
// subnet is never an instance's; elsewhere it may be, and is no resolver then.
func (d mirrorDerivation) resolversOf(n sluice.Interface) []netip.Addr {
	if d.resolvers != nil {
		return d.resolvers
	}
	out := []netip.Addr{netip.MustParseAddr("169.254.169.253"), netip.MustParseAddr("fd00:ec2::253")}
	s, _ := d.inventory.Subnet(n.SubnetID)
	for _, p := range s.CIDRs {
		a := p.Addr().Next().Next()
		if p.Addr().Is4() && p.Contains(a) && !d.owned(a) && len(out) < sluice.MaxResolvers {
			out = append(out, a)
		}
	}
	return out
}

// owned tells whether an interface has an address.
func (d mirrorDerivation) owned(a netip.Addr) bool {
	return slices.ContainsFunc(d.inventory.Interfaces, func(n sluice.Interface) bool {
		return n.HasAddress(a)
	})
}

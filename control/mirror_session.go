package control

import (
	"context"
	"net/netip"
	"slices"
	"strconv"

	"sluice"
)

// MirrorSessionFields are the members of a session that a request gives; nil is not
// given.
type MirrorSessionFields struct {
	TargetID         *string
	FilterID         *string
	SessionNumber    *int32
	PacketLength     *int32
	VirtualNetworkID *int32
	Description      *string
}

// CreateTrafficMirrorSessionInput is the request of CreateTrafficMirrorSession.
type CreateTrafficMirrorSessionInput struct {
	EC2Creation
	NetworkInterfaceID string
	MirrorSessionFields
}

// ModifyTrafficMirrorSessionInput is the request of ModifyTrafficMirrorSession.
type ModifyTrafficMirrorSessionInput struct {
	ID     string
	DryRun bool
	MirrorSessionFields
	RemoveFields []string
}

// CreateTrafficMirrorSession begins to mirror a source.
func (c *Controller) CreateTrafficMirrorSession(ctx context.Context, in CreateTrafficMirrorSessionInput) (sluice.TrafficMirrorSession, error) {
	var none sluice.TrafficMirrorSession
	s, err := c.askedSession(in)
	if err != nil {
		return none, err
	}
	creation, err := c.creation(in.EC2Creation, s)
	if err != nil {
		return none, err
	}
	s.ID, s.Tags = sluice.NewID("tms"), sortedTags(in.Tags)
	if err := s.CheckTags(); err != nil {
		return none, err
	}
	s, err = c.o.Store.CreateTrafficMirrorSession(ctx, creation, s, c.o.Quotas.Mirror, c.sessionCheck())
	if err == nil {
		c.changed()
	}
	return s, err
}

// askedSession is the session that is asked for, without id and tags.
func (c *Controller) askedSession(in CreateTrafficMirrorSessionInput) (sluice.TrafficMirrorSession, error) {
	var none sluice.TrafficMirrorSession
	for _, m := range []struct {
		name  string
		given bool
	}{
		{"NetworkInterfaceId", in.NetworkInterfaceID != ""},
		{"TrafficMirrorTargetId", in.TargetID != nil},
		{"TrafficMirrorFilterId", in.FilterID != nil},
		{"SessionNumber", in.SessionNumber != nil},
	} {
		if !m.given {
			return none, sluice.MissingParameter(m.name)
		}
	}
	return in.MirrorSessionFields.apply(sluice.TrafficMirrorSession{
		NetworkInterfaceID: in.NetworkInterfaceID, VirtualNetworkID: sluice.AnyVirtualNetworkID, OwnerID: c.o.Scope.AccountID,
	})
}

// sessionCheck checks a new session against the inventory as it is now.
func (c *Controller) sessionCheck() SessionCheck {
	inv := c.o.Inventory.Snapshot()
	return func(s sluice.TrafficMirrorSession, t sluice.TrafficMirrorTarget) (sluice.TrafficMirrorSession, error) {
		if err := checkSource(inv, s.NetworkInterfaceID); err != nil {
			return s, err
		}
		if err := c.checkReceiver(t); err != nil {
			return s, err
		}
		if err := c.checkLoop(inv, s, t); err != nil {
			return s, err
		}
		return packetLength(s, t), nil
	}
}

// checkLoop refuses a session that copies to its own source: to its interface, or to a
// group that has it among its members.
func (c *Controller) checkLoop(inv sluice.Inventory, s sluice.TrafficMirrorSession, t sluice.TrafficMirrorTarget) error {
	loops := t.Interface() && t.NetworkInterfaceID == s.NetworkInterfaceID
	if !t.Interface() {
		source, _ := inv.Interface(s.NetworkInterfaceID) // one that has gone has no addresses
		g, _ := c.targetGroup(t.NetworkLoadBalancerArn)
		loops = slices.ContainsFunc(g.Members, func(member string) bool {
			a, err := netip.ParseAddr(member)
			return member == s.NetworkInterfaceID || err == nil && source.HasAddress(a)
		})
	}
	if loops {
		return sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidParameterValue", "%s is in use by target %s", s.NetworkInterfaceID, t.ID)
	}
	return nil
}

// checkSource checks that an interface can be mirrored: it is attached to an instance and
// carries Ethernet frames.
func checkSource(inv sluice.Inventory, id string) error {
	n, ok := inv.Interface(id)
	if !ok {
		return sluice.NoSuchResource(sluice.ResourceNetworkInterface, id)
	}
	if !n.Present() || n.InstanceID == "" || n.MAC == "" {
		return sluice.EC2Errorf(sluice.KindInvalidRequest, "NetworkInterfaceNotSupported", "%s must be attached to a supported instance", id)
	}
	return nil
}

// packetLength completes a session whose target is a load balancer and that has no
// packet length (AWS: CreateTrafficMirrorSession).
func packetLength(s sluice.TrafficMirrorSession, t sluice.TrafficMirrorTarget) sluice.TrafficMirrorSession {
	if s.PacketLength == 0 && !t.Interface() {
		s.PacketLength = sluice.MaxPacketLength
	}
	return s
}

// apply returns a session with the members that are given, each checked by itself.
func (m MirrorSessionFields) apply(s sluice.TrafficMirrorSession) (sluice.TrafficMirrorSession, error) {
	if m.TargetID != nil {
		s.TargetID = *m.TargetID
	}
	if m.FilterID != nil {
		s.FilterID = *m.FilterID
	}
	if n := m.SessionNumber; n != nil {
		if *n < 1 || *n > sluice.MaxSessionNumber {
			return s, sluice.InvalidValue("SessionNumber", strconv.Itoa(int(*n)), "Session number must be between 1 and 32766.")
		}
		s.SessionNumber = *n
	}
	if n := m.PacketLength; n != nil {
		if *n < 1 || *n > sluice.MaxPacketLength {
			return s, sluice.InvalidValue("PacketLength", strconv.Itoa(int(*n)), "Packet length must be between 1 and 8500.")
		}
		s.PacketLength = *n
	}
	if n := m.VirtualNetworkID; n != nil {
		if *n < 0 || *n > sluice.MaxVirtualNetworkID {
			return s, sluice.InvalidValue("VirtualNetworkId", strconv.Itoa(int(*n)), "Virtual network ID must be between 0 and 16777215.")
		}
		s.VirtualNetworkID = *n
	}
	if m.Description != nil {
		if err := checkEC2Description(*m.Description); err != nil {
			return s, err
		}
		s.Description = *m.Description
	}
	return s, nil
}

// ModifyTrafficMirrorSession changes the members that are given, sets those that are
// removed to their defaults, and checks the session that results. The receiver has to
// exist only where it is another one: a session whose target died can be changed.
func (c *Controller) ModifyTrafficMirrorSession(ctx context.Context, in ModifyTrafficMirrorSessionInput) (sluice.TrafficMirrorSession, error) {
	var none sluice.TrafficMirrorSession
	if err := in.checkRemoved(); err != nil {
		return none, err
	}
	if _, err := in.MirrorSessionFields.apply(none); err != nil { // before the session is looked for
		return none, err
	}
	inv := c.o.Inventory.Snapshot()
	var moved bool
	change := func(old sluice.TrafficMirrorSession) (sluice.TrafficMirrorSession, error) {
		s := old
		for _, f := range in.RemoveFields {
			switch f {
			case "packet-length":
				s.PacketLength = 0
			case "description":
				s.Description = ""
			case "virtual-network-id":
				s.VirtualNetworkID = sluice.AnyVirtualNetworkID
			}
		}
		s, err := in.MirrorSessionFields.apply(s)
		moved = s.TargetID != old.TargetID
		return s, err
	}
	s, err := c.o.Store.UpdateTrafficMirrorSession(ctx, in.ID, in.DryRun, c.o.Quotas.Mirror, change,
		func(s sluice.TrafficMirrorSession, t sluice.TrafficMirrorTarget) (sluice.TrafficMirrorSession, error) {
			if moved {
				if err := c.checkReceiver(t); err != nil {
					return s, err
				}
			}
			if err := c.checkLoop(inv, s, t); err != nil {
				return s, err
			}
			return packetLength(s, t), nil
		})
	if err == nil {
		c.changed()
	}
	return s, err
}

// checkRemoved checks RemoveField.
func (in ModifyTrafficMirrorSessionInput) checkRemoved() error {
	for _, f := range []struct {
		field, parameter string
		given            bool
	}{
		{"packet-length", "PacketLength", in.PacketLength != nil},
		{"description", "Description", in.Description != nil},
		{"virtual-network-id", "VirtualNetworkId", in.VirtualNetworkID != nil},
	} {
		if f.given && slices.Contains(in.RemoveFields, f.field) {
			return cannotCombine(f.parameter, "RemoveField "+f.field)
		}
	}
	return checkRemoveFields(in.RemoveFields, "packet-length", "description", "virtual-network-id")
}

// TrafficMirrorSessions returns all sessions, ordered by id.
func (c *Controller) TrafficMirrorSessions(ctx context.Context) ([]sluice.TrafficMirrorSession, error) {
	return c.o.Store.TrafficMirrorSessions(ctx)
}

// DeleteTrafficMirrorSession ends a session.
func (c *Controller) DeleteTrafficMirrorSession(ctx context.Context, id string, dryRun bool) error {
	err := c.o.Store.DeleteTrafficMirrorSession(ctx, id, dryRun)
	if err == nil {
		c.changed()
	}
	return err
}

// DeleteInterfaces carries out what AWS does when the owner of interfaces has deleted
// them (Traffic Mirroring guide: a session is deleted with its source). Targets stay, as
// they do there: their sessions can be given another one.
func (c *Controller) DeleteInterfaces(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	removed, err := c.o.Store.DeleteSessionsOf(ctx, ids)
	for _, s := range removed {
		c.o.Logger.Warn("traffic mirror session deleted with its source, which is declared no more", "session", s.ID, "interface", s.NetworkInterfaceID)
	}
	if len(removed) > 0 {
		c.changed()
	}
	return err
}

package control

import (
	"cmp"
	"net/netip"
	"slices"

	"sluice"
)

// vxlanPort is where copies go (RFC 7348).
const vxlanPort = 4789

// mirroringWorld is what the prerequisites of mirroring are checked against.
type mirroringWorld struct {
	inventory sluice.Inventory
	agents    []sluice.AgentStatus
}

func (c *Controller) mirroringWorld() mirroringWorld {
	return mirroringWorld{c.o.Inventory.Snapshot(), c.o.Fleet.Statuses()}
}

func missing(format string, args ...any) error {
	return sluice.Errorf(sluice.KindInvalidOperation, format, args...)
}

// check checks the prerequisites of mirroring from a source to a target in a sandbox.
// Every error says what to do about it.
func (w mirroringWorld) check(b sluice.Sandbox, source, target string) (from, to sandboxNIC, err error) {
	if from, err = w.member(b, "source", source); err != nil {
		return from, to, err
	}
	if to, err = w.member(b, "target", target); err != nil {
		return from, to, err
	}
	if source == target {
		return from, to, missing("Source and target are the same network interface %s; name two", source)
	}
	if err := w.canMirror(from.nic); err != nil {
		return from, to, err
	}
	address, err := route(from.nic, to.nic)
	if err != nil {
		return from, to, err
	}
	if accepts(to, address) {
		return from, to, nil
	}
	return from, to, missing("Target %s doesn't accept UDP port %d from %s, the address of source %s. Open it with SetAppSecurityGroups, "+
		"with %d:udp:%s in the attribute Inbound Ports of the target's App, or with its attribute Allow all Sandbox Traffic",
		target, vxlanPort, address, source, vxlanPort, netip.PrefixFrom(address, address.BitLen()))
}

// sandboxNIC is an interface and the member of the sandbox that has it.
type sandboxNIC struct {
	nic    sluice.Interface
	member sluice.SandboxMember
}

// member finds an interface of a sandbox.
func (w mirroringWorld) member(b sluice.Sandbox, what, id string) (sandboxNIC, error) {
	n, ok := w.inventory.Interface(id)
	if !ok {
		return sandboxNIC{}, missing("The %s network interface '%.100s' does not exist; GetReservationDetails has the ids", what, id)
	}
	at := slices.IndexFunc(b.Members, func(m sluice.SandboxMember) bool { return n.InstanceID != "" && m.InstanceID == n.InstanceID })
	if at < 0 {
		return sandboxNIC{}, missing("The %s network interface %s (%s) is not of a resource of reservation %s; add its resource with AddResourcesToReservation",
			what, id, cmp.Or(n.InstanceID, n.Device), b.ID)
	}
	return sandboxNIC{n, b.Members[at]}, nil
}

// canMirror checks that an agent works on the host of a source, with a kernel that
// mirrors. It is to Sluice what a Nitro instance is to AWS.
func (w mirroringWorld) canMirror(n sluice.Interface) error {
	at := slices.IndexFunc(w.agents, func(s sluice.AgentStatus) bool { return s.HostID == n.HostID })
	if at < 0 {
		return missing("Source %s can't be mirrored: no agent is connected from its host %s; start Sluice there", n.ID, n.HostID)
	}
	return agentRefuses(w.agents[at], n)
}

// agentRefuses is what an agent says against mirroring a source.
func agentRefuses(s sluice.AgentStatus, n sluice.Interface) error {
	for _, m := range s.Mirrors {
		if m.InterfaceID == n.ID && m.Problem != "" {
			return missing("Source %s can't be mirrored by the agent of its host %s: %s. It takes Linux 6.6 or later with eBPF on TCX", n.ID, n.HostID, m.Problem)
		}
	}
	return nil
}

// route returns the address from which a source would send copies to a target.
func route(from, to sluice.Interface) (netip.Addr, error) {
	var none netip.Addr
	if from.VpcID != to.VpcID {
		return none, missing("Target %s (%s) is out of reach of source %s (%s): they must be in the same VPC", to.ID, to.VpcID, from.ID, from.VpcID)
	}
	if !to.Up {
		return none, missing("Target %s is down; set its device %s up", to.ID, to.Device)
	}
	v4, v6 := from.Primary()
	receivers := reachable(to, v4.IsValid())
	if len(receivers) == 0 {
		return none, missing("Target %s has no IP address; give its device %s one", to.ID, to.Device)
	}
	address := v6
	if receivers[0].Is4() {
		address = v4
	}
	if !address.IsValid() {
		return none, missing("Source %s has no address of the family of %s, the address of target %s; give its device %s one", from.ID, receivers[0], to.ID, from.Device)
	}
	return address, nil
}

// accepts tells whether a target lets VXLAN from an address of the sandbox in. Groups
// add up.
func accepts(to sandboxNIC, from netip.Addr) bool {
	if to.member.AllowAll {
		return true
	}
	return slices.ContainsFunc(slices.Concat(to.member.Inbound, to.member.Custom[to.nic.ID]), func(r sluice.SecurityGroupRule) bool {
		switch {
		case !r.CIDR.IsValid() || !r.CIDR.Contains(from):
			return false
		case r.Protocol == sluice.ProtocolAny:
			return true
		}
		return r.Protocol == "udp" && r.FromPort <= vxlanPort && vxlanPort <= r.ToPort
	})
}

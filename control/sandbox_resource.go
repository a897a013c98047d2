package control

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"sluice"
)

// The families and models under which CloudShell knows its resources.
const (
	appFamily      = "CS_GenericAppFamily"
	appModel       = "Generic App"
	providerFamily = "CS_CloudProvider"
	providerModel  = "AWS EC2 Cloud Provider 2G"
)

// maxSandboxMembers keeps a sandbox within one record of the store.
const maxSandboxMembers = 256

// findInstance finds an instance of the inventory by id or by name.
func findInstance(inv sluice.Inventory, name string) (sluice.Instance, bool) {
	for _, i := range inv.Instances {
		if strings.EqualFold(i.ID, name) {
			return i, true
		}
	}
	for _, i := range inv.Instances {
		if strings.EqualFold(i.Name, name) {
			return i, true
		}
	}
	return sluice.Instance{}, false
}

func noSuchResource(name string) error {
	return SandboxErrorf(SandboxErrorNotFound, "Could not find resource '%.100s'.", name)
}

// blueprintMembers are the instances of a blueprint, whose path they come with. Each
// App is deployed under its name and the last four digits of the sandbox's id.
func (c *Controller) blueprintMembers(path, sandboxID string) (string, []sluice.SandboxMember, error) {
	at := slices.IndexFunc(c.o.Blueprints, func(b Blueprint) bool { return strings.EqualFold(b.Path, strings.TrimSpace(path)) })
	if at < 0 {
		return "", nil, SandboxErrorf(SandboxErrorNotFound, "Could not find blueprint '%.100s'.", path)
	}
	path = c.o.Blueprints[at].Path
	inv := c.o.Inventory.Snapshot()
	var out []sluice.SandboxMember
	for _, a := range c.o.Blueprints[at].Apps {
		instance, ok := findInstance(inv, a.Instance)
		if !ok {
			return "", nil, SandboxErrorf(SandboxErrorNotFound, "Could not find instance '%s' of App '%s' of blueprint '%s'.", a.Instance, a.Name, path)
		}
		if slices.ContainsFunc(out, func(m sluice.SandboxMember) bool { return m.InstanceID == instance.ID }) {
			return "", nil, SandboxErrorf(SandboxErrorGeneral, "Two Apps of blueprint '%s' are instance '%s'.", path, a.Instance)
		}
		inbound, err := ParseInboundPorts(a.InboundPorts)
		if err != nil {
			return "", nil, err
		}
		out = append(out, sluice.SandboxMember{
			Name: a.Name + "-" + sandboxID[len(sandboxID)-4:], AppName: a.Name, InstanceID: instance.ID, Shared: a.Shared,
			AllowAll: a.AllowAllSandboxTraffic, Inbound: inbound,
		})
	}
	return path, out, nil
}

// AddResources reserves instances of the inventory for a sandbox; those that it has
// stay as they are. Everything in the sandbox may reach them.
func (c *Controller) AddResources(ctx context.Context, u SandboxUser, id string, names []string, shared bool) error {
	inv := c.o.Inventory.Snapshot()
	_, err := c.updateSandbox(ctx, u, id, func(b sluice.Sandbox) (sluice.Sandbox, error) {
		b.Members = slices.Clone(b.Members)
		for _, name := range names {
			instance, ok := findInstance(inv, name)
			if !ok {
				return b, noSuchResource(name)
			}
			if slices.ContainsFunc(b.Members, func(m sluice.SandboxMember) bool { return m.InstanceID == instance.ID }) {
				continue
			}
			b.Members = append(b.Members, sluice.SandboxMember{Name: instance.Name, InstanceID: instance.ID, Shared: shared, AllowAll: true})
		}
		if len(b.Members) > maxSandboxMembers {
			return b, SandboxErrorf(SandboxErrorGeneral, "A reservation has at most %d resources.", maxSandboxMembers)
		}
		return b, nil
	})
	return err
}

// RemoveResources gives instances back, and removes the mirroring that the sandbox made
// from and to them, in one step. It returns when the agents have followed.
func (c *Controller) RemoveResources(ctx context.Context, u SandboxUser, id string, names []string) error {
	b, err := c.findSandbox(ctx, u, id)
	if err != nil {
		return err
	}
	inv, now := c.o.Inventory.Snapshot(), c.o.Clock()
	removed, err := c.o.Store.RemoveSandboxMembers(ctx, b.ID, func(b sluice.Sandbox) (sluice.Sandbox, error) {
		if err := c.living(b); err != nil {
			return b, err
		}
		b.Modified = now
		b.Members = slices.Clone(b.Members)
		for _, name := range names {
			at := findMember(inv, b, name)
			if at < 0 {
				return b, SandboxErrorf(SandboxErrorNotFound, "Resource '%.100s' is not in reservation '%s'.", name, b.ID)
			}
			b.Members = slices.Delete(b.Members, at, at+1)
		}
		return b, nil
	}, func(instances []string, nic string) bool {
		n, ok := inv.Interface(nic)
		return ok && slices.Contains(instances, n.InstanceID)
	})
	if err != nil {
		c.changed() // of what was removed all the same
		return err
	}
	if len(removed) == 0 {
		return nil
	}
	return c.awaitRemoved(ctx, removed)
}

// findMember finds a member by its name, or by name or id of its instance.
func findMember(inv sluice.Inventory, b sluice.Sandbox, name string) int {
	at := slices.IndexFunc(b.Members, func(m sluice.SandboxMember) bool { return strings.EqualFold(m.Name, name) })
	if at < 0 { // its host may be away
		at = slices.IndexFunc(b.Members, func(m sluice.SandboxMember) bool { return strings.EqualFold(m.InstanceID, name) })
	}
	if instance, ok := findInstance(inv, name); at < 0 && ok {
		at = slices.IndexFunc(b.Members, func(m sluice.SandboxMember) bool { return m.InstanceID == instance.ID })
	}
	return at
}

// Resource returns a deployed App, an instance of the inventory or the cloud provider.
func (c *Controller) Resource(ctx context.Context, u SandboxUser, name string) (SandboxResource, error) {
	if strings.EqualFold(name, c.o.CloudProvider) {
		return SandboxResource{Name: c.o.CloudProvider, Family: providerFamily, Model: providerModel, Shared: true}, nil
	}
	inv := c.o.Inventory.Snapshot()
	all, err := c.o.Store.Sandboxes(ctx)
	if err != nil {
		return SandboxResource{}, err
	}
	for _, b := range all {
		if b.Status == SandboxCompleted || permitted(u, b) != nil {
			continue
		}
		for _, m := range b.Members {
			if m.AppName != "" && strings.EqualFold(m.Name, name) {
				return c.memberView(inv, b, m), nil
			}
		}
	}
	instance, ok := findInstance(inv, name)
	if !ok {
		return SandboxResource{}, noSuchResource(name)
	}
	return c.memberView(inv, sluice.Sandbox{}, sluice.SandboxMember{Name: instance.Name, InstanceID: instance.ID}), nil
}

// sandboxView is a sandbox with what the inventory says of its members.
func (c *Controller) sandboxView(b sluice.Sandbox) Sandbox {
	v := Sandbox{
		ID: b.ID, Name: b.Name, Description: b.Description, Owner: b.Owner, Domain: b.Domain, Blueprint: b.Blueprint,
		Start: b.Start, End: b.End, ActualEnd: b.ActualEnd, Created: b.Created, Modified: b.Modified,
		Status: b.Status, Provisioning: b.Provisioning, PermittedUsers: slices.Clone(b.PermittedUsers),
	}
	inv := c.o.Inventory.Snapshot()
	subnets := map[string]bool{}
	for _, m := range b.Members {
		r := c.memberView(inv, b, m)
		v.Resources = append(v.Resources, r)
		for _, n := range r.VM.Interfaces {
			if s, ok := inv.Subnet(n.SubnetID); ok && !subnets[s.ID] {
				subnets[s.ID] = true
				v.Services = append(v.Services, subnetService(s))
			}
		}
	}
	return v
}

// subnetService is a subnet as scripts look for it: by its attribute Subnet Id.
func subnetService(s sluice.Subnet) SandboxService {
	out := SandboxService{Name: "Subnet", Alias: s.Name, Attributes: []NameValue{{"Subnet Id", s.ID}}}
	if out.Alias == "" {
		out.Alias = s.ID
	}
	if len(s.CIDRs) > 0 {
		out.Attributes = append(out.Attributes, NameValue{"Allocated CIDR", s.CIDRs[0].String()})
	}
	return out
}

// memberView is a member with what the inventory says of its instance. One whose host
// has gone keeps its id and has no interfaces.
func (c *Controller) memberView(inv sluice.Inventory, b sluice.Sandbox, m sluice.SandboxMember) SandboxResource {
	vm := &VMDetails{InstanceID: m.InstanceID, Provider: c.o.CloudProvider}
	r := SandboxResource{Name: m.Name, Family: appFamily, Model: appModel, AppName: m.AppName, Shared: m.Shared, SandboxID: b.ID, VM: vm}
	instance, ok := findInstance(inv, m.InstanceID)
	if !ok {
		return r
	}
	vm.Data = []NameValue{{"platform", "linux"}, {"VPC ID", instance.VpcID}, {"Availability Zone", instance.AvailabilityZone}}
	for i, id := range instance.InterfaceIDs {
		n, ok := inv.Interface(id)
		if !ok {
			continue
		}
		v := VMNetInterface{ID: n.ID, SubnetID: n.SubnetID, MAC: n.MAC, DeviceIndex: i}
		if v4, v6 := n.Primary(); v4.IsValid() {
			v.Address = v4.String()
		} else if v6.IsValid() {
			v.Address = v6.String()
		}
		if r.Address == "" {
			r.Address = v.Address
		}
		vm.Interfaces = append(vm.Interfaces, v)
	}
	return r
}

// ParseInboundPorts reads CloudShell's attribute Inbound Ports: rules between
// semicolons, each port[-port][:protocol[:cidr]] or port[-port]:cidr, or icmp[:cidr].
// The protocol is tcp where none is given, the network 0.0.0.0/0.
func ParseInboundPorts(s string) ([]sluice.SecurityGroupRule, error) {
	var out []sluice.SecurityGroupRule
	for entry := range strings.SplitSeq(s, ";") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		r, ok := parseInboundPort(entry)
		if !ok {
			return nil, SandboxErrorf(SandboxErrorGeneral, "The value '%.100s' is not a valid ports rule", entry)
		}
		out = append(out, r)
	}
	return out, nil
}

func parseInboundPort(entry string) (sluice.SecurityGroupRule, bool) {
	var none sluice.SecurityGroupRule
	ports, rest, _ := strings.Cut(entry, ":")
	p := IPPermission{Protocol: "tcp"}
	cidr := rest
	if strings.EqualFold(ports, "icmp") {
		p.Protocol = "icmp"
	} else {
		first, last, isRange := strings.Cut(ports, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
		to, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
		if err != nil || err2 != nil {
			return none, false
		}
		p.FromPort, p.ToPort = new(int32(from)), new(int32(to))
		if protocol, after, _ := strings.Cut(rest, ":"); strings.EqualFold(protocol, "tcp") || strings.EqualFold(protocol, "udp") {
			p.Protocol, cidr = protocol, after
		}
	}
	r, err := p.rule()
	if err != nil {
		return none, false
	}
	if cidr == "" {
		cidr = "0.0.0.0/0"
	}
	r.CIDR, err = parseCIDR("", cidr)
	return r, err == nil
}

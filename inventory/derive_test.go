package inventory

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sluice"
)

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func deriveFrom(declared []Declared, seen map[string]namespaceState) sluice.Inventory {
	o := Options{HostID: "h", Hostname: "machine", Region: "eu-west-1", Declared: declared}
	return derive(o, seen, identify(o, seen, nil))
}

func TestWhatIsConfiguredWins(t *testing.T) {
	yes, no := true, false
	seen := map[string]namespaceState{"r": {exists: true, forwards: true, devices: []device{
		{name: "a", mac: "02:00:00:00:00:01", addresses: prefixes("192.0.2.1/24")},
		{name: "b", mac: "02:00:00:00:00:02", addresses: prefixes("192.0.2.129/24")},
		{name: "c", mac: "02:00:00:00:00:03", addresses: prefixes("2001:db8::1/64")},
	}}}
	s := deriveFrom([]Declared{
		{Device: "a", Netns: "r", AvailabilityZone: "eu-west-1b", SubnetID: "subnet-1", InstanceID: "i-1", Firewall: &no},
		{Device: "b", Netns: "r", AvailabilityZone: "eu-west-1c", Firewall: &yes},
		{Device: "c", Netns: "r"},
	}, seen)
	a, b, c := s.Interfaces[0], s.Interfaces[1], s.Interfaces[2]
	if a.AvailabilityZone != "eu-west-1b" || a.SubnetID != "subnet-1" || a.InstanceID != "i-1" || a.Firewall {
		t.Errorf("a is %+v", a)
	}
	if !b.Firewall || !c.Firewall {
		t.Error("b or c carries no firewall")
	}
	// An instance and a subnet lie in one zone.
	if b.InstanceID == c.InstanceID || b.SubnetID == c.SubnetID {
		t.Error("an instance or a subnet is in two zones")
	}
	if want := []string{"eu-west-1a", "eu-west-1b", "eu-west-1c"}; !slices.Equal(s.Zones, want) {
		t.Errorf("zones %v", s.Zones)
	}
	for _, n := range s.Subnets {
		want := map[string]string{b.SubnetID: "b", c.SubnetID: "c"}[n.ID]
		if n.Name != want {
			t.Errorf("subnet %s is named %q, want %q", n.ID, n.Name, want)
		}
	}
}

func TestSubnetFollowsTheNetworkAlone(t *testing.T) {
	seen := func(host4, host6 string) map[string]namespaceState {
		return map[string]namespaceState{"": {exists: true, devices: []device{{name: "eth0", mac: "02:" + host4, addresses: prefixes(host4, host6)}}}}
	}
	one := deriveFrom(nil, seen("192.0.2.1/24", "2001:db8::1/64"))
	two := deriveFrom(nil, seen("192.0.2.2/24", "2001:db8::2/64"))
	if one.Interfaces[0].SubnetID != two.Interfaces[0].SubnetID || one.Interfaces[0].ID == two.Interfaces[0].ID {
		t.Errorf("two hosts of one network: %+v and %+v", one.Interfaces[0], two.Interfaces[0])
	}
	if !slices.Equal(one.Subnets[0].CIDRs, prefixes("192.0.2.0/24", "2001:db8::/64")) {
		t.Errorf("networks %v", one.Subnets[0].CIDRs)
	}
}

func TestSubnetsAreNotNamedAlike(t *testing.T) {
	seen := map[string]namespaceState{"": {exists: true, forwards: true, devices: []device{
		{name: "eth0", mac: "02:00:00:00:00:01", addresses: prefixes("192.0.2.1/24")},
		{name: "eth1", mac: "02:00:00:00:00:02", addresses: prefixes("198.51.100.1/24")},
		{name: "123", mac: "02:00:00:00:00:03", addresses: prefixes("203.0.113.1/24")},
	}}}
	var names []string
	for _, n := range deriveFrom(nil, seen).Subnets {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	if want := []string{"123", "eth0", "eth1"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

func TestDevicesWithoutAddressesOrHardwareAddress(t *testing.T) {
	seen := map[string]namespaceState{"": {exists: true, devices: []device{{name: "tun0"}, {name: "tun1"}}}}
	s := deriveFrom([]Declared{{Device: "tun0"}, {Device: "tun1"}}, seen)
	if s.Interfaces[0].ID == s.Interfaces[1].ID || s.Interfaces[0].SubnetID == s.Interfaces[1].SubnetID {
		t.Errorf("not told apart: %+v", s.Interfaces)
	}
	if len(deriveFrom(nil, seen).Interfaces) != 0 {
		t.Error("discovered a device without an address")
	}
}

func TestAnEmptyHostHasAZoneAndAVpc(t *testing.T) {
	s := deriveFrom(nil, nil)
	if len(s.Vpcs) != 1 || !slices.Equal(s.Zones, []string{"eu-west-1a"}) || len(s.Interfaces) != 0 {
		t.Errorf("got %+v", s)
	}
}

func TestHostIDStays(t *testing.T) {
	dir := t.TempDir()
	machine := filepath.Join(dir, "machine-id")
	state := func() string { return t.TempDir() }
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	get := func(stateDir string) string {
		t.Helper()
		id, err := hostID(stateDir, machine)
		if err != nil || !hostIDPattern.MatchString(id) {
			t.Fatalf("got %q, %v", id, err)
		}
		return id
	}
	without := state()
	random := get(without)
	if get(without) != random || get(state()) == random {
		t.Error("a random id must be kept, and be random")
	}
	write(machine, "0123456789abcdef0123456789abcdef\n")
	derived := get(state())
	if get(state()) != derived || derived == "0123456789abcdef0123456789abcdef" {
		t.Error("the id must follow from the machine id and not be it")
	}
	if get(without) != random {
		t.Error("the machine id replaced an id in use")
	}
	write(machine, "uninitialized\n")
	if get(state()) == derived {
		t.Error("a host that has no machine id yet took one over")
	}
	bad := state()
	write(filepath.Join(bad, "host-id"), "nonsense")
	if _, err := hostID(bad, machine); err == nil {
		t.Error("accepted nonsense")
	}
}

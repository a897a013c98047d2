package inventory

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"sluice"
	"sluice/internal/testnet"
)

// host is the host's own namespace, as a series of readings shows it.
type host struct {
	t       *testing.T
	options Options
	devices []device
	known   []remembered
}

func newHost(t *testing.T, declared ...string) *host {
	h := &host{t: t, options: Options{HostID: "h"}}
	for _, name := range declared {
		h.options.Declared = append(h.options.Declared, Declared{Device: name})
	}
	return h
}

// read shows the host as it is now: "name mac index", an asterisk behind the address
// saying that it is shared.
func (h *host) read(devices ...string) map[string]string {
	h.t.Helper()
	h.devices = nil
	for _, text := range devices {
		d := device{addresses: prefixes("192.0.2.1/24")}
		if _, err := fmt.Sscanf(text, "%s %s %d", &d.name, &d.mac, &d.index); err != nil {
			h.t.Fatal(err)
		}
		if n := len(d.mac); d.mac[n-1] == '*' {
			d.mac, d.sharesMAC = d.mac[:n-1], true
		}
		h.devices = append(h.devices, d)
	}
	return h.ids()
}

// ids reads the host, and returns the ids of its devices by name.
func (h *host) ids() map[string]string {
	h.t.Helper()
	now := namespaceState{exists: true, devices: h.devices}
	before := namespaceState{}
	for _, r := range h.known {
		before.devices = append(before.devices, device{name: r.Device, mac: r.MAC, sharesMAC: r.SharesMAC})
	}
	seen := map[string]namespaceState{"": now.after(before, "", h.options.Declared)}
	h.known = identify(h.options, seen, h.known)
	out, of := map[string]string{}, map[string]string{}
	for _, r := range h.known {
		if other := of[r.ID]; other != "" {
			h.t.Fatalf("%s and %s are both %s", r.Device, other, r.ID)
		}
		of[r.ID] = r.Device
	}
	for _, n := range derive(h.options, seen, h.known).Interfaces {
		if n.ID == "" {
			h.t.Fatalf("%s has no id", n.Device)
		}
		out[n.Device] = n.ID
	}
	return out
}

// restart forgets what only a process knows.
func (h *host) restart() {
	for i := range h.known {
		h.known[i].index = 0
	}
}

func TestADeclaredDeviceIsTheSameUnderItsName(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		h := newHost(t, "eth0", "eth1")
		first := h.read("eth0 m1 2", "eth1 m2 3")
		for _, step := range [][]string{
			{"eth0 m9 7", "eth1 m2 3"},  // another card
			{"eth1 m2 3"},               // none
			{"eth0 m8 9", "eth1 m2 3"},  // and another
			{"eth0 m2 9", "eth1 m8 3"},  // addresses swapped
			{"eth1 m2 9", "eth0 m8 3"},  // names swapped
			{"eth0 m2* 9", "eth1 m2 3"}, // one address
			{},
			{"eth0 m1 12", "eth1 m2 13"},
		} {
			if restarts {
				h.restart()
			}
			if diff := cmp.Diff(first, h.read(step...)); diff != "" {
				t.Errorf("%v: %s", step, diff)
			}
		}
	}
}

func TestADeviceThatIsRenamedWithItsEntryIsTheSame(t *testing.T) {
	h := newHost(t, "eth0", "eth1")
	first := h.read("eth0 m1 2", "eth1 m2 3")
	h.restart()
	h.options.Declared[0].Device = "wan0"
	now := h.read("wan0 m1 2", "eth1 m2 3")
	if now["wan0"] != first["eth0"] || now["eth1"] != first["eth1"] {
		t.Errorf("was %v, is %v", first, now)
	}
	// The same address in another card, while the entry that has it is only away.
	h.options.Declared = append(h.options.Declared, Declared{Device: "eth5"})
	now = h.read("eth5 m1 9", "eth1 m2 3")
	if now["wan0"] != first["eth0"] || now["eth5"] == first["eth0"] {
		t.Errorf("was %v, is %v", first, now)
	}
}

func TestAnUndeclaredDeviceIsFollowed(t *testing.T) {
	for _, c := range []struct {
		what     string
		restarts bool
		readings [][]string
		same     map[string]string // name at last: name at first; "" is a new one
	}{
		{"another address under the name", false, [][]string{{"eth0 m9 9", "eth1 m2 3"}}, map[string]string{"eth0": "eth0", "eth1": "eth1"}},
		{"another address under the name, over a restart", true, [][]string{{"eth0 m9 9", "eth1 m2 3"}}, map[string]string{"eth0": "eth0", "eth1": "eth1"}},
		{"away, and back with another address", true, [][]string{{"eth1 m2 3"}, {"eth0 m9 9", "eth1 m2 3"}}, map[string]string{"eth0": "eth0", "eth1": "eth1"}},
		{"renamed", false, [][]string{{"wan0 m1 2", "eth1 m2 3"}}, map[string]string{"wan0": "eth0", "eth1": "eth1"}},
		{"renamed over a restart", true, [][]string{{"wan0 m1 4", "eth1 m2 3"}}, map[string]string{"wan0": "eth0", "eth1": "eth1"}},
		{"renamed, and the name is taken", false, [][]string{{"wan0 m1 2", "eth0 m9 9", "eth1 m2 3"}}, map[string]string{"wan0": "eth0", "eth0": "", "eth1": "eth1"}},
		{"names swapped", false, [][]string{{"eth1 m1 2", "eth0 m2 3"}}, map[string]string{"eth1": "eth0", "eth0": "eth1"}},
		{"names swapped in three steps", false, [][]string{{"tmp m1 2", "eth1 m2 3"}, {"tmp m1 2", "eth0 m2 3"}, {"eth1 m1 2", "eth0 m2 3"}}, map[string]string{"eth1": "eth0", "eth0": "eth1"}},
		{"names swapped over a restart", true, [][]string{{"eth1 m1 2", "eth0 m2 3"}}, map[string]string{"eth1": "eth0", "eth0": "eth1"}},
		{"addresses swapped", false, [][]string{{"eth0 m9 2", "eth1 m2 3"}, {"eth0 m9 2", "eth1 m1 3"}, {"eth0 m2 2", "eth1 m1 3"}}, map[string]string{"eth0": "eth0", "eth1": "eth1"}},
		{"a VLAN of it remains", true, [][]string{{"eth0 m1 2", "eth1 m2 3", "eth0.5 m1* 5"}, {"eth0.5 m1 5", "eth1 m2 3"}, {"eth0 m1 9", "eth0.5 m1* 10", "eth1 m2 3"}},
			map[string]string{"eth0": "eth0", "eth0.5": "", "eth1": "eth1"}},
		{"two with one address", false, [][]string{{"eth0 m1 2", "eth1 m1* 3"}}, map[string]string{"eth0": "eth0", "eth1": "eth1"}},
	} {
		h := newHost(t)
		first := h.read("eth0 m1 2", "eth1 m2 3")
		var last map[string]string
		for _, r := range c.readings {
			if c.restarts {
				h.restart()
			}
			last = h.read(r...)
		}
		was := map[string]string{first["eth0"]: "eth0", first["eth1"]: "eth1"}
		got := map[string]string{}
		for name, id := range last {
			got[name] = was[id]
		}
		if diff := cmp.Diff(c.same, got); diff != "" {
			t.Errorf("%s: %s", c.what, diff)
		}
	}
}

func TestWhatIsAwayIsRememberedWithinBounds(t *testing.T) {
	h := newHost(t)
	first := h.read("tun0 m0 1")["tun0"]
	var second string
	for n := range maxAway + 2 {
		ids := h.read(fmt.Sprintf("tun%d m%d %d", n+1, n+1, n+2))
		if n == 0 {
			second = ids["tun1"]
		}
	}
	if len(h.known) != maxAway+1 {
		t.Errorf("%d devices are known", len(h.known))
	}
	last := h.known[len(h.known)-2]
	if got := h.read(last.Device + " mx 9999")[last.Device]; got != last.ID {
		t.Errorf("what went last is %s, was %s", got, last.ID)
	}
	for name, was := range map[string]string{"tun0": first, "tun1": second} {
		if got := h.read(name + " mnew 9998")[name]; got == was {
			t.Errorf("%s is known still", name)
		}
	}
}

// TestAnIdNeverStandsForTwoDevices has hosts live through anything. That no id is given
// twice is checked by each reading.
func TestAnIdNeverStandsForTwoDevices(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		h := newHost(t)
		if seed%2 == 0 {
			h = newHost(t, "n0", "n1", "n2", "n3")
		}
		next := 1
		for range 60 {
			var free []string
			for n := range 4 {
				if name := fmt.Sprint("n", n); !slices.ContainsFunc(h.devices, func(d device) bool { return d.name == name }) {
					free = append(free, name)
				}
			}
			at := 0
			if len(h.devices) > 0 {
				at = random.IntN(len(h.devices))
			}
			switch event := random.IntN(7); {
			case event == 0 && len(free) > 0:
				h.devices = append(h.devices, device{name: free[0], mac: fmt.Sprint("m", random.IntN(5)), index: next, addresses: prefixes("192.0.2.1/24")})
				next++
			case len(h.devices) == 0:
			case event == 1:
				h.devices = slices.Delete(h.devices, at, at+1)
			case event == 2 && len(free) > 0:
				h.devices[at].name = free[len(free)-1]
			case event == 3:
				h.devices[at].mac = fmt.Sprint("m", random.IntN(5))
			case event == 4:
				h.devices[0].name, h.devices[at].name = h.devices[at].name, h.devices[0].name
			case event == 5:
				h.devices[0].mac, h.devices[at].mac = h.devices[at].mac, h.devices[0].mac
			case event == 6:
				h.restart()
			}
			owners := map[string]bool{}
			for i := range h.devices {
				h.devices[i].sharesMAC = owners[h.devices[i].mac]
				owners[h.devices[i].mac] = true
			}
			before := h.ids()
			if diff := cmp.Diff(before, h.ids()); diff != "" {
				t.Fatalf("seed %d: ids of the same devices changed: %s", seed, diff)
			}
		}
	}
}

// addVeth makes a pair whose hardware addresses the kernel draws.
func addVeth(t *testing.T, netns, device, peer, address string) {
	t.Helper()
	if err := testnet.Do(netns, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = device
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peer}); err != nil {
			return err
		}
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(l, a)
	}); err != nil {
		t.Fatal(err)
	}
}

func TestADeviceThatComesBackWithAnotherHardwareAddressIsTheSame(t *testing.T) {
	lab, declared := newLab(t)
	addVeth(t, lab.Gateway, "rnd0", "rnd1", "192.0.2.1/24")
	declared = append(declared, Declared{Netns: lab.Gateway, Device: "rnd0"})
	memory := filepath.Join(t.TempDir(), "interfaces.json")
	start := func() *Inventory {
		v := newInventory(t, declared)
		v.options.Memory = memory
		return v
	}
	exchange := func() {
		t.Helper()
		if err := testnet.RemoveLink(lab.Gateway, "rnd0"); err != nil {
			t.Fatal(err)
		}
		addVeth(t, lab.Gateway, "rnd0", "rnd1", "192.0.2.1/24")
	}
	v := start()
	run(t, v)
	first := device1(v.Snapshot(), lab.Gateway, "rnd0")
	exchange()
	second := device1(await(t, v, "another hardware address", func(s sluice.Inventory) bool {
		n := device1(s, lab.Gateway, "rnd0")
		return n.MAC != first.MAC && n.Index != 0
	}), lab.Gateway, "rnd0")
	if second.ID != first.ID {
		t.Errorf("came back as %s, was %s", second.ID, first.ID)
	}

	// While no process looks.
	exchange()
	v = start()
	if err := v.Load(); err != nil {
		t.Fatal(err)
	}
	third := device1(v.Snapshot(), lab.Gateway, "rnd0")
	if third.ID != first.ID || third.MAC == second.MAC || third.Index == 0 {
		t.Errorf("after a restart %+v, was %+v", third, second)
	}
}

func TestDiscoveredDevicesAreRememberedByName(t *testing.T) {
	lab, _ := newLab(t)
	addVeth(t, lab.Gateway, "rnd0", "rnd1", "192.0.2.1/24")
	memory := filepath.Join(t.TempDir(), "interfaces.json")
	load := func() *Inventory {
		t.Helper()
		v := newInventory(t, nil)
		v.options.Memory = memory
		if err := testnet.Do(lab.Gateway, v.Load); err != nil {
			t.Fatal(err)
		}
		return v
	}
	first := device1(load().Snapshot(), "", "rnd0")
	if err := testnet.RemoveLink(lab.Gateway, "rnd0"); err != nil {
		t.Fatal(err)
	}
	v := load()
	if n := device1(v.Snapshot(), "", "rnd0"); n.ID != "" || len(v.Withdrawn()) != 0 {
		t.Errorf("a device that is gone: %+v, withdrawn %v", n, v.Withdrawn())
	}
	addVeth(t, lab.Gateway, "rnd0", "rnd1", "192.0.2.1/24")
	if now := device1(load().Snapshot(), "", "rnd0"); now.ID != first.ID || now.MAC == first.MAC {
		t.Errorf("came back as %+v, was %+v", now, first)
	}
}

func TestWhatIsDeclaredNoMoreIsWithdrawnUntilItIsForgotten(t *testing.T) {
	lab, declared := newLab(t)
	memory := filepath.Join(t.TempDir(), "interfaces.json")
	load := func(declared []Declared) *Inventory {
		t.Helper()
		v := newInventory(t, declared)
		v.options.Memory = memory
		if err := v.Load(); err != nil {
			t.Fatal(err)
		}
		return v
	}
	expect := func(v *Inventory, want ...string) {
		t.Helper()
		var got []string
		for _, n := range v.Withdrawn() {
			if n.Netns != lab.Client && n.Netns != lab.Server && n.Netns != lab.Sensor && n.Netns != lab.Gateway || n.Device == "" {
				t.Errorf("withdrawn %+v, which nobody declared", n)
			}
			got = append(got, n.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("withdrawn %v, want %v", got, want)
		}
	}
	all := load(declared)
	expect(all)
	last := declared[len(declared)-1]
	gone := device1(all.Snapshot(), last.Netns, last.Device).ID
	if err := testnet.RemoveNamespace(lab.Client); err != nil { // its devices are only away
		t.Fatal(err)
	}
	fewer := declared[:len(declared)-1]
	expect(load(fewer), gone)
	v := load(fewer) // the process before ended too early
	expect(v, gone)
	v.Forget([]string{gone, device1(v.Snapshot(), lab.Client, "eth0").ID})
	expect(v)
	if v = load(fewer); device1(v.Snapshot(), lab.Client, "eth0").ID == "" {
		t.Error("a device that is away was forgotten")
	}
	expect(v)

	// A memory that can't be read is no reason to delete anything.
	load(declared)
	if err := os.WriteFile(memory, []byte("[{"), 0o600); err != nil {
		t.Fatal(err)
	}
	present := slices.DeleteFunc(slices.Clone(fewer), func(d Declared) bool { return d.Netns == lab.Client || d.Device == "client0" })
	expect(load(present))
}

func TestAMemoryThatIsOnlyReadStays(t *testing.T) {
	lab, declared := newLab(t)
	memory := filepath.Join(t.TempDir(), "interfaces.json")
	v := newInventory(t, declared)
	v.options.Memory = memory
	if err := v.Load(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(memory)
	if err != nil {
		t.Fatal(err)
	}
	if err := testnet.RemoveNamespace(lab.Sensor); err != nil {
		t.Fatal(err)
	}
	v = newInventory(t, declared[:4])
	v.options.Memory, v.options.MemoryReadOnly = memory, true
	if err := v.Load(); err != nil {
		t.Fatal(err)
	}
	v = newInventory(t, declared)
	v.options.Memory, v.options.MemoryReadOnly = memory, true
	if err := v.Load(); err != nil {
		t.Errorf("a device that was there before is away: %v", err)
	}
	if after, err := os.ReadFile(memory); err != nil || string(after) != string(before) {
		t.Errorf("the memory changed (%v) to %s", err, after)
	}
}

// TestAMemoryWithoutIdsIsTakenUp reads a file as earlier versions wrote it.
func TestAMemoryWithoutIdsIsTakenUp(t *testing.T) {
	got := unambiguous("h", []remembered{{Device: "eth0", MAC: "m1"}, {Device: "eth0.5", MAC: "m1", SharesMAC: true}, {Device: "eth0", MAC: "m1"}})
	want := []remembered{
		{ID: sluice.DeriveID("eni", "h", "", "m1"), Device: "eth0", MAC: "m1"},
		{ID: sluice.DeriveID("eni", "h", "", "m1", "eth0.5"), Device: "eth0.5", MAC: "m1", SharesMAC: true},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(remembered{})); diff != "" {
		t.Error(diff)
	}
}

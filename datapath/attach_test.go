package datapath

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"sluice"
)

// attached counts the programs at the ingress of a device.
func (top *topology) attached(namespace, device string) (n int) {
	top.t.Helper()
	top.in(namespace, func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		q, err := link.QueryPrograms(link.QueryOptions{Target: l.Attrs().Index, Attach: ebpf.AttachTCXIngress})
		if err == nil {
			n = len(q.Programs)
		}
		return err
	})
	return n
}

func TestNoProgramRunsAfterDetach(t *testing.T) {
	top := newTopology(t)
	d := testDatapath(t, 4096)
	for range 5 {
		apply(t, d, top.endpoint(testPolicy()))
		if n := top.attached(top.gateway, "client0"); n != 1 {
			t.Fatalf("%d programs after Apply, want one", n)
		}
		if err := detach(d.dir, func(string, string) bool { return true }); err != nil {
			t.Fatal(err)
		}
		if n := top.attached(top.gateway, "client0"); n != 0 {
			t.Fatalf("%d programs after detach", n)
		}
	}
}

// TestANumberThatIsAnotherDevicesIsNotTakenForAttached moves a device away and gives its
// number to another one.
func TestANumberThatIsAnotherDevicesIsNotTakenForAttached(t *testing.T) {
	top := newTopology(t)
	d := testDatapath(t, 4096)
	apply(t, d, top.endpoint(testPolicy()))
	away := top.client + "-away"
	makeNamespace(t, away)
	top.in(top.gateway, func() error {
		l, err := netlink.LinkByName("client0")
		if err != nil {
			return err
		}
		to, err := netns.GetFromName(away)
		if err != nil {
			return err
		}
		defer to.Close()
		if err := netlink.LinkSetNsFd(l, int(to)); err != nil {
			return err
		}
		a := netlink.NewLinkAttrs()
		a.Name, a.Index = "client0", l.Attrs().Index
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: a, PeerName: "peer0"})
	})
	apply(t, d, top.endpoint(testPolicy()))
	if n := top.attached(top.gateway, "client0"); n != 1 {
		t.Errorf("the new device has %d programs, want one", n)
	}
	if n := top.attached(away, "client0"); n != 0 {
		t.Errorf("the device that was moved away has %d programs", n)
	}
}

func TestProgramsBeforeTheFirewallAreToldOf(t *testing.T) {
	top := newTopology(t)
	var log strings.Builder
	d, err := Open(Options{Dir: bpffs(t), MaxFlows: MaxFlowsMin, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	apply(t, d, top.endpoint(testPolicy()))
	slot, _ := d.slotOf(testEndpoint)
	p, err := d.load(firewallProgFirewall, programKey{slot: slot, header: 14, ingress: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	top.in(top.gateway, func() error {
		dev, err := netlink.LinkByName("client0")
		if err != nil {
			return err
		}
		l, err := link.AttachTCX(link.TCXOptions{Interface: dev.Attrs().Index, Program: p,
			Attach: ebpf.AttachTCXIngress, Anchor: link.Head()})
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
	apply(t, d, top.endpoint(testPolicy()))
	if n := strings.Count(log.String(), "other programs run before the firewall"); n != 1 {
		t.Errorf("told of %d times, want once:\n%s", n, &log)
	}
}

// TestNothingStaysCoveredByAnEndpointWithAProblem gives an endpoint a namespace that can't
// be opened in the place of a device, which is not looked at then.
func TestNothingStaysCoveredByAnEndpointWithAProblem(t *testing.T) {
	top := newTopology(t)
	d := testDatapath(t, 4096)
	covered := func(device string, want bool) {
		t.Helper()
		if got := isCovered(t, d, top, device); got != want {
			t.Errorf("%s is covered: %v, want %v", device, got, want)
		}
	}
	e := top.endpoint(testPolicy())
	apply(t, d, e)
	covered("client0", true)
	covered("server0", true)
	wrong := e
	wrong.Interfaces = []sluice.InterfaceRef{e.Interfaces[0], {ID: "eni-2", Netns: strings.Repeat("n", 300), Device: "server0"}}
	if st := d.Apply(t.Context(), []sluice.Endpoint{wrong}); st[0].Problem == "" {
		t.Fatal("no problem")
	}
	covered("client0", true)
	covered("server0", false)
	if n := top.attached(top.gateway, "server0"); n != 1 {
		t.Errorf("server0 has %d programs, want the one that it had", n)
	}
	apply(t, d, e)
	covered("server0", true)
}

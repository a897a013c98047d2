package control_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sluice"
	"sluice/control"
)

const groupArn = "arn:aws:elasticloadbalancing:eu-west-1:000000000000:loadbalancer/net/sensors/0123456789abcdef"

// mirrored is an inventory of sources and receivers: eni-1 to eni-12 on host 1 with
// both families, eni-six with IPv6 alone and eni-sensor on host 2.
func mirrored() sluice.Inventory {
	inv := twoZones()
	add := func(id, host string, addresses ...string) {
		n := sluice.Interface{ID: id, HostID: host, Netns: "ns", Device: id[4:], Index: 7, MAC: "0a:00:00:00:00:01", Up: true, InstanceID: "i-1", SubnetID: "subnet-a", VpcID: vpc, AvailabilityZone: zoneA}
		for _, a := range addresses {
			n.Addresses = append(n.Addresses, netip.MustParsePrefix(a))
		}
		inv.Interfaces = append(inv.Interfaces, n)
	}
	for n := range 12 {
		add(fmt.Sprint("eni-", n+1), "host-1", fmt.Sprintf("10.0.1.%d/24", 11+n), "fe80::1/64", fmt.Sprintf("fd00:1::%x/64", 11+n))
	}
	add("eni-six", "host-1", "fe80::6/64", "fd00:1::6/64")
	add("eni-sensor", "host-2", "10.0.1.200/24", "fd00:1::200/64")
	add("eni-spare", "host-2", "10.0.1.201/24")
	return inv
}

// mirrorRig is a rig with a target, a filter with one rule, and a way to make
// sessions.
type mirrorRig struct {
	*rig
	target, filter string
}

func newMirrorRig(t *testing.T, change ...func(*control.Options)) *mirrorRig {
	t.Helper()
	r := &mirrorRig{rig: newRig(t, append([]func(*control.Options){func(o *control.Options) {
		o.TargetGroups = []sluice.TargetGroup{{Name: "sensors", Arn: groupArn, Members: []string{"eni-spare", "192.0.2.7", "eni-sensor", "eni-missing"}}}
	}}, change...)...)}
	r.inv.set(mirrored())
	r.target = r.newTarget(control.CreateTrafficMirrorTargetInput{NetworkInterfaceID: "eni-sensor"})
	f, err := r.CreateTrafficMirrorFilter(t.Context(), control.CreateTrafficMirrorFilterInput{})
	must(t, err)
	r.filter = f.ID
	_, err = r.CreateTrafficMirrorFilterRule(t.Context(), control.CreateTrafficMirrorFilterRuleInput{FilterID: f.ID, MirrorRuleFields: control.MirrorRuleFields{
		TrafficDirection: new(sluice.TrafficIngress), RuleNumber: new(int32(20)), RuleAction: new(sluice.MirrorAccept), SourceCIDR: new("10.0.0.0/8"), DestinationCIDR: new("0.0.0.0/0")}})
	must(t, err)
	return r
}

func (r *mirrorRig) newTarget(in control.CreateTrafficMirrorTargetInput) string {
	r.t.Helper()
	t, err := r.CreateTrafficMirrorTarget(r.t.Context(), in)
	must(r.t, err)
	return t.ID
}

func (r *mirrorRig) request(source string, number int32, tags ...sluice.Tag) control.CreateTrafficMirrorSessionInput {
	return control.CreateTrafficMirrorSessionInput{EC2Creation: control.EC2Creation{Tags: tags}, NetworkInterfaceID: source,
		MirrorSessionFields: control.MirrorSessionFields{TargetID: &r.target, FilterID: &r.filter, SessionNumber: &number}}
}

func (r *mirrorRig) session(source string, number int32, tags ...sluice.Tag) sluice.TrafficMirrorSession {
	r.t.Helper()
	s, err := r.CreateTrafficMirrorSession(r.t.Context(), r.request(source, number, tags...))
	must(r.t, err)
	return s
}

// awaitMirrors waits until the agents are to mirror as wanted.
func (r *mirrorRig) awaitMirrors(what string, want []sluice.MirrorSource) {
	r.t.Helper()
	var diff string
	defer func() {
		if r.t.Failed() {
			r.t.Log(diff)
		}
	}()
	await(r.t, what, func() bool {
		diff = cmp.Diff(want, r.fleet.state().Mirrors, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty())
		return diff == ""
	})
}

func addresses(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestAgentsAreToldWhatToMirror(t *testing.T) {
	r := newMirrorRig(t)
	r.awaitMirrors("nothing", nil)
	second := r.session("eni-1", 7, sluice.Tag{Key: sluice.TagPacketsPerSecond, Value: "1000"}, sluice.Tag{Key: sluice.TagBytesPerSecond, Value: "0"})
	first := r.session("eni-1", 3)
	six := r.session("eni-six", 1)
	filters, err := r.TrafficMirrorFilters(t.Context())
	must(t, err)
	resolved := func(s sluice.TrafficMirrorSession, targets ...string) sluice.MirrorSession {
		return sluice.MirrorSession{ID: s.ID, Number: s.SessionNumber, VNI: uint32(s.VirtualNetworkID), Targets: addresses(targets...),
			Rules: filters[0].Rules, Resolvers: addresses("169.254.169.253", "fd00:ec2::253", "10.0.1.2")}
	}
	capped := resolved(second, "10.0.1.200")
	capped.PacketsPerSecond = 1000
	want := []sluice.MirrorSource{
		{Interface: sluice.InterfaceRef{ID: "eni-1", HostID: "host-1", Netns: "ns", Device: "1"}, IPv4: netip.MustParseAddr("10.0.1.11"), IPv6: netip.MustParseAddr("fd00:1::b"),
			Sessions: []sluice.MirrorSession{resolved(first, "10.0.1.200"), capped}},
		{Interface: sluice.InterfaceRef{ID: "eni-six", HostID: "host-1", Netns: "ns", Device: "six"}, IPv6: netip.MustParseAddr("fd00:1::6"),
			Sessions: []sluice.MirrorSession{resolved(six, "fd00:1::200")}},
	}
	r.awaitMirrors("two sources", want)

	must(t, r.CreateTags(t.Context(), []string{second.ID}, []sluice.Tag{{Key: sluice.TagBytesPerSecond, Value: "5000"}}, false))
	want[0].Sessions[1].BytesPerSecond = 5000
	r.awaitMirrors("a cap that was changed", want)
	_, err = r.ModifyTrafficMirrorFilterNetworkServices(t.Context(), r.filter, []string{sluice.NetworkServiceDNS}, nil, false)
	must(t, err)
	for i := range want {
		for k := range want[i].Sessions {
			want[i].Sessions[k].DNS = true
		}
	}
	r.awaitMirrors("DNS", want)

	inv := mirrored() // the sensor gets another address, and the first source goes
	for i, n := range inv.Interfaces {
		if n.ID == "eni-sensor" {
			inv.Interfaces[i].Addresses = []netip.Prefix{netip.MustParsePrefix("fd00:1::201/64"), netip.MustParsePrefix("10.0.1.2/24")}
		}
	}
	inv.Interfaces = append(inv.Interfaces[:2:2], inv.Interfaces[3:]...)
	r.inv.set(inv)
	want[1].Sessions[0].Targets = addresses("fd00:1::201")
	want[1].Sessions[0].Resolvers = addresses("169.254.169.253", "fd00:ec2::253") // the third address of the subnet is the sensor's
	r.awaitMirrors("the sensor moved", want[1:])
	r.inv.set(mirrored())
	want[1].Sessions[0] = resolved(six, "fd00:1::200")
	want[1].Sessions[0].DNS = true
	r.awaitMirrors("the source is back", want)
	must(t, r.DeleteTrafficMirrorSession(t.Context(), first.ID, false))
	want[0].Sessions = want[0].Sessions[1:]
	r.awaitMirrors("a session less", want)
}

func TestGroupsLeaveFailedMembersOut(t *testing.T) {
	r := newMirrorRig(t, func(o *control.Options) { o.Resolvers = []netip.Addr{} })
	r.target = r.newTarget(control.CreateTrafficMirrorTargetInput{NetworkLoadBalancerArn: groupArn})
	s := r.session("eni-1", 1)
	if s.PacketLength != sluice.MaxPacketLength {
		t.Errorf("packet length %d", s.PacketLength)
	}
	targets := func() string { // of the only session
		m := r.fleet.state().Mirrors
		if len(m) == 0 {
			return ""
		}
		return strings.Trim(fmt.Sprint(m[0].Sessions[0].Targets, m[0].Sessions[0].PacketLength, len(m[0].Sessions[0].Resolvers)), "[]")
	}
	awaitTargets := func(want string) {
		t.Helper()
		await(t, want, func() bool { return targets() == want })
	}
	awaitTargets("10.0.1.201 192.0.2.7 10.0.1.200] 8500 0")
	inv := mirrored()
	for i, n := range inv.Interfaces {
		if n.ID == "eni-spare" {
			inv.Interfaces[i].Up = false
		}
	}
	r.inv.set(inv)
	awaitTargets("192.0.2.7 10.0.1.200] 8500 0")
	r.inv.set(mirrored())
	awaitTargets("10.0.1.201 192.0.2.7 10.0.1.200] 8500 0")
}

func TestOneOfAHundredCreatesOfASessionNumberWins(t *testing.T) {
	r := newMirrorRig(t)
	errs := make([]error, 100)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = r.CreateTrafficMirrorSession(t.Context(), r.request("eni-1", 1)) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if err.Error() != "Session number 1 is already being used on eni-1" {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d sessions of one number", won)
	}
}

func TestOneOfAHundredRepetitionsCreates(t *testing.T) {
	r := newMirrorRig(t)
	ids := make([]string, 100)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			in := r.request("eni-1", 1)
			in.ClientToken = "token"
			s, err := r.CreateTrafficMirrorSession(t.Context(), in)
			if err != nil {
				t.Error(err)
			}
			ids[i] = s.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("sessions %s and %s of one token", ids[0], id)
		}
	}
}

func TestClientTokensAreForgottenAfterADay(t *testing.T) {
	r := newMirrorRig(t)
	in := control.CreateTrafficMirrorFilterInput{EC2Creation: control.EC2Creation{ClientToken: "token"}}
	create := func() string {
		f, err := r.CreateTrafficMirrorFilter(t.Context(), in)
		must(t, err)
		must(t, r.ForgetCreations(t.Context()))
		return f.ID
	}
	first := create()
	r.clock.advance(24 * time.Hour)
	if again := create(); again != first {
		t.Errorf("after a day filter %s, not %s", again, first)
	}
	r.clock.advance(1)
	must(t, r.ForgetCreations(t.Context()))
	if again := create(); again == first {
		t.Error("the token is still known")
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	r := newMirrorRig(t)
	s := r.session("eni-1", 1)
	in := r.request("eni-1", 2)
	in.DryRun = true
	_, created := r.CreateTrafficMirrorSession(t.Context(), in)
	_, modified := r.ModifyTrafficMirrorSession(t.Context(), control.ModifyTrafficMirrorSessionInput{ID: s.ID, DryRun: true, MirrorSessionFields: control.MirrorSessionFields{Description: new("x")}})
	deleted := r.DeleteTrafficMirrorSession(t.Context(), s.ID, true)
	for _, err := range []error{created, modified, deleted} {
		if sluice.KindOf(err) != sluice.KindDryRun || sluice.CodeOf(err) != "DryRunOperation" {
			t.Errorf("dry run: %v", err)
		}
	}
	all, err := r.TrafficMirrorSessions(t.Context())
	must(t, err)
	if diff := cmp.Diff([]sluice.TrafficMirrorSession{s}, all, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestSessionsSurviveARestart(t *testing.T) {
	r := newMirrorRig(t)
	s := r.session("eni-1", 1, sluice.Tag{Key: "a", Value: "b"})
	await(t, "a source", func() bool { return len(r.fleet.state().Mirrors) == 1 })
	before := r.fleet.state()
	r.stop()
	r.start()
	if diff := cmp.Diff(before, r.fleet.state(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
	all, err := r.TrafficMirrorSessions(t.Context())
	must(t, err)
	if diff := cmp.Diff([]sluice.TrafficMirrorSession{s}, all); diff != "" {
		t.Error(diff)
	}
}

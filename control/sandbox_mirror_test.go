package control_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sluice"
	"sluice/control"
)

func TestMirroringOfASandboxIsThatOfEC2(t *testing.T) {
	r := newSandboxRig(t)
	b := r.sandbox("Tap")
	id := r.mirror(b, tap("eni-1", "eni-sensor", 5))[0]

	tags := func(name string) []sluice.Tag {
		return []sluice.Tag{{Key: "Blueprint", Value: "Tap"}, {Key: "CreatedBy", Value: "Cloudshell"}, {Key: "Domain", Value: "Global"},
			{Key: "Name", Value: name}, {Key: "Owner", Value: "dana"}, {Key: "ReservationId", Value: b.ID}}
	}
	sessions, err := r.TrafficMirrorSessions(t.Context())
	must(t, err)
	targets, err := r.TrafficMirrorTargets(t.Context())
	must(t, err)
	filters, err := r.TrafficMirrorFilters(t.Context())
	must(t, err)
	f := filters[0].ID
	opts := cmp.Options{cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(sluice.TrafficMirrorFilterRule{}, "ID")}
	port := &sluice.PortRange{From: 443, To: 443}
	any4 := netip.MustParsePrefix("0.0.0.0/0")
	if diff := cmp.Diff([]sluice.TrafficMirrorFilter{{ID: f, Description: "filter-5_eni-1_eni-sensor", Tags: tags("filter-5_eni-1_eni-sensor"), Rules: []sluice.TrafficMirrorFilterRule{
		{FilterID: f, TrafficDirection: "ingress", RuleNumber: 1, RuleAction: "accept", Protocol: 6, DestinationPortRange: port,
			SourceCIDR: netip.MustParsePrefix("192.168.0.0/24"), DestinationCIDR: any4, Description: "filter_rule_1_" + f},
		{FilterID: f, TrafficDirection: "egress", RuleNumber: 2, RuleAction: "accept", Protocol: 6, SourcePortRange: port,
			SourceCIDR: any4, DestinationCIDR: any4, Description: "filter_rule_2_" + f},
	}}}, filters, opts); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]sluice.TrafficMirrorTarget{{ID: targets[0].ID, Type: sluice.TargetNetworkInterface, NetworkInterfaceID: "eni-sensor",
		Description: "eni-sensor", OwnerID: account, Tags: tags("eni-sensor")}}, targets); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]sluice.TrafficMirrorSession{{ID: id, NetworkInterfaceID: "eni-1", TargetID: targets[0].ID, FilterID: f, SessionNumber: 5,
		VirtualNetworkID: sessions[0].VirtualNetworkID, Description: "5_eni-1_eni-sensor", OwnerID: account, Tags: tags("session-5_eni-1_eni-sensor")}}, sessions); diff != "" {
		t.Error(diff)
	}
	if m := r.fleet.state().Mirrors; len(m) != 1 || m[0].Interface.ID != "eni-1" || m[0].Sessions[0].ID != id || m[0].Sessions[0].Targets[0] != netip.MustParseAddr("10.0.1.200") {
		t.Errorf("when it is made, the agents are to mirror %+v", m)
	}

	must(t, r.DeleteTrafficMirrorSession(t.Context(), id, false)) // the EC2 API may
	r.mirror(b, tap("eni-1", "eni-sensor", 5))                    // and the number is free again
	r.count("one mirror and a filter that lost its session", 2, 1, 1)
	r.end(b)
	r.count("after the end", 0, 0, 0)
}

func TestTwoSandboxesShareASource(t *testing.T) {
	r := newSandboxRig(t)
	one, other := r.sandbox("Tap"), r.sandbox("Tap")
	a := r.mirror(one, tap("eni-1", "eni-sensor", 0))[0]
	o := r.mirror(other, tap("eni-1", "eni-sensor", 0))[0]
	if r.number(a) != 1 || r.number(o) != 2 {
		t.Errorf("numbers %d and %d", r.number(a), r.number(o))
	}
	_, err := r.CreateMirroring(t.Context(), dana, other.ID, []control.CreateMirroringAction{tap("eni-1", "eni-spare", 1)})
	refusedBy(t, err, control.SandboxErrorDriver, "Was not able to find an available session number for eni-1.\nPlease note that session number must be between 1-32766")
	refusedBy(t, err, control.SandboxErrorDriver, `Please also check logs at %PROGRAMDATA%\QualiSystems\logs\`+other.ID+" for")
	r.mirror(one, tap("eni-1", "eni-spare", 7))
	r.mirrorFails(other, "Sessions per interface limit reached (4): a source network interface can have 3 sessions; remove one of its sessions first", tap("eni-1", "eni-spare", 0))
	r.mirror(other, tap("eni-2", "eni-spare", 7)) // a number is a source's own
	r.count("both", 4, 2, 4)

	removed, err := r.RemoveMirroring(t.Context(), dana, other.ID, []control.RemoveMirroringAction{
		{ActionID: "r1", SessionID: a}, {ActionID: "r2", TargetNIC: "eni-sensor"}, {ActionID: "r3", SessionID: "tms-none"}})
	must(t, err)
	none := "Failed to remove traffic mirroring: No sessions found to remove!"
	if diff := cmp.Diff([]control.MirroringResult{{ActionID: "r1", Error: none}, {ActionID: "r2", Success: true, Info: "Found sessions: " + o + "."}, {ActionID: "r3", Error: none}}, removed); diff != "" {
		t.Error(diff)
	}
	r.count("other's to the sensor removed", 3, 2, 3)
	if m := r.fleet.state().Mirrors; len(m) != 2 || len(m[0].Sessions) != 2 {
		t.Errorf("when it is removed, the agents are still to mirror %+v", m)
	}
	if n := r.number(r.mirror(other, tap("eni-1", "eni-sensor", 0))[0]); n != 2 {
		t.Errorf("the number that was given back is 2, got %d", n)
	}
	r.end(one)
	r.count("one has ended", 2, 2, 2)
	if r.number(a) != 0 {
		t.Error("mirroring of the ended sandbox is there")
	}
	r.end(other)
	r.count("both have ended", 0, 0, 0)
	await(t, "nothing to mirror", func() bool { return len(r.fleet.state().Mirrors) == 0 })
}

func TestWhatOthersMadeStays(t *testing.T) {
	r := newSandboxRig(t)
	target, err := r.CreateTrafficMirrorTarget(t.Context(), control.CreateTrafficMirrorTargetInput{NetworkInterfaceID: "eni-sensor"})
	must(t, err)
	filter, err := r.CreateTrafficMirrorFilter(t.Context(), control.CreateTrafficMirrorFilterInput{})
	must(t, err)
	b := r.sandbox("Tap")
	// A tag makes nothing a sandbox's own.
	asked := control.CreateTrafficMirrorSessionInput{EC2Creation: control.EC2Creation{Tags: []sluice.Tag{{Key: "ReservationId", Value: b.ID}}}, NetworkInterfaceID: "eni-1",
		MirrorSessionFields: control.MirrorSessionFields{TargetID: &target.ID, FilterID: &filter.ID, SessionNumber: new(int32(1))}}
	session, err := r.CreateTrafficMirrorSession(t.Context(), asked)
	must(t, err)
	id := r.mirror(b, tap("eni-1", "eni-sensor", 0))[0]
	if r.number(id) != 2 {
		t.Errorf("number %d beside EC2's 1", r.number(id))
	}
	r.count("the target is used again", 2, 1, 2)
	r.mirrorFails(b, "Value (sideways) for parameter TrafficDirection is invalid.",
		control.CreateMirroringAction{ActionID: "1", SourceNIC: "eni-2", TargetNIC: "eni-spare"},
		control.CreateMirroringAction{ActionID: "2", SourceNIC: "eni-2", TargetNIC: "eni-sensor", Rules: []control.MirroringRule{{Direction: "sideways", Protocol: 6}}})
	r.count("nothing of a request that fails", 2, 1, 2)
	r.end(b)
	f, tg, s := r.objects()
	if diff := cmp.Diff([][]string{{filter.ID}, {target.ID}, {session.ID}}, [][]string{f, tg, s}); diff != "" {
		t.Error(diff)
	}
}

func TestATargetHasTenSourcesAcrossSandboxes(t *testing.T) {
	r := newSandboxRig(t)
	one, other := r.sandbox("Sources"), r.sandbox("Sources")
	for n, id := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"} {
		r.mirror([]control.Sandbox{one, other}[n%2], tap("eni-"+id, "eni-sensor", 0))
	}
	want := "Sources per interface-target limit reached (11): a target network interface can have sessions with 10 sources; use another target, or remove sessions to this one first"
	r.mirrorFails(one, want, tap("eni-11", "eni-sensor", 0))
	r.mirror(one, tap("eni-2", "eni-sensor", 0)) // a source counts once
	r.end(other)
	r.mirror(one, tap("eni-11", "eni-sensor", 0), tap("eni-12", "eni-sensor", 0), tap("eni-4", "eni-sensor", 0))
}

func TestLimitsCountWhatARequestMakes(t *testing.T) {
	r := newSandboxRig(t)
	b := r.sandbox("Tap")
	four := []control.CreateMirroringAction{tap("eni-1", "eni-sensor", 0), tap("eni-1", "eni-sensor", 0), tap("eni-1", "eni-spare", 0), tap("eni-1", "eni-spare", 0)}
	r.mirrorFails(b, "Sessions per interface limit reached (4): a source network interface can have 3 sessions; remove one of its sessions first", four...)
	r.count("nothing", 0, 0, 0)
	ids := r.mirror(b, four[:3]...)
	for i, id := range ids {
		if n := r.number(id); n != int32(i+1) {
			t.Errorf("session %d has number %d", i, n)
		}
	}
	r.count("two sessions to one new target", 3, 2, 3)
	_, err := r.CreateMirroring(t.Context(), dana, b.ID, []control.CreateMirroringAction{tap("eni-2", "eni-sensor", 4), tap("eni-2", "eni-spare", 4)})
	refusedBy(t, err, control.SandboxErrorDriver, "session number for eni-2.")
	many := tap("eni-2", "eni-sensor", 0)
	for range 5 {
		many.Rules = append(many.Rules, webRules()...)
	}
	results, err := r.CreateMirroring(t.Context(), dana, b.ID, []control.CreateMirroringAction{many})
	must(t, err)
	if !strings.HasPrefix(results[0].Error, "Filter rule limit reached (10) in tmf-") {
		t.Errorf("%+v", results)
	}
	_, err = r.CreateMirroring(t.Context(), dana, b.ID, make([]control.CreateMirroringAction, 51))
	refusedBy(t, err, control.SandboxErrorDriver, "Invalid request: 51 actions, expected 1 to 50")
	r.count("no more than before", 3, 2, 3)
}

func TestNumbersNeverCollide(t *testing.T) {
	r := newSandboxRig(t)
	one, other := r.sandbox("Tap"), r.sandbox("Tap")
	var wg sync.WaitGroup
	results := make([]control.MirroringResult, 40)
	for i := range results {
		wg.Go(func() {
			got, err := r.CreateMirroring(t.Context(), dana, []control.Sandbox{one, other}[i%2].ID, []control.CreateMirroringAction{tap("eni-1", "eni-sensor", 0)})
			if err != nil {
				t.Error(err)
				return
			}
			results[i] = got[0]
		})
	}
	wg.Wait()
	numbers := map[int32]bool{}
	for _, got := range results {
		if got.Success {
			numbers[r.number(got.SessionID)] = true
		} else if !strings.HasPrefix(got.Error, "Sessions per interface limit reached") {
			t.Error(got.Error)
		}
	}
	if diff := cmp.Diff(map[int32]bool{1: true, 2: true, 3: true}, numbers); diff != "" {
		t.Error(diff)
	}
	r.count("three of forty", 3, 1, 3)
}

func TestMirroringThatAnAgentRefusesIsUndone(t *testing.T) {
	r := newSandboxRig(t)
	b := r.sandbox("Tap")
	first := r.mirror(b, tap("eni-2", "eni-spare", 0))[0]
	r.fleet.hold()
	go func() {
		await(t, "two sources", func() bool { return len(r.fleet.state().Mirrors) == 2 })
		revision := r.fleet.state().Revision
		r.fleet.say("host-1", func(s *sluice.AgentStatus) {
			s.Revision, s.Mirrors = revision, []sluice.MirrorSourceStatus{{InterfaceID: "eni-1", Problem: "no TCX"}}
		})
	}()
	want := "Source eni-1 can't be mirrored by the agent of its host host-1: no TCX. It takes Linux 6.6 or later with eBPF on TCX"
	r.mirrorFails(b, want, tap("eni-1", "eni-spare", 0), tap("eni-1", "eni-sensor", 0))
	f, _, s := r.objects()
	if len(f) != 1 || len(s) != 1 || s[0] != first {
		t.Errorf("filters %v, sessions %v", f, s)
	}
	r.count("the target of before stays, that of this request goes", 1, 1, 1)
	r.mirrorFails(b, want, tap("eni-1", "eni-spare", 0)) // it is known now
}

func TestPrerequisitesSayHowToMeetThem(t *testing.T) {
	r := newSandboxRig(t)
	b, closed := r.sandbox("Tap"), r.sandbox("Lab/Closed")
	r.mirrorFails(b, "The source network interface 'eni-none' does not exist; GetReservationDetails has the ids", tap("eni-none", "eni-sensor", 0))
	r.mirrorFails(b, "The target network interface 'eni-none' does not exist; GetReservationDetails has the ids", tap("eni-1", "eni-none", 0))
	r.mirrorFails(b, "The source network interface eni-3 (i-3) is not of a resource of reservation "+b.ID+"; add its resource with AddResourcesToReservation", tap("eni-3", "eni-sensor", 0))
	r.mirrorFails(b, "Source and target are the same network interface eni-1; name two", tap("eni-1", "eni-1", 0))
	shut := "Target eni-sensor doesn't accept UDP port 4789 from 10.0.1.11, the address of source eni-1. Open it with SetAppSecurityGroups, " +
		"with 4789:udp:10.0.1.11/32 in the attribute Inbound Ports of the target's App, or with its attribute Allow all Sandbox Traffic"
	r.mirrorFails(closed, shut, tap("eni-1", "eni-sensor", 0))
	set := func(rules ...control.AppSecurityRule) []control.AppSecurityResult {
		got, err := r.SetAppSecurityGroups(t.Context(), dana, closed.ID, []control.AppSecurityGroups{
			{App: "sensor-" + closed.ID[32:], Subnets: []control.AppSubnetRules{{SubnetID: "subnet-a", Rules: rules}}}})
		must(t, err)
		return got
	}
	for _, rule := range []control.AppSecurityRule{{"4789", "4789", "tcp", "10.0.1.0/24"}, {"4788", "4788", "udp", "10.0.1.0/24"}, {"4789", "4789", "udp", "10.0.2.0/24"}} {
		set(rule)
		r.mirrorFails(closed, shut, tap("eni-1", "eni-sensor", 0))
	}
	if got := set(control.AppSecurityRule{"4789", "x", "UDP", "10.0.1.11/32"}); got[0].Success || got[0].Error != "Setting custom app security rules failed for 'sensor-"+closed.ID[32:]+"' with error 'Value (x) for parameter ToPort is invalid. Expecting a port.'." {
		t.Errorf("%+v", got)
	}
	if got := set(control.AppSecurityRule{"4000", "5000", "UDP", "10.0.1.11/32"}); !got[0].Success {
		t.Errorf("%+v", got)
	}
	r.mirror(closed, tap("eni-1", "eni-sensor", 0))
	set()
	r.mirrorFails(closed, shut, tap("eni-1", "eni-sensor", 0))

	change := func(nic string, f func(*sluice.Interface)) {
		inv := instances()
		for i := range inv.Interfaces {
			if inv.Interfaces[i].ID == nic {
				f(&inv.Interfaces[i])
			}
		}
		r.inv.set(inv)
	}
	change("eni-sensor", func(n *sluice.Interface) { n.Up = false })
	r.mirrorFails(b, "Target eni-sensor is down; set its device sensor up", tap("eni-1", "eni-sensor", 0))
	change("eni-sensor", func(n *sluice.Interface) { n.VpcID = "vpc-2" })
	r.mirrorFails(b, "Target eni-sensor (vpc-2) is out of reach of source eni-1 ("+vpc+"): they must be in the same VPC", tap("eni-1", "eni-sensor", 0))
	change("eni-sensor", func(n *sluice.Interface) { n.Addresses = nil })
	r.mirrorFails(b, "Target eni-sensor has no IP address; give its device sensor one", tap("eni-1", "eni-sensor", 0))
	change("eni-1", func(n *sluice.Interface) { n.Addresses = n.Addresses[1:] })
	r.mirrorFails(b, "Source eni-1 has no address of the family of 10.0.1.201, the address of target eni-spare; give its device 1 one", tap("eni-1", "eni-spare", 0))
	change("eni-1", func(n *sluice.Interface) { n.HostID = "host-9" })
	r.mirrorFails(b, "Source eni-1 can't be mirrored: no agent is connected from its host host-9; start Sluice there", tap("eni-1", "eni-sensor", 0))
}

func TestASessionWithoutRulesIsToldOf(t *testing.T) {
	r := newSandboxRig(t)
	b := r.sandbox("Tap")
	ids := r.mirror(b, tap("eni-1", "eni-sensor", 0), control.CreateMirroringAction{ActionID: "a", SourceNIC: "eni-2", TargetNIC: "eni-sensor"})
	lines, err := r.SandboxOutput(t.Context(), dana, b.ID)
	must(t, err)
	if diff := cmp.Diff([]string{"Session " + ids[1] + " of eni-2 has no filter rules: it mirrors nothing."}, lines); diff != "" {
		t.Error(diff)
	}
}

func TestAStoreThatFailsIsNoResult(t *testing.T) {
	r := newSandboxRig(t)
	b := r.sandbox("Tap")
	r.faults.sandboxes.Store(1)
	if _, err := r.CreateMirroring(t.Context(), dana, b.ID, []control.CreateMirroringAction{tap("eni-1", "eni-sensor", 0)}); !errors.Is(err, errDisk) {
		t.Error(err)
	}
	r.count("nothing", 0, 0, 0)
}

// TestAFaultOfRulesComesAfterTheNumbers: of a request with both, the number is told, as
// the driver takes all numbers before it looks at rules; alone it is in every result.
func TestAFaultOfRulesComesAfterTheNumbers(t *testing.T) {
	r := newSandboxRig(t)
	b := r.sandbox("Tap")
	r.mirror(b, tap("eni-1", "eni-sensor", 5))
	faulty := tap("eni-1", "eni-sensor", 6)
	faulty.Rules = append(slices.Clone(faulty.Rules), control.MirroringRule{Fault: "protocol not found"})
	r.mirrorFails(b, "protocol not found", faulty)
	r.mirrorFails(b, "protocol not found", tap("eni-2", "eni-sensor", 0), faulty)
	r.count("after the faults", 1, 1, 1)
	_, err := r.CreateMirroring(t.Context(), dana, b.ID, []control.CreateMirroringAction{faulty, tap("eni-1", "eni-sensor", 5)})
	refusedBy(t, err, control.SandboxErrorDriver, "Was not able to find an available session number for eni-1.")
}

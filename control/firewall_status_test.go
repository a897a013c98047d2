package control_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice"
	"sluice/control"
)

func TestAnAttachmentTellsWhatIsWrong(t *testing.T) {
	r := newRig(t)
	inv := twoZones()
	second := inv.Interfaces[0]
	second.ID, second.Device = "eni-a1", "a1"
	inv.Interfaces = append(inv.Interfaces, second)
	r.inv.set(inv)
	f := r.readyFirewall("f", "subnet-a")
	endpoint := f.SubnetMappings[0].EndpointID
	for name, c := range map[string]struct {
		status              sluice.EndpointStatus
		attachment, message string
		firewall            string
	}{
		"all attached": {sluice.EndpointStatus{Attached: []string{"eni-a", "eni-a1"}}, sluice.AttachmentReady, "", sluice.FirewallReady},
		"one not yet":  {sluice.EndpointStatus{Attached: []string{"eni-a"}}, sluice.AttachmentCreating, "", sluice.FirewallProvisioning},
		"one is missing": {sluice.EndpointStatus{Attached: []string{"eni-a1"}, Missing: []string{"eni-a"}},
			sluice.AttachmentReady, "", sluice.FirewallReady},
		"all are missing": {sluice.EndpointStatus{Missing: []string{"eni-a", "eni-a1"}},
			sluice.AttachmentError, "No interface of the endpoint is there: a, a1", sluice.FirewallProvisioning},
		"a problem": {sluice.EndpointStatus{Attached: []string{"eni-a", "eni-a1"}, Problem: "load program: no memory"},
			sluice.AttachmentError, "load program: no memory", sluice.FirewallProvisioning},
	} {
		t.Run(name, func(t *testing.T) {
			c.status.ID, c.status.PolicyGeneration = endpoint, 1
			r.fleet.say("host-1", func(s *sluice.AgentStatus) { s.Endpoints = []sluice.EndpointStatus{c.status} })
			got := r.describe("f").Status
			if z := got.Zones[zoneA]; z.Attachment != c.attachment || z.Message != c.message || got.Status != c.firewall {
				t.Errorf("%+v, %s", z, got.Status)
			}
		})
	}
	r.fleet.say("host-1", func(s *sluice.AgentStatus) { s.Endpoints = nil })
	if got := r.describe("f").Status; got.Zones[zoneA].Attachment != sluice.AttachmentCreating || got.SyncSummary != sluice.SyncPending {
		t.Errorf("an agent that does not know the endpoint: %+v", got)
	}
}

func TestASubnetWithoutInterfacesIsAnErrorUntilItHasOne(t *testing.T) {
	r := newRig(t)
	r.createFirewall("f", "subnet-a", "subnet-c")
	await(t, "an error in zone c", func() bool { return r.describe("f").Status.Zones[zoneC].Attachment == sluice.AttachmentError })
	got := r.describe("f").Status
	if got.Status != sluice.FirewallProvisioning || got.SyncSummary != sluice.SyncPending ||
		got.Zones[zoneC].Message != "Subnet subnet-c has no interface that carries firewalls" {
		t.Errorf("%+v", got)
	}
	inv := twoZones()
	late := inv.Interfaces[1]
	late.ID, late.SubnetID, late.AvailabilityZone = "eni-c", "subnet-c", zoneC
	inv.Interfaces = append(inv.Interfaces, late)
	r.inv.set(inv)
	await(t, "ready", func() bool { return r.describe("f").Status.Status == sluice.FirewallReady })
}

func TestAPolicyChangeIsPendingUntilThePacketsMeetIt(t *testing.T) {
	r := newRig(t)
	f := r.readyFirewall("f", "subnet-a", "subnet-b")
	ctx := t.Context()
	p, err := r.DescribeFirewallPolicy(ctx, control.Selector{Name: "p"})
	must(t, err)
	r.fleet.hold()
	body := forwardAll()
	body.StatelessDefaultActions = []string{sluice.ActionDrop}
	updated, err := r.UpdateFirewallPolicy(ctx, control.UpdateFirewallPolicyInput{
		Selector: control.Selector{Arn: p.Arn}, UpdateToken: p.UpdateToken, Body: body})
	must(t, err)
	got := r.describe("f")
	if got.Status.Status != sluice.FirewallReady || got.Status.SyncSummary != sluice.SyncPending ||
		got.Status.Zones[zoneA].ConfigToken != updated.UpdateToken || got.UpdateToken != f.UpdateToken {
		t.Errorf("after the update: %+v", got)
	}
	await(t, "published", func() bool {
		e := r.fleet.state().Endpoints
		return e[0].Policy.Generation == 2 && e[0].Policy.StatelessDefault == sluice.ActionDrop
	})
	revision := r.fleet.state().Revision
	r.fleet.say("host-1", func(s *sluice.AgentStatus) { s.Revision = revision; s.Endpoints[0].PolicyGeneration = 2 })
	zones := r.describe("f").Status.Zones
	if zones[zoneA].ConfigSync != sluice.SyncInSync || zones[zoneB].ConfigSync != sluice.SyncPending {
		t.Errorf("one host is done: %+v", zones)
	}
	r.fleet.release()
	if got := r.describe("f").Status; got.SyncSummary != sluice.SyncInSync {
		t.Errorf("both are done: %+v", got)
	}
}

// TestAnotherPolicyOfTheSameGenerationIsNotTakenForTheOldOne: agents report a
// generation alone, and both policies are at their first.
func TestAnotherPolicyOfTheSameGenerationIsNotTakenForTheOldOne(t *testing.T) {
	r := newRig(t)
	r.readyFirewall("f", "subnet-a")
	r.createPolicy("q")
	r.fleet.hold()
	_, err := r.AssociateFirewallPolicy(t.Context(), control.Selector{Name: "f"}, "", policyArn("q"))
	must(t, err)
	if got := r.describe("f").Status.SyncSummary; got != sluice.SyncPending {
		t.Errorf("before it is published: %s", got)
	}
	await(t, "published", func() bool { return r.fleet.state().Endpoints[0].Policy.PolicyArn == policyArn("q") })
	if got := r.describe("f").Status.SyncSummary; got != sluice.SyncPending {
		t.Errorf("before the agent has it: %s", got)
	}
	r.fleet.release()
	if got := r.describe("f").Status.SyncSummary; got != sluice.SyncInSync {
		t.Errorf("after: %s", got)
	}
}

func TestTheDesiredStateHasEveryEndpointOldestFirewallFirst(t *testing.T) {
	r := newRig(t)
	body := forwardAll()
	body.StatelessFragmentDefaultActions = []string{sluice.ActionDrop}
	body.StatefulEngineOptions = &sluice.StatefulEngineOptions{StreamExceptionPolicy: "REJECT", FlowTimeouts: true, TCPIdleTimeoutSeconds: 60}
	_, err := r.CreateFirewallPolicy(t.Context(), control.CreateFirewallPolicyInput{Name: "p", Body: body})
	must(t, err)
	z := r.createFirewall("z", "subnet-a")
	r.clock.advance(time.Second)
	a := r.createFirewall("a", "subnet-b", "subnet-a")
	policy := sluice.EndpointPolicy{PolicyArn: policyArn("p"), Generation: 1, StatelessDefault: sluice.ActionForwardToSFE,
		FragmentDefault: sluice.ActionDrop, StreamException: "REJECT", TCPIdleTimeout: time.Minute}
	refA := []sluice.InterfaceRef{{ID: "eni-a", HostID: "host-1", Device: "a"}}
	refB := []sluice.InterfaceRef{{ID: "eni-b", HostID: "host-2", Device: "b"}}
	want := []sluice.Endpoint{
		{ID: z.SubnetMappings[0].EndpointID, FirewallName: "z", FirewallArn: z.Arn, Zone: zoneA, Interfaces: refA, Policy: policy},
		{ID: a.SubnetMappings[0].EndpointID, FirewallName: "a", FirewallArn: a.Arn, Zone: zoneB, Interfaces: refB, Policy: policy},
		{ID: a.SubnetMappings[1].EndpointID, FirewallName: "a", FirewallArn: a.Arn, Zone: zoneA, Interfaces: refA, Policy: policy},
	}
	await(t, "three endpoints", func() bool { return len(r.fleet.state().Endpoints) == 3 })
	before := r.fleet.state()
	if diff := cmp.Diff(want, before.Endpoints); diff != "" {
		t.Error(diff)
	}
	r.stop()
	r.start()
	if after := r.fleet.state(); !cmp.Equal(before, after) {
		t.Errorf("after a restart: %s", cmp.Diff(before, after))
	}
	must(t, r.TagResource(t.Context(), z.Arn, []sluice.Tag{{Key: "k"}})) // means nothing to agents
	_, err = r.DisassociateSubnets(t.Context(), control.Selector{Name: "a"}, "", []string{"subnet-a"})
	must(t, err)
	await(t, "a new state", func() bool { return r.fleet.state().Revision > before.Revision })
	if got := r.fleet.state(); got.Revision != before.Revision+1 || !slices.EqualFunc(got.Endpoints, want[:2], func(x, y sluice.Endpoint) bool { return x.ID == y.ID }) {
		t.Errorf("after a change: %+v", got)
	}
}

// TestWithoutStatefulRulesADroppingDefaultDropsWhatIsForwarded: nothing could pass
// it on AWS either.
func TestWithoutStatefulRulesADroppingDefaultDropsWhatIsForwarded(t *testing.T) {
	for action, want := range map[string]string{
		"aws:drop_strict":      sluice.ActionDrop,
		"aws:drop_established": sluice.ActionDrop,
		"aws:alert_strict":     sluice.ActionForwardToSFE,
	} {
		r := newRig(t)
		body := forwardAll()
		body.StatelessFragmentDefaultActions = []string{sluice.ActionPass}
		body.StatefulEngineOptions = &sluice.StatefulEngineOptions{RuleOrder: sluice.RuleOrderStrict}
		body.StatefulDefaultActions = []string{action}
		_, err := r.CreateFirewallPolicy(t.Context(), control.CreateFirewallPolicyInput{Name: "p", Body: body})
		must(t, err)
		r.readyFirewall("f", "subnet-a")
		if p := r.fleet.state().Endpoints[0].Policy; p.StatelessDefault != want || p.FragmentDefault != sluice.ActionPass {
			t.Errorf("%s: %+v", action, p)
		}
	}
}

// TestADeletionWaitsForAgentsThatMayYetBuild: an agent that lists no endpoint may
// be about to build it from an older desired state.
func TestADeletionWaitsForAgentsThatMayYetBuild(t *testing.T) {
	r := newRig(t)
	r.readyFirewall("other", "subnet-a")
	ctx := t.Context()
	r.fleet.hold()
	before := r.fleet.state().Revision
	r.createFirewall("f", "subnet-a")
	await(t, "f published", func() bool { return len(r.fleet.state().Endpoints) == 2 })
	_, err := r.DeleteFirewall(ctx, control.Selector{Name: "f"})
	must(t, err)
	await(t, "f withdrawn", func() bool { return len(r.fleet.state().Endpoints) == 1 })
	for revision := before; revision < r.fleet.state().Revision; revision++ {
		r.fleet.say("host-1", func(s *sluice.AgentStatus) { s.Revision = revision })
		must(t, r.Reconcile(ctx))
		if s := r.describe("f").Status.Status; s != sluice.FirewallDeleting {
			t.Fatalf("at revision %d: %s", revision, s)
		}
	}
	r.fleet.release()
	await(t, "f gone", func() bool {
		_, err := r.DescribeFirewall(ctx, control.Selector{Name: "f"})
		return sluice.KindOf(err) == sluice.KindNotFound
	})
}

func TestADeletionWaitsForTheOperationsOfTheFirewall(t *testing.T) {
	r := newRig(t)
	r.readyFirewall("f", "subnet-a")
	ctx := t.Context()
	gate := make(chan struct{})
	r.fleet.onCommand(func(context.Context, sluice.FlowCommand, func(sluice.FlowBlock) error) []sluice.FlowOutcome {
		<-gate
		return []sluice.FlowOutcome{{}}
	})
	_, err := r.StartFlowOperation(ctx, capture("f", zoneA))
	must(t, err)
	_, err = r.DeleteFirewall(ctx, control.Selector{Name: "f"})
	must(t, err)
	await(t, "f withdrawn", func() bool { return len(r.fleet.state().Endpoints) == 0 })
	must(t, r.Reconcile(ctx))
	if s := r.describe("f").Status.Status; s != sluice.FirewallDeleting {
		t.Errorf("while its operation runs: %s", s)
	}
	close(gate)
	await(t, "f gone", func() bool {
		_, err := r.DescribeFirewall(ctx, control.Selector{Name: "f"})
		return sluice.KindOf(err) == sluice.KindNotFound
	})
}

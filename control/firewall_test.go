package control_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice"
	"sluice/control"
)

func TestAFirewallIsProvisioningUntilItsAgentsSayOtherwise(t *testing.T) {
	r := newRig(t)
	r.fleet.hold()
	p := r.createPolicy("p")
	f := r.createFirewall("f", "subnet-a", "subnet-b")
	want := control.FirewallStatus{Status: sluice.FirewallProvisioning, SyncSummary: sluice.SyncPending, Zones: map[string]control.ZoneState{
		zoneA: {SubnetID: "subnet-a", Attachment: sluice.AttachmentCreating, ConfigSync: sluice.SyncPending, ConfigToken: p.UpdateToken},
		zoneB: {SubnetID: "subnet-b", Attachment: sluice.AttachmentCreating, ConfigSync: sluice.SyncPending, ConfigToken: p.UpdateToken},
	}}
	if diff := cmp.Diff(want, f.Status); diff != "" {
		t.Errorf("answer of create:\n%s", diff)
	}
	await(t, "desired state", func() bool { return len(r.fleet.state().Endpoints) == 2 })
	if diff := cmp.Diff(want, r.describe("f").Status); diff != "" {
		t.Errorf("before the agents report:\n%s", diff)
	}
	r.fleet.release()
	want.Status, want.SyncSummary = sluice.FirewallReady, sluice.SyncInSync
	for zone, z := range want.Zones {
		m, _ := f.Mapping(zone)
		z.Attachment, z.ConfigSync, z.EndpointID = sluice.AttachmentReady, sluice.SyncInSync, m.EndpointID
		want.Zones[zone] = z
	}
	if diff := cmp.Diff(want, r.describe("f").Status); diff != "" {
		t.Errorf("after the agents reported:\n%s", diff)
	}
}

func TestCreateFirewallKeepsWhatWasSentAndFillsInDefaults(t *testing.T) {
	r := newRig(t)
	r.createPolicy("p")
	in := firewallInput("f", "subnet-a")
	in.Description, in.DeleteProtection, in.EnabledAnalysisTypes = "d", true, []string{"TLS_SNI"}
	in.Tags = []sluice.Tag{{Key: "b", Value: "2"}, {Key: "a", Value: "1"}}
	created, err := r.CreateFirewall(t.Context(), in)
	must(t, err)
	got := r.describe("f").Firewall
	if diff := cmp.Diff(created.Firewall, got); diff != "" {
		t.Errorf("describe differs from create:\n%s", diff)
	}
	want := sluice.Firewall{Name: "f", Arn: firewallArn("f"), PolicyArn: policyArn("p"), VpcID: vpc, Description: "d",
		DeleteProtection: true, EnabledAnalysisTypes: in.EnabledAnalysisTypes, Encryption: sluice.AWSOwnedKey, Tags: in.Tags,
		Created: r.clock.Now(), ID: got.ID, UpdateToken: got.UpdateToken, SubnetMappings: []sluice.SubnetMapping{
			{SubnetID: "subnet-a", IPAddressType: "IPV4", AvailabilityZone: zoneA, EndpointID: got.SubnetMappings[0].EndpointID}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(got.ID) != 36 || len(got.UpdateToken) != 36 || !strings.HasPrefix(got.SubnetMappings[0].EndpointID, "vpce-") {
		t.Errorf("ids: %+v", got)
	}
}

func TestCreateFirewallRefuses(t *testing.T) {
	r := newRig(t, func(o *control.Options) { o.Quotas.Firewalls = 2 })
	r.createFirewall("taken", "subnet-a")
	for name, c := range map[string]struct {
		change func(*control.CreateFirewallInput)
		kind   sluice.Kind
		text   string
	}{
		"a name that is taken": {func(in *control.CreateFirewallInput) { in.Name = "taken" },
			sluice.KindInvalidRequest, "A resource with the specified name already exists"},
		"a bad name": {func(in *control.CreateFirewallInput) { in.Name = "a/b" },
			sluice.KindInvalidRequest, "FirewallName has invalid format, parameter: [a/b], context: FirewallName"},
		"a policy that is missing": {func(in *control.CreateFirewallInput) { in.PolicyArn = policyArn("none") },
			sluice.KindInvalidRequest, "FirewallPolicyArn does not exist, parameter: [" + policyArn("none") + "]"},
		"a policy of another account": {func(in *control.CreateFirewallInput) {
			in.PolicyArn = strings.Replace(policyArn("p"), account, "111111111111", 1)
		}, sluice.KindInvalidRequest, "FirewallPolicyArn does not exist, parameter: [arn:aws:network-firewall:eu-west-1:111111111111:firewall-policy/p]"},
		"a policy of another region": {func(in *control.CreateFirewallInput) {
			in.PolicyArn = "arn:aws:network-firewall:us-east-1:000000000000:firewall-policy/p"
		}, sluice.KindInvalidRequest, "FirewallPolicyArn is invalid, parameter: [arn:aws:network-firewall:us-east-1:000000000000:firewall-policy/p], context: FirewallPolicyArn"},
		"a policy ARN that is none": {func(in *control.CreateFirewallInput) { in.PolicyArn = "arn:aws:x" },
			sluice.KindInvalidRequest, "FirewallPolicyArn has invalid format, parameter: [arn:aws:x], context: FirewallPolicyArn"},
		"the ARN of a firewall as policy": {func(in *control.CreateFirewallInput) { in.PolicyArn = firewallArn("taken") },
			sluice.KindInvalidRequest, "FirewallPolicyArn is invalid, parameter: [" + firewallArn("taken") + "], context: FirewallPolicyArn"},
		"an unknown VPC": {func(in *control.CreateFirewallInput) { in.VpcID = "vpc-9" },
			sluice.KindInvalidRequest, "VpcId does not exist, parameter: [vpc-9], context: VpcId"},
		"no subnet": {func(in *control.CreateFirewallInput) { in.SubnetMappings = nil },
			sluice.KindInvalidRequest, "SubnetMappings cannot be null or empty, context: SubnetMappings"},
		"an unknown subnet": {func(in *control.CreateFirewallInput) { in.SubnetMappings[0].SubnetID = "subnet-9" },
			sluice.KindInvalidRequest, "SubnetId does not exist, parameter: [subnet-9], context: SubnetMappings[0].SubnetId"},
		"a subnet of another VPC": {func(in *control.CreateFirewallInput) { in.SubnetMappings[0].SubnetID = "subnet-far" },
			sluice.KindInvalidRequest, "SubnetId, VpcId cannot exist together, parameter: [subnet-far, " + vpc + "], context: SubnetMappings[0].SubnetId"},
		"a subnet twice": {func(in *control.CreateFirewallInput) {
			in.SubnetMappings = append(in.SubnetMappings, in.SubnetMappings[0])
		}, sluice.KindInvalidRequest, "SubnetId has duplicate values, parameter: [subnet-a], context: SubnetMappings[1].SubnetId"},
		"two subnets in a zone": {func(in *control.CreateFirewallInput) {
			in.SubnetMappings = append(in.SubnetMappings, sluice.SubnetMapping{SubnetID: "subnet-a2"})
		}, sluice.KindInvalidRequest, "AvailabilityZone has duplicate values, parameter: [eu-west-1a], context: SubnetMappings[1]"},
		"IPv6 in a subnet without": {func(in *control.CreateFirewallInput) {
			in.SubnetMappings[0] = sluice.SubnetMapping{SubnetID: "subnet-b", IPAddressType: "IPV6"}
		}, sluice.KindInvalidRequest, "IPAddressType is invalid, parameter: [IPV6], context: SubnetMappings[0].IPAddressType"},
		"both families in a subnet with one": {func(in *control.CreateFirewallInput) {
			in.SubnetMappings[0] = sluice.SubnetMapping{SubnetID: "subnet-b", IPAddressType: "DUALSTACK"}
		}, sluice.KindInvalidRequest, "IPAddressType is invalid, parameter: [DUALSTACK], context: SubnetMappings[0].IPAddressType"},
		"a reserved tag": {func(in *control.CreateFirewallInput) { in.Tags = []sluice.Tag{{Key: "AWS:x"}} },
			sluice.KindInvalidRequest, "Tags is invalid, parameter: [AWS:x], context: Tags"},
		"a tag twice": {func(in *control.CreateFirewallInput) { in.Tags = []sluice.Tag{{Key: "x"}, {Key: "x"}} },
			sluice.KindInvalidRequest, "Tags has duplicate values, parameter: [x], context: Tags"},
		"51 tags": {func(in *control.CreateFirewallInput) {
			for i := range 51 {
				in.Tags = append(in.Tags, sluice.Tag{Key: fmt.Sprint(i)})
			}
		}, sluice.KindInvalidRequest, "Tags limit exceeded, parameter: [51], context: Tags"},
		"a key without an id": {func(in *control.CreateFirewallInput) {
			in.Encryption = &sluice.EncryptionConfiguration{Type: "CUSTOMER_KMS"}
		}, sluice.KindInvalidRequest, "KeyId cannot be null or empty, context: EncryptionConfiguration.KeyId"},
	} {
		t.Run(name, func(t *testing.T) {
			in := firewallInput("new", "subnet-a")
			c.change(&in)
			_, err := r.CreateFirewall(t.Context(), in)
			refused(t, err, c.kind, c.text)
		})
	}
	r.createFirewall("last", "subnet-a") // several firewalls may map one subnet
	_, err := r.CreateFirewall(t.Context(), firewallInput("more", "subnet-a"))
	refused(t, err, sluice.KindLimitExceeded, "Firewall limit exceeded, parameter: [2]")
	if all, err := r.ListFirewalls(t.Context(), nil); err != nil || len(all) != 2 {
		t.Errorf("firewalls: %v, %v", all, err)
	}
}

func TestOneOfAHundredConcurrentCreatesWins(t *testing.T) {
	r := newRig(t)
	r.createPolicy("p")
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			_, err := r.CreateFirewall(t.Context(), firewallInput("f", "subnet-a"))
			if err == nil {
				won.Add(1)
			} else if err.Error() != "A resource with the specified name already exists" {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d creates won", won.Load())
	}
}

func TestSelectorsNameOneFirewall(t *testing.T) {
	r := newRig(t)
	r.createFirewall("f", "subnet-a")
	for name, c := range map[string]struct {
		s    control.Selector
		kind sluice.Kind
		text string // "" is success
	}{
		"name":            {control.Selector{Name: "f"}, 0, ""},
		"ARN":             {control.Selector{Arn: firewallArn("f")}, 0, ""},
		"both":            {control.Selector{Name: "f", Arn: firewallArn("f")}, 0, ""},
		"neither":         {control.Selector{}, sluice.KindInvalidRequest, "FirewallName, FirewallArn cannot be null or empty"},
		"disagreement":    {control.Selector{Name: "g", Arn: firewallArn("f")}, sluice.KindInvalidRequest, "FirewallName, FirewallArn must name the same resource, parameter: [g, " + firewallArn("f") + "]"},
		"unknown name":    {control.Selector{Name: "g"}, sluice.KindNotFound, "FirewallName does not exist, parameter: [g]"},
		"unknown ARN":     {control.Selector{Arn: firewallArn("g")}, sluice.KindNotFound, "FirewallArn does not exist, parameter: [" + firewallArn("g") + "]"},
		"another account": {control.Selector{Arn: "arn:aws:network-firewall:eu-west-1:111111111111:firewall/f"}, sluice.KindNotFound, "FirewallArn does not exist, parameter: [arn:aws:network-firewall:eu-west-1:111111111111:firewall/f]"},
		"another region":  {control.Selector{Arn: "arn:aws:network-firewall:us-east-1:000000000000:firewall/f"}, sluice.KindInvalidRequest, "FirewallArn is invalid, parameter: [arn:aws:network-firewall:us-east-1:000000000000:firewall/f], context: FirewallArn"},
		"another service": {control.Selector{Arn: "arn:aws:ec2:eu-west-1:000000000000:firewall/f"}, sluice.KindInvalidRequest, "FirewallArn is invalid, parameter: [arn:aws:ec2:eu-west-1:000000000000:firewall/f], context: FirewallArn"},
		"another type":    {control.Selector{Arn: policyArn("p")}, sluice.KindInvalidRequest, "FirewallArn is invalid, parameter: [" + policyArn("p") + "], context: FirewallArn"},
		"no ARN":          {control.Selector{Arn: "arn:aws"}, sluice.KindInvalidRequest, "FirewallArn has invalid format, parameter: [arn:aws], context: FirewallArn"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := r.DescribeFirewall(t.Context(), c.s)
			if c.text != "" {
				refused(t, err, c.kind, c.text)
			} else if err != nil || f.Name != "f" {
				t.Errorf("%+v, %v", f, err)
			}
		})
	}
}

func TestADeletedFirewallIsNeverReadyAgain(t *testing.T) {
	r := newRig(t)
	r.readyFirewall("f", "subnet-a")
	ctx := t.Context()
	by := control.Selector{Name: "f"}
	r.fleet.hold()
	v, err := r.DeleteFirewall(ctx, by)
	must(t, err)
	if v.Status.Status != sluice.FirewallDeleting || v.Status.Zones[zoneA].Attachment != sluice.AttachmentDeleting {
		t.Errorf("answer of delete: %+v", v.Status)
	}
	await(t, "endpoint withdrawn", func() bool { return len(r.fleet.state().Endpoints) == 0 })
	if s := r.describe("f").Status.Status; s != sluice.FirewallDeleting {
		t.Errorf("while the agents hold it: %s", s)
	}
	if v, err := r.DeleteFirewall(ctx, by); err != nil || v.Status.Status != sluice.FirewallDeleting {
		t.Errorf("delete again: %+v, %v", v.Status, err)
	}
	_, err = r.CreateFirewall(ctx, firewallInput("f", "subnet-a"))
	refused(t, err, sluice.KindInvalidRequest, "A resource with the specified name already exists")
	_, err = r.DeleteFirewallPolicy(ctx, control.Selector{Name: "p"})
	refused(t, err, sluice.KindInvalidOperation, "Unable to delete the object because it is still in use")
	_, err = r.UpdateFirewallDescription(ctx, by, "", "x")
	refused(t, err, sluice.KindInvalidOperation, "Firewall is being deleted, parameter: [f]")
	refused(t, r.TagResource(ctx, firewallArn("f"), []sluice.Tag{{Key: "a"}}), sluice.KindInvalidOperation, "Firewall is being deleted, parameter: [f]")

	r.fleet.release()
	await(t, "firewall gone", func() bool {
		v, err := r.DescribeFirewall(ctx, by)
		if err == nil && v.Status.Status != sluice.FirewallDeleting {
			t.Fatalf("status %s after delete", v.Status.Status)
		}
		return sluice.KindOf(err) == sluice.KindNotFound
	})
	if v, err := r.DeleteFirewallPolicy(ctx, control.Selector{Name: "p"}); err != nil || v.Status != "DELETING" {
		t.Errorf("delete of the policy: %+v, %v", v, err)
	}
	_, err = r.DeleteFirewall(ctx, by)
	refused(t, err, sluice.KindNotFound, "FirewallName does not exist, parameter: [f]")
}

func TestADeletionGoesOnAfterARestart(t *testing.T) {
	r := newRig(t)
	r.readyFirewall("f", "subnet-a")
	r.fleet.hold()
	_, err := r.DeleteFirewall(t.Context(), control.Selector{Name: "f"})
	must(t, err)
	r.stop()
	r.fleet.release()
	r.start()
	await(t, "firewall gone", func() bool {
		_, err := r.DescribeFirewall(t.Context(), control.Selector{Name: "f"})
		return sluice.KindOf(err) == sluice.KindNotFound
	})
}

func TestProtectionsRefuse(t *testing.T) {
	r := newRig(t)
	r.createFirewall("f", "subnet-a")
	r.createPolicy("q")
	ctx := t.Context()
	by := control.Selector{Name: "f"}
	for _, c := range []struct {
		protection string
		set        func(bool) error
		try        func() error
	}{
		{"DeleteProtection",
			func(on bool) error { _, err := r.UpdateFirewallDeleteProtection(ctx, by, "", on); return err },
			func() error { _, err := r.DeleteFirewall(ctx, by); return err }},
		{"SubnetChangeProtection",
			func(on bool) error { _, err := r.UpdateSubnetChangeProtection(ctx, by, "", on); return err },
			func() error {
				_, err := r.AssociateSubnets(ctx, by, "", []sluice.SubnetMapping{{SubnetID: "subnet-b"}})
				return err
			}},
		{"SubnetChangeProtection",
			func(on bool) error { _, err := r.UpdateSubnetChangeProtection(ctx, by, "", on); return err },
			func() error { _, err := r.DisassociateSubnets(ctx, by, "", []string{"subnet-b"}); return err }},
		{"FirewallPolicyChangeProtection",
			func(on bool) error { _, err := r.UpdateFirewallPolicyChangeProtection(ctx, by, "", on); return err },
			func() error { _, err := r.AssociateFirewallPolicy(ctx, by, "", policyArn("q")); return err }},
	} {
		must(t, c.set(true))
		err := c.try()
		refused(t, err, sluice.KindInvalidOperation, c.protection+" is enabled, parameter: [f]")
		if err != nil && strings.Contains(err.Error(), "still in use") {
			t.Error("Terraform would try again")
		}
		if c.protection == "DeleteProtection" {
			continue // what follows needs the firewall
		}
		must(t, c.set(false))
		if err := c.try(); err != nil {
			t.Errorf("%s is off: %v", c.protection, err)
		}
	}
}

func TestSubnetsComeAndGo(t *testing.T) {
	r := newRig(t)
	r.readyFirewall("f", "subnet-a")
	ctx := t.Context()
	by := control.Selector{Arn: firewallArn("f")}
	first := r.describe("f")
	f, err := r.AssociateSubnets(ctx, by, first.UpdateToken, []sluice.SubnetMapping{{SubnetID: "subnet-b", IPAddressType: "IPV4"}})
	must(t, err)
	if len(f.SubnetMappings) != 2 || f.SubnetMappings[0] != first.SubnetMappings[0] || f.UpdateToken == first.UpdateToken {
		t.Errorf("after associate: %+v", f)
	}
	await(t, "both zones ready", func() bool { return r.describe("f").Status.Status == sluice.FirewallReady })
	_, err = r.AssociateSubnets(ctx, by, "", []sluice.SubnetMapping{{SubnetID: "subnet-a2"}})
	refused(t, err, sluice.KindInvalidRequest, "AvailabilityZone has duplicate values, parameter: [eu-west-1a], context: SubnetMappings[0]")
	_, err = r.DisassociateSubnets(ctx, by, "", []string{"subnet-b", "subnet-c"})
	refused(t, err, sluice.KindInvalidRequest, "SubnetIds is invalid, parameter: [subnet-c], context: SubnetIds[1]")
	_, err = r.DisassociateSubnets(ctx, by, "", []string{"subnet-a", "subnet-b"})
	refused(t, err, sluice.KindInvalidRequest, "SubnetIds must leave at least one subnet, parameter: [subnet-a], context: SubnetIds")
	_, err = r.DisassociateSubnets(ctx, by, "", nil)
	refused(t, err, sluice.KindInvalidRequest, "SubnetIds cannot be null or empty, context: SubnetIds")
	f, err = r.DisassociateSubnets(ctx, by, f.UpdateToken, []string{"subnet-a"})
	must(t, err)
	if len(f.SubnetMappings) != 1 || f.SubnetMappings[0].SubnetID != "subnet-b" {
		t.Errorf("after disassociate: %+v", f.SubnetMappings)
	}
	await(t, "one endpoint left", func() bool {
		e := r.fleet.state().Endpoints
		return len(e) == 1 && e[0].ID == f.SubnetMappings[0].EndpointID
	})
}

func TestUpdatesReturnTheTokenForTheNextCall(t *testing.T) {
	r := newRig(t)
	f := r.createFirewall("f", "subnet-a")
	r.createPolicy("q")
	ctx := t.Context()
	by := control.Selector{Name: "f"}
	stale, token := f.UpdateToken, f.UpdateToken
	custom := &sluice.EncryptionConfiguration{KeyID: "k", Type: "CUSTOMER_KMS"}
	for name, update := range map[string]func(token string) (sluice.Firewall, error){
		"delete protection": func(u string) (sluice.Firewall, error) { return r.UpdateFirewallDeleteProtection(ctx, by, u, true) },
		"subnet protection": func(u string) (sluice.Firewall, error) { return r.UpdateSubnetChangeProtection(ctx, by, u, false) },
		"policy protection": func(u string) (sluice.Firewall, error) {
			return r.UpdateFirewallPolicyChangeProtection(ctx, by, u, false)
		},
		"description": func(u string) (sluice.Firewall, error) { return r.UpdateFirewallDescription(ctx, by, u, "d") },
		"encryption": func(u string) (sluice.Firewall, error) {
			return r.UpdateFirewallEncryptionConfiguration(ctx, by, u, custom)
		},
		"analysis": func(u string) (sluice.Firewall, error) {
			return r.UpdateFirewallAnalysisSettings(ctx, by, u, []string{"HTTP_HOST"})
		},
		"policy": func(u string) (sluice.Firewall, error) { return r.AssociateFirewallPolicy(ctx, by, u, policyArn("q")) },
	} {
		changed, err := update(token)
		must(t, err)
		if changed.UpdateToken == token {
			t.Errorf("%s: the token stays", name)
		}
		_, err = update(stale)
		refused(t, err, sluice.KindInvalidToken, "UpdateToken is invalid, parameter: ["+stale+"], context: UpdateToken")
		token = changed.UpdateToken
	}
	got := r.describe("f").Firewall
	if !got.DeleteProtection || got.Description != "d" || got.Encryption != *custom || got.PolicyArn != policyArn("q") ||
		!cmp.Equal(got.EnabledAnalysisTypes, []string{"HTTP_HOST"}) || got.UpdateToken != token {
		t.Errorf("%+v", got)
	}
	// Terraform tags and updates the policy first and then uses the token it has.
	must(t, r.TagResource(ctx, firewallArn("f"), []sluice.Tag{{Key: "a"}}))
	must(t, r.UntagResource(ctx, firewallArn("f"), []string{"a"}))
	q, err := r.DescribeFirewallPolicy(ctx, control.Selector{Name: "q"})
	must(t, err)
	_, err = r.UpdateFirewallPolicy(ctx, control.UpdateFirewallPolicyInput{Selector: control.Selector{Name: "q"}, UpdateToken: q.UpdateToken, Body: forwardAll()})
	must(t, err)
	if _, err := r.UpdateFirewallDescription(ctx, by, token, ""); err != nil {
		t.Errorf("the token of before: %v", err)
	}
	if _, err := r.UpdateFirewallEncryptionConfiguration(ctx, by, "", nil); err != nil || r.describe("f").Encryption != sluice.AWSOwnedKey {
		t.Errorf("without an encryption: %v", err)
	}
	_, err = r.AssociateFirewallPolicy(ctx, by, "", policyArn("none"))
	refused(t, err, sluice.KindNotFound, "FirewallPolicyArn does not exist, parameter: ["+policyArn("none")+"]")
}

func TestListsAreByVpcAndOrderedByName(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"b", "c", "a"} {
		r.createFirewall(name, "subnet-a")
	}
	names := func(vpcs ...string) string {
		all, err := r.ListFirewalls(t.Context(), vpcs)
		must(t, err)
		var out []string
		for _, f := range all {
			out = append(out, f.Name)
		}
		return strings.Join(out, " ")
	}
	if got := names(); got != "a b c" {
		t.Errorf("all: %s", got)
	}
	if got := names("vpc-2", vpc); got != "a b c" {
		t.Errorf("by VPC: %s", got)
	}
	if got := names("vpc-2"); got != "" {
		t.Errorf("of another VPC: %s", got)
	}
}

func TestTagsMergeAndAreOrderedByKey(t *testing.T) {
	r := newRig(t)
	r.createFirewall("f", "subnet-a")
	ctx := t.Context()
	for _, arn := range []string{firewallArn("f"), policyArn("p")} {
		must(t, r.TagResource(ctx, arn, []sluice.Tag{{Key: "b", Value: "1"}, {Key: "a", Value: "1"}}))
		must(t, r.TagResource(ctx, arn, []sluice.Tag{{Key: "b", Value: "2"}, {Key: "B", Value: "3"}}))
		must(t, r.UntagResource(ctx, arn, []string{"a", "unknown"}))
		tags, err := r.ResourceTags(ctx, arn)
		must(t, err)
		if diff := cmp.Diff([]sluice.Tag{{Key: "B", Value: "3"}, {Key: "b", Value: "2"}}, tags); diff != "" {
			t.Errorf("%s:\n%s", arn, diff)
		}
		refused(t, r.TagResource(ctx, arn, []sluice.Tag{{Key: "aws:x"}}), sluice.KindInvalidRequest, "Tags is invalid, parameter: [aws:x], context: Tags")
		many := make([]sluice.Tag, 49)
		for i := range many {
			many[i].Key = fmt.Sprint("k", i)
		}
		refused(t, r.TagResource(ctx, arn, many), sluice.KindInvalidRequest, "Tags limit exceeded, parameter: [51], context: Tags")
	}
	for _, call := range []func(string) error{
		func(arn string) error { return r.TagResource(ctx, arn, nil) },
		func(arn string) error { return r.UntagResource(ctx, arn, nil) },
		func(arn string) error { _, err := r.ResourceTags(ctx, arn); return err },
	} {
		refused(t, call(firewallArn("g")), sluice.KindNotFound, "ResourceArn does not exist, parameter: ["+firewallArn("g")+"]")
		refused(t, call(policyArn("g")), sluice.KindNotFound, "ResourceArn does not exist, parameter: ["+policyArn("g")+"]")
		refused(t, call(arn("stateful-rulegroup", "g")), sluice.KindInvalidRequest, "ResourceArn is invalid, parameter: ["+arn("stateful-rulegroup", "g")+"], context: ResourceArn")
	}
}

package control_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice"
	"sluice/control"
)

// TestAPolicyBodyIsRefused has the rows of the validation table that a policy
// without rule groups can meet.
func TestAPolicyBodyIsRefused(t *testing.T) {
	r := newRig(t)
	r.createPolicy("old")
	strict := &sluice.StatefulEngineOptions{RuleOrder: sluice.RuleOrderStrict}
	type body = sluice.FirewallPolicyBody
	for name, c := range map[string]struct {
		change func(*body)
		text   string
	}{
		"two standard actions": {func(b *body) { b.StatelessDefaultActions = []string{"aws:pass", "aws:drop"} },
			"StatelessDefaultActions cannot exist together, parameter: [aws:pass, aws:drop], context: StatelessDefaultActions"},
		"no default action": {func(b *body) { b.StatelessDefaultActions = nil },
			"StatelessDefaultActions cannot be null or empty, context: StatelessDefaultActions"},
		"only a custom action": {func(b *body) {
			b.StatelessCustomActions = []sluice.CustomAction{{Name: "x", Dimensions: []string{"d"}}}
			b.StatelessFragmentDefaultActions = []string{"x"}
		}, "StatelessFragmentDefaultActions cannot be null or empty, context: StatelessFragmentDefaultActions"},
		"an undefined custom action": {func(b *body) {
			b.StatelessFragmentDefaultActions = []string{"aws:pass", "NotDefined"}
		}, "StatelessFragmentDefaultActions is invalid, parameter: [NotDefined], context: StatelessFragmentDefaultActions"},
		"11 custom actions": {func(b *body) {
			for i := range 11 {
				b.StatelessCustomActions = append(b.StatelessCustomActions, sluice.CustomAction{Name: fmt.Sprint(i), Dimensions: []string{"d"}})
			}
		}, "ActionDefinition limit exceeded, parameter: [11], context: StatelessCustomActions"},
		"a custom action twice": {func(b *body) {
			b.StatelessCustomActions = []sluice.CustomAction{{Name: "x", Dimensions: []string{"d"}}, {Name: "x", Dimensions: []string{"d"}}}
		}, "ActionName has duplicate values, parameter: [x], context: StatelessCustomActions[1].ActionName"},
		"a custom action without dimension": {func(b *body) {
			b.StatelessCustomActions = []sluice.CustomAction{{Name: "x"}}
		}, "Dimensions cannot be null or empty, context: StatelessCustomActions[0].ActionDefinition.PublishMetricAction.Dimensions"},
		"a custom action with two": {func(b *body) {
			b.StatelessCustomActions = []sluice.CustomAction{{Name: "x", Dimensions: []string{"d", "e"}}}
		}, "Dimensions limit exceeded, parameter: [2], context: StatelessCustomActions[0].ActionDefinition.PublishMetricAction.Dimensions"},
		"stateful defaults in the default order": {func(b *body) { b.StatefulDefaultActions = []string{"aws:drop_strict"} },
			"StatefulDefaultActions has invalid rule order, parameter: [DEFAULT_ACTION_ORDER], context: StatefulDefaultActions"},
		"two drop actions": {func(b *body) {
			b.StatefulEngineOptions, b.StatefulDefaultActions = strict, []string{"aws:drop_strict", "aws:drop_established"}
		}, "StatefulDefaultActions cannot exist together, parameter: [aws:drop_strict, aws:drop_established], context: StatefulDefaultActions"},
		"alerts of two families": {func(b *body) {
			b.StatefulEngineOptions, b.StatefulDefaultActions = strict, []string{"aws:alert_established", "aws:alert_established_app_layer"}
		}, "StatefulDefaultActions cannot exist together, parameter: [aws:alert_established, aws:alert_established_app_layer], context: StatefulDefaultActions"},
		"an unknown stateful default": {func(b *body) {
			b.StatefulEngineOptions, b.StatefulDefaultActions = strict, []string{"aws:pass"}
		}, "StatefulDefaultActions is invalid, parameter: [aws:pass], context: StatefulDefaultActions"},
		"a variable other than HOME_NET": {func(b *body) { b.PolicyVariables = map[string][]string{"MYNET": {"10.0.0.0/8"}} },
			"RuleVariables is invalid, parameter: [MYNET], context: PolicyVariables.RuleVariables.IPSet.MYNET"},
		"HOME_NET that is no network": {func(b *body) { b.PolicyVariables = map[string][]string{"HOME_NET": {"x"}} },
			"Definition has invalid format, parameter: [x], context: PolicyVariables.RuleVariables.IPSet.HOME_NET.Definition"},
		"59 seconds": {func(b *body) {
			b.StatefulEngineOptions = &sluice.StatefulEngineOptions{FlowTimeouts: true, TCPIdleTimeoutSeconds: 59}
		}, "TcpIdleTimeoutSeconds is not within the bound, parameter: [59], context: StatefulEngineOptions.FlowTimeouts.TcpIdleTimeoutSeconds"},
		"6001 seconds": {func(b *body) {
			b.StatefulEngineOptions = &sluice.StatefulEngineOptions{FlowTimeouts: true, TCPIdleTimeoutSeconds: 6001}
		}, "TcpIdleTimeoutSeconds is not within the bound, parameter: [6001], context: StatefulEngineOptions.FlowTimeouts.TcpIdleTimeoutSeconds"},
		"an unknown rule order": {func(b *body) { b.StatefulEngineOptions = &sluice.StatefulEngineOptions{RuleOrder: "X"} },
			"RuleOrder is invalid, parameter: [X], context: StatefulEngineOptions.RuleOrder"},
		"an unknown stream exception policy": {func(b *body) {
			b.StatefulEngineOptions = &sluice.StatefulEngineOptions{StreamExceptionPolicy: "X"}
		}, "StreamExceptionPolicy is invalid, parameter: [X], context: StatefulEngineOptions.StreamExceptionPolicy"},
	} {
		t.Run(name, func(t *testing.T) {
			b := forwardAll()
			c.change(&b)
			for _, dryRun := range []bool{true, false} {
				_, err := r.CreateFirewallPolicy(t.Context(), control.CreateFirewallPolicyInput{Name: "new", Body: b, DryRun: dryRun})
				refused(t, err, sluice.KindInvalidRequest, c.text)
				_, err = r.UpdateFirewallPolicy(t.Context(), control.UpdateFirewallPolicyInput{Selector: control.Selector{Name: "old"}, Body: b, DryRun: dryRun})
				refused(t, err, sluice.KindInvalidRequest, c.text)
			}
		})
	}
	if all, err := r.ListFirewallPolicies(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("policies: %v, %v", all, err)
	}
}

func TestAPolicyComesBackAsItWasSent(t *testing.T) {
	r := newRig(t)
	strict := sluice.StatefulEngineOptions{RuleOrder: sluice.RuleOrderStrict}
	filled := strict
	filled.StreamExceptionPolicy = sluice.StreamExceptionDrop
	for name, c := range map[string]struct{ sent, want *sluice.StatefulEngineOptions }{
		"absent": {nil, nil},
		"strict": {&strict, &filled},
		"reject": {&sluice.StatefulEngineOptions{StreamExceptionPolicy: "REJECT"}, &sluice.StatefulEngineOptions{StreamExceptionPolicy: "REJECT"}},
	} {
		t.Run(name, func(t *testing.T) {
			body := forwardAll()
			body.StatefulEngineOptions = c.sent
			body.PolicyVariables = map[string][]string{"HOME_NET": {"10.0.0.0/8", "fd00::/8"}}
			body.StatelessCustomActions = []sluice.CustomAction{{Name: "x", Dimensions: []string{"d"}}}
			body.StatelessDefaultActions = []string{"x", "aws:pass"}
			created, err := r.CreateFirewallPolicy(t.Context(), control.CreateFirewallPolicyInput{Name: name, Description: "d", Body: body, Tags: []sluice.Tag{{Key: "k"}}})
			must(t, err)
			got, err := r.DescribeFirewallPolicy(t.Context(), control.Selector{Arn: policyArn(name)})
			must(t, err)
			if diff := cmp.Diff(created, got); diff != "" {
				t.Errorf("describe differs from create:\n%s", diff)
			}
			body.StatefulEngineOptions = c.want
			want := control.PolicyView{Status: "ACTIVE", FirewallPolicy: sluice.FirewallPolicy{Name: name, Arn: policyArn(name), ID: got.ID, Description: "d",
				Body: body, Encryption: sluice.AWSOwnedKey, Tags: []sluice.Tag{{Key: "k"}}, UpdateToken: got.UpdateToken, LastModified: r.clock.Now(), Generation: 1}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUpdatingAPolicyNeedsItsTokenAndReplacesTheBody(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	p, err := r.CreateFirewallPolicy(ctx, control.CreateFirewallPolicyInput{Name: "p", Description: "d", Body: forwardAll()})
	must(t, err)
	body := forwardAll()
	body.StatelessDefaultActions = []string{sluice.ActionPass}
	in := control.UpdateFirewallPolicyInput{Selector: control.Selector{Name: "p"}, Body: body}
	for _, token := range []string{"", "other"} {
		in.UpdateToken = token
		_, err := r.UpdateFirewallPolicy(ctx, in)
		refused(t, err, sluice.KindInvalidToken, "UpdateToken is invalid, parameter: ["+token+"], context: UpdateToken")
	}
	in.UpdateToken = p.UpdateToken
	in.DryRun = true
	dry, err := r.UpdateFirewallPolicy(ctx, in)
	must(t, err)
	if got, _ := r.DescribeFirewallPolicy(ctx, in.Selector); !cmp.Equal(got, p) || dry.Body.StatelessDefaultActions[0] != sluice.ActionPass {
		t.Errorf("dry run: %+v, then %+v", dry, got)
	}
	in.DryRun = false
	r.clock.advance(time.Hour)
	got, err := r.UpdateFirewallPolicy(ctx, in)
	must(t, err)
	want := p
	want.Body, want.Generation, want.LastModified, want.UpdateToken = body, 2, r.clock.Now(), got.UpdateToken
	if diff := cmp.Diff(want, got); diff != "" || got.UpdateToken == p.UpdateToken {
		t.Errorf("update:\n%s", diff)
	}
	in.UpdateToken, in.Description = got.UpdateToken, "e" // the same body again
	if got, err = r.UpdateFirewallPolicy(ctx, in); err != nil || got.Generation != 2 || got.Description != "e" {
		t.Errorf("update of the description: %+v, %v", got, err)
	}
	in.UpdateToken = got.UpdateToken
	in.Body.StatefulEngineOptions = &sluice.StatefulEngineOptions{RuleOrder: sluice.RuleOrderStrict}
	_, err = r.UpdateFirewallPolicy(ctx, in)
	refused(t, err, sluice.KindInvalidRequest, "RuleOrder cannot be changed, parameter: [STRICT_ORDER], context: StatefulEngineOptions.RuleOrder")
	in.Body.StatefulEngineOptions.RuleOrder = sluice.RuleOrderDefault // what it was without saying so
	if _, err = r.UpdateFirewallPolicy(ctx, in); err != nil {
		t.Errorf("the same order, said: %v", err)
	}
}

func TestPoliciesAreCountedAndDeletedOnlyWhenUnused(t *testing.T) {
	r := newRig(t, func(o *control.Options) { o.Quotas.FirewallPolicies = 2 })
	ctx := t.Context()
	by := control.Selector{Name: "p"}
	r.createFirewall("f", "subnet-a")
	r.createFirewall("g", "subnet-a")
	if p, err := r.DescribeFirewallPolicy(ctx, by); err != nil || p.Associations != 2 {
		t.Errorf("%d associations, %v", p.Associations, err)
	}
	_, err := r.DeleteFirewallPolicy(ctx, by)
	refused(t, err, sluice.KindInvalidOperation, "Unable to delete the object because it is still in use")
	for _, dryRun := range []bool{true, false} {
		_, err = r.CreateFirewallPolicy(ctx, control.CreateFirewallPolicyInput{Name: "p", Body: forwardAll(), DryRun: dryRun})
		refused(t, err, sluice.KindInvalidRequest, "A resource with the specified name already exists")
	}
	dry, err := r.CreateFirewallPolicy(ctx, control.CreateFirewallPolicyInput{Name: "q", Body: forwardAll(), DryRun: true})
	must(t, err)
	if dry.Arn == "" || dry.UpdateToken == "" {
		t.Errorf("dry run: %+v", dry)
	}
	_, err = r.DescribeFirewallPolicy(ctx, control.Selector{Name: "q"})
	refused(t, err, sluice.KindNotFound, "FirewallPolicyName does not exist, parameter: [q]")
	r.createPolicy("q")
	for _, dryRun := range []bool{true, false} {
		_, err = r.CreateFirewallPolicy(ctx, control.CreateFirewallPolicyInput{Name: "z", Body: forwardAll(), DryRun: dryRun})
		refused(t, err, sluice.KindLimitExceeded, "FirewallPolicy limit exceeded, parameter: [2]")
	}
	if v, err := r.DeleteFirewallPolicy(ctx, control.Selector{Arn: policyArn("q")}); err != nil || v.Status != "DELETING" || v.Name != "q" {
		t.Errorf("delete: %+v, %v", v, err)
	}
	_, err = r.DeleteFirewallPolicy(ctx, control.Selector{Arn: policyArn("q")})
	refused(t, err, sluice.KindNotFound, "FirewallPolicyArn does not exist, parameter: ["+policyArn("q")+"]")
	_, err = r.CreateFirewallPolicy(ctx, control.CreateFirewallPolicyInput{Name: "a_b", Body: forwardAll()})
	refused(t, err, sluice.KindInvalidRequest, "FirewallPolicyName has invalid format, parameter: [a_b], context: FirewallPolicyName")
}

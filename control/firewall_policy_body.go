package control

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sluice"
)

// maxCustomActions is the quota of custom actions (AWS: per stateless group; a
// policy is held to the same).
const maxCustomActions = 10

// homeNet is the only variable that a policy may define.
const homeNet = "HOME_NET"

// The stateful default actions: at most one that drops, and alerts of one of the
// two families that look at established connections.
var (
	dropActions = []string{"aws:drop_strict", "aws:drop_established",
		"aws:drop_established_app_layer", "aws:drop_established_app_layer_to_server"}
	alertActions = []string{"aws:alert_strict", "aws:alert_established",
		"aws:alert_established_app_layer", "aws:alert_established_app_layer_to_server"}
)

// checkPolicyBody checks a policy as far as it depends on nothing else. The texts
// were measured on AWS where docs/differences.md does not say otherwise.
func checkPolicyBody(b sluice.FirewallPolicyBody) error {
	if err := checkCustomActions(b.StatelessCustomActions); err != nil {
		return err
	}
	if err := checkStatelessActions("StatelessDefaultActions", b.StatelessDefaultActions, b.StatelessCustomActions); err != nil {
		return err
	}
	if err := checkStatelessActions("StatelessFragmentDefaultActions", b.StatelessFragmentDefaultActions, b.StatelessCustomActions); err != nil {
		return err
	}
	if err := checkEngineOptions(b.StatefulEngineOptions); err != nil {
		return err
	}
	if err := checkStatefulActions(b); err != nil {
		return err
	}
	return checkVariables(b.PolicyVariables)
}

func checkCustomActions(custom []sluice.CustomAction) error {
	const context = "StatelessCustomActions"
	if len(custom) > maxCustomActions {
		return sluice.InvalidParameter("ActionDefinition", "limit exceeded", strconv.Itoa(len(custom)), context)
	}
	for i, a := range custom {
		path := fmt.Sprintf("%s[%d]", context, i)
		if a.Name == "" {
			return sluice.InvalidParameter("ActionName", "cannot be null or empty", "", path+".ActionName")
		}
		if slices.ContainsFunc(custom[:i], func(o sluice.CustomAction) bool { return o.Name == a.Name }) {
			return sluice.InvalidParameter("ActionName", "has duplicate values", a.Name, path+".ActionName")
		}
		path += ".ActionDefinition.PublishMetricAction.Dimensions"
		if len(a.Dimensions) == 0 {
			return sluice.InvalidParameter("Dimensions", "cannot be null or empty", "", path)
		}
		if len(a.Dimensions) > 1 {
			return sluice.InvalidParameter("Dimensions", "limit exceeded", strconv.Itoa(len(a.Dimensions)), path)
		}
	}
	return nil
}

// checkStatelessActions wants exactly one standard action; all others must be
// custom actions of the policy.
func checkStatelessActions(member string, actions []string, custom []sluice.CustomAction) error {
	var standard []string
	for _, a := range actions {
		switch {
		case a == sluice.ActionPass || a == sluice.ActionDrop || a == sluice.ActionForwardToSFE:
			standard = append(standard, a)
		case !slices.ContainsFunc(custom, func(c sluice.CustomAction) bool { return c.Name == a }):
			return sluice.InvalidParameter(member, "is invalid", a, member)
		}
	}
	if len(standard) == 0 {
		return sluice.InvalidParameter(member, "cannot be null or empty", "", member)
	}
	if len(standard) > 1 {
		return sluice.InvalidParameter(member, "cannot exist together", strings.Join(standard, ", "), member)
	}
	return nil
}

// standardAction returns the standard action among the checked defaults.
func standardAction(actions []string) string {
	for _, a := range actions {
		if a == sluice.ActionPass || a == sluice.ActionDrop || a == sluice.ActionForwardToSFE {
			return a
		}
	}
	return sluice.ActionDrop // an unchecked policy: nothing may pass
}

func checkEngineOptions(o *sluice.StatefulEngineOptions) error {
	if o == nil {
		return nil
	}
	const context = "StatefulEngineOptions."
	if o.RuleOrder != "" && o.RuleOrder != sluice.RuleOrderDefault && o.RuleOrder != sluice.RuleOrderStrict {
		return sluice.InvalidParameter("RuleOrder", "is invalid", o.RuleOrder, context+"RuleOrder")
	}
	switch o.StreamExceptionPolicy {
	case "", sluice.StreamExceptionDrop, sluice.StreamExceptionContinue, sluice.StreamExceptionReject:
	default:
		return sluice.InvalidParameter("StreamExceptionPolicy", "is invalid", o.StreamExceptionPolicy, context+"StreamExceptionPolicy")
	}
	if s := o.TCPIdleTimeoutSeconds; s != 0 && (s < sluice.TCPIdleTimeoutMin || s > sluice.TCPIdleTimeoutMax) {
		return sluice.InvalidParameter("TcpIdleTimeoutSeconds", "is not within the bound", strconv.Itoa(int(s)),
			context+"FlowTimeouts.TcpIdleTimeoutSeconds")
	}
	return nil
}

func checkStatefulActions(b sluice.FirewallPolicyBody) error {
	const member = "StatefulDefaultActions"
	actions := b.StatefulDefaultActions
	if len(actions) == 0 {
		return nil
	}
	if order := b.RuleOrder(); order != sluice.RuleOrderStrict {
		return sluice.InvalidParameter(member, "has invalid rule order", order, member)
	}
	drops, established, appLayer := 0, false, false
	for i, a := range actions {
		if slices.Contains(actions[:i], a) {
			return sluice.InvalidParameter(member, "has duplicate values", a, member)
		}
		switch {
		case slices.Contains(dropActions, a):
			drops++
		case !slices.Contains(alertActions, a):
			return sluice.InvalidParameter(member, "is invalid", a, member)
		case strings.Contains(a, "app_layer"):
			appLayer = true
		case strings.HasSuffix(a, "established"):
			established = true
		}
	}
	if drops > 1 || established && appLayer {
		return sluice.InvalidParameter(member, "cannot exist together", strings.Join(actions, ", "), member)
	}
	return nil
}

// dropsByDefault tells whether stateful traffic that no rule passes is dropped.
func dropsByDefault(b sluice.FirewallPolicyBody) bool {
	return slices.ContainsFunc(b.StatefulDefaultActions, func(a string) bool { return slices.Contains(dropActions, a) })
}

func checkVariables(variables map[string][]string) error {
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		definition := variables[name]
		path := "PolicyVariables.RuleVariables.IPSet." + name
		if name != homeNet {
			return sluice.InvalidParameter("RuleVariables", "is invalid", name, path)
		}
		if len(definition) == 0 {
			return sluice.InvalidParameter("Definition", "cannot be null or empty", "", path+".Definition")
		}
		for _, d := range definition {
			if _, err := sluice.ParseAddress(d); err != nil {
				return sluice.InvalidParameter("Definition", "has invalid format", d, path+".Definition")
			}
		}
	}
	return nil
}

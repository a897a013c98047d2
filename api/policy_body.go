package api

import (
	"sluice"
)

// firewallPolicy is the FirewallPolicy structure, in requests and answers. The
// members about rule groups and TLS inspection are read so that they can be refused
// by name.
type firewallPolicy struct {
	StatelessRuleGroupReferences    []statelessReference `json:",omitempty"`
	StatelessDefaultActions         []string             `required:"true"`
	StatelessFragmentDefaultActions []string             `required:"true"`
	StatelessCustomActions          []customAction       `json:",omitempty"`
	StatefulRuleGroupReferences     []statefulReference  `json:",omitempty"`
	StatefulDefaultActions          []string             `json:",omitempty"`
	StatefulEngineOptions           *engineOptions       `json:",omitempty"`
	TLSInspectionConfigurationArn   *string              `json:",omitempty" shape:"ResourceArn"`
	PolicyVariables                 *policyVariables     `json:",omitempty"`
	EnableTLSSessionHolding         *bool                `json:",omitempty"`
}

type customAction struct {
	ActionName       *string           `shape:"ActionName" required:"true"`
	ActionDefinition *actionDefinition `required:"true"`
}

type actionDefinition struct {
	PublishMetricAction *publishMetricAction `json:",omitempty"`
}

type publishMetricAction struct {
	Dimensions []dimension `shape:"Dimensions" required:"true"`
}

type dimension struct {
	Value *string `shape:"DimensionValue" required:"true"`
}

type engineOptions struct {
	RuleOrder             *string       `json:",omitempty" shape:"RuleOrder"`
	StreamExceptionPolicy *string       `json:",omitempty" shape:"StreamExceptionPolicy"`
	FlowTimeouts          *flowTimeouts `json:",omitempty"`
}

type flowTimeouts struct {
	TcpIdleTimeoutSeconds *int32 `json:",omitempty"`
}

type policyVariables struct {
	RuleVariables map[string]ipSet `json:",omitempty" of:"RuleVariableName"`
}

type ipSet struct {
	Definition []string `of:"VariableDefinition" required:"true"`
}

// body makes the policy that control works on, once the members that it doesn't know
// have been checked.
func (p *firewallPolicy) body(scope sluice.Scope) (sluice.FirewallPolicyBody, error) {
	if err := p.checkReferences(scope); err != nil {
		return sluice.FirewallPolicyBody{}, err
	}
	if err := p.checkTLS(); err != nil {
		return sluice.FirewallPolicyBody{}, err
	}
	out := sluice.FirewallPolicyBody{
		StatelessDefaultActions:         p.StatelessDefaultActions,
		StatelessFragmentDefaultActions: p.StatelessFragmentDefaultActions,
		StatefulDefaultActions:          p.StatefulDefaultActions,
	}
	for i, a := range p.StatelessCustomActions {
		if a.ActionDefinition.PublishMetricAction == nil {
			return sluice.FirewallPolicyBody{}, sluice.InvalidParameter("PublishMetricAction", "cannot be null", "",
				element("StatelessCustomActions", i)+".ActionDefinition.PublishMetricAction")
		}
		action := sluice.CustomAction{Name: value(a.ActionName)}
		for _, d := range a.ActionDefinition.PublishMetricAction.Dimensions {
			action.Dimensions = append(action.Dimensions, value(d.Value))
		}
		out.StatelessCustomActions = append(out.StatelessCustomActions, action)
	}
	var err error
	if out.StatefulEngineOptions, err = p.StatefulEngineOptions.options(); err != nil {
		return sluice.FirewallPolicyBody{}, err
	}
	if v := p.PolicyVariables; v != nil && v.RuleVariables != nil {
		out.PolicyVariables = map[string][]string{}
		for name, set := range v.RuleVariables {
			out.PolicyVariables[name] = set.Definition
		}
	}
	return out, nil
}

func (o *engineOptions) options() (*sluice.StatefulEngineOptions, error) {
	if o == nil {
		return nil, nil
	}
	out := &sluice.StatefulEngineOptions{
		RuleOrder:             value(o.RuleOrder),
		StreamExceptionPolicy: value(o.StreamExceptionPolicy),
	}
	if t := o.FlowTimeouts; t != nil {
		out.FlowTimeouts = true
		out.TCPIdleTimeoutSeconds = value(t.TcpIdleTimeoutSeconds)
		// Zero would read as "not sent" from here on.
		if t.TcpIdleTimeoutSeconds != nil && *t.TcpIdleTimeoutSeconds == 0 {
			return nil, sluice.InvalidParameter("TcpIdleTimeoutSeconds", "is not within the bound", "0",
				"StatefulEngineOptions.FlowTimeouts.TcpIdleTimeoutSeconds")
		}
	}
	return out, nil
}

// checkTLS refuses what has to do with TLS inspection.
func (p *firewallPolicy) checkTLS() error {
	if arn := value(p.TLSInspectionConfigurationArn); arn != "" {
		return sluice.InvalidParameter("TLSInspectionConfigurationArn", "is invalid", arn, "TLSInspectionConfigurationArn")
	}
	if value(p.EnableTLSSessionHolding) {
		return sluice.Errorf(sluice.KindInvalidRequest,
			"TLSInspectionConfigurationArn value is required when EnableTLSSessionHolding is true.")
	}
	return nil
}

// showPolicyBody gives back what the client sent.
func showPolicyBody(b sluice.FirewallPolicyBody) *firewallPolicy {
	out := &firewallPolicy{
		StatelessDefaultActions:         listed(b.StatelessDefaultActions),
		StatelessFragmentDefaultActions: listed(b.StatelessFragmentDefaultActions),
		StatefulDefaultActions:          b.StatefulDefaultActions,
	}
	for _, a := range b.StatelessCustomActions {
		publish := &publishMetricAction{Dimensions: []dimension{}}
		for _, d := range a.Dimensions {
			publish.Dimensions = append(publish.Dimensions, dimension{&d})
		}
		out.StatelessCustomActions = append(out.StatelessCustomActions,
			customAction{&a.Name, &actionDefinition{publish}})
	}
	if o := b.StatefulEngineOptions; o != nil {
		out.StatefulEngineOptions = &engineOptions{
			RuleOrder:             given(o.RuleOrder),
			StreamExceptionPolicy: given(o.StreamExceptionPolicy),
		}
		if o.FlowTimeouts {
			out.StatefulEngineOptions.FlowTimeouts = &flowTimeouts{}
			if o.TCPIdleTimeoutSeconds != 0 {
				out.StatefulEngineOptions.FlowTimeouts.TcpIdleTimeoutSeconds = &o.TCPIdleTimeoutSeconds
			}
		}
	}
	if b.PolicyVariables != nil {
		out.PolicyVariables = &policyVariables{RuleVariables: map[string]ipSet{}}
		for name, definition := range b.PolicyVariables {
			out.PolicyVariables.RuleVariables[name] = ipSet{listed(definition)}
		}
	}
	return out
}

// listed makes sure that a list is written as one, even when empty.
func listed[T any](in []T) []T {
	if in == nil {
		return []T{}
	}
	return in
}

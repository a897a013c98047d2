package api

import (
	"slices"
	"strconv"

	"sluice"
)

// maxReferences is the most rule groups of a kind that a policy may refer to (AWS:
// Network Firewall quotas).
const maxReferences = 20

type statelessReference struct {
	ResourceArn *string `shape:"ResourceArn" required:"true"`
	Priority    *int32  `shape:"Priority" required:"true"`
}

type statefulReference struct {
	ResourceArn          *string            `shape:"ResourceArn" required:"true"`
	Priority             *int32             `json:",omitempty" shape:"Priority"`
	Override             *referenceOverride `json:",omitempty"`
	DeepThreatInspection *bool              `json:",omitempty"`
}

type referenceOverride struct {
	Action *string `json:",omitempty" shape:"OverrideAction"`
}

func element(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// checkReferences makes the checks of rule group references that AWS makes, up to
// the existence of the group. No rule group exists here, so that a policy without
// references is the only one that passes.
func (p *firewallPolicy) checkReferences(scope sluice.Scope) error {
	if err := p.checkStatelessPriorities(); err != nil {
		return err
	}
	if err := p.checkStatefulPriorities(); err != nil {
		return err
	}
	for _, r := range p.StatelessRuleGroupReferences {
		if err := checkGroup(scope, value(r.ResourceArn), sluice.ResourceStatelessGroup, false); err != nil {
			return err
		}
	}
	for _, r := range p.StatefulRuleGroupReferences {
		if err := checkGroup(scope, value(r.ResourceArn), sluice.ResourceStatefulGroup, r.Override != nil); err != nil {
			return err
		}
	}
	return nil
}

func (p *firewallPolicy) checkStatelessPriorities() error {
	const list = "StatelessRuleGroupReferences"
	if n := len(p.StatelessRuleGroupReferences); n > maxReferences {
		return sluice.InvalidParameter(list, "limit exceeded", strconv.Itoa(n), list)
	}
	var seen []int32
	for _, r := range p.StatelessRuleGroupReferences {
		n := strconv.Itoa(int(*r.Priority))
		if slices.Contains(seen, *r.Priority) {
			return sluice.InvalidParameter("Priority", "has duplicate values", n, list+"[Priority="+n+"]")
		}
		seen = append(seen, *r.Priority)
	}
	return nil
}

func (p *firewallPolicy) checkStatefulPriorities() error {
	const list = "StatefulRuleGroupReferences"
	if n := len(p.StatefulRuleGroupReferences); n > maxReferences {
		return sluice.InvalidParameter(list, "limit exceeded", strconv.Itoa(n), list)
	}
	strict := p.StatefulEngineOptions != nil && value(p.StatefulEngineOptions.RuleOrder) == sluice.RuleOrderStrict
	var seen []int32
	for i, r := range p.StatefulRuleGroupReferences {
		if r.Priority == nil {
			if strict {
				return sluice.InvalidParameter("Priority", "cannot be null", "", element(list, i)+".Priority")
			}
			continue
		}
		n := strconv.Itoa(int(*r.Priority))
		context := element(list, i) + "[Priority=" + n + "]"
		if !strict {
			return sluice.InvalidParameter("Priority", "cannot be provided", n, context)
		}
		if slices.Contains(seen, *r.Priority) {
			return sluice.InvalidParameter("Priority", "has duplicate values", n, context)
		}
		seen = append(seen, *r.Priority)
	}
	return nil
}

// managedAccount stands in the account's place in the ARN of a rule group of AWS.
const managedAccount = "aws-managed"

func checkGroup(scope sluice.Scope, arn, resourceType string, override bool) error {
	a, err := sluice.ParseARN(arn)
	switch {
	case err != nil || a.Service != serviceFirewall || a.Region != scope.Region ||
		a.AccountID != scope.AccountID && a.AccountID != managedAccount:
		return sluice.InvalidParameter("rule group ARN", "is invalid", arn, "")
	case a.Type != resourceType:
		return sluice.InvalidParameter("rule group ARN", "is of incorrect entity type", arn, "")
	case override && a.AccountID != managedAccount:
		return sluice.InvalidParameter("rule group", "must be a managed resource", arn, "")
	}
	return sluice.Errorf(sluice.KindInvalidRequest, "rule group ARN does not exist")
}

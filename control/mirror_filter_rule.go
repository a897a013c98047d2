package control

import (
	"context"
	"math"
	"net/netip"
	"slices"
	"strconv"

	"sluice"
)

// MirrorPortRange is a port range as it is asked for.
type MirrorPortRange struct{ From, To *int32 }

// MirrorRuleFields are the members of a rule that a request gives; nil is not given.
type MirrorRuleFields struct {
	TrafficDirection     *string
	RuleNumber           *int32
	RuleAction           *string
	Protocol             *int32
	SourcePortRange      *MirrorPortRange
	DestinationPortRange *MirrorPortRange
	SourceCIDR           *string
	DestinationCIDR      *string
	Description          *string
}

// CreateTrafficMirrorFilterRuleInput is the request of CreateTrafficMirrorFilterRule.
type CreateTrafficMirrorFilterRuleInput struct {
	EC2Creation
	FilterID string
	MirrorRuleFields
}

// ModifyTrafficMirrorFilterRuleInput is the request of ModifyTrafficMirrorFilterRule.
type ModifyTrafficMirrorFilterRuleInput struct {
	ID     string
	DryRun bool
	MirrorRuleFields
	RemoveFields []string
}

// anyProtocol is the protocol of a rule that names none.
const anyProtocol = -1

// CreateTrafficMirrorFilterRule adds a rule to a filter.
func (c *Controller) CreateTrafficMirrorFilterRule(ctx context.Context, in CreateTrafficMirrorFilterRuleInput) (sluice.TrafficMirrorFilterRule, error) {
	var none sluice.TrafficMirrorFilterRule
	r, err := in.rule()
	if err != nil {
		return none, err
	}
	creation, err := c.creation(in.EC2Creation, r)
	if err != nil {
		return none, err
	}
	r.ID, r.Tags = sluice.NewID("tmfr"), sortedTags(in.Tags)
	r, err = c.o.Store.CreateTrafficMirrorFilterRule(ctx, creation, r, c.o.Quotas.Mirror)
	if err == nil {
		c.changed()
	}
	return r, err
}

// rule is the rule that is asked for, without id and tags.
func (in CreateTrafficMirrorFilterRuleInput) rule() (sluice.TrafficMirrorFilterRule, error) {
	var none sluice.TrafficMirrorFilterRule
	for _, m := range []struct {
		name  string
		given bool
	}{
		{"TrafficDirection", in.TrafficDirection != nil},
		{"RuleNumber", in.RuleNumber != nil},
		{"RuleAction", in.RuleAction != nil},
		{"DestinationCidrBlock", in.DestinationCIDR != nil},
		{"SourceCidrBlock", in.SourceCIDR != nil},
	} {
		if !m.given {
			return none, sluice.MissingParameter(m.name)
		}
	}
	r, err := in.MirrorRuleFields.apply(sluice.TrafficMirrorFilterRule{FilterID: in.FilterID, Protocol: anyProtocol})
	if err != nil {
		return none, err
	}
	return r, checkRule(r)
}

// ModifyTrafficMirrorFilterRule changes the members that are given, sets those that
// are removed to their defaults, and checks the rule that results.
func (c *Controller) ModifyTrafficMirrorFilterRule(ctx context.Context, in ModifyTrafficMirrorFilterRuleInput) (sluice.TrafficMirrorFilterRule, error) {
	var none sluice.TrafficMirrorFilterRule
	if err := in.checkRemoved(); err != nil {
		return none, err
	}
	if _, err := in.MirrorRuleFields.apply(none); err != nil { // before the rule is looked for
		return none, err
	}
	r, err := c.o.Store.UpdateTrafficMirrorFilterRule(ctx, in.ID, in.DryRun, func(r sluice.TrafficMirrorFilterRule) (sluice.TrafficMirrorFilterRule, error) {
		for _, f := range in.RemoveFields {
			switch f {
			case "protocol":
				r.Protocol = anyProtocol
			case "source-port-range":
				r.SourcePortRange = nil
			case "destination-port-range":
				r.DestinationPortRange = nil
			case "description":
				r.Description = ""
			}
		}
		r, err := in.MirrorRuleFields.apply(r)
		if err != nil {
			return r, err
		}
		return r, checkRule(r)
	})
	if err == nil {
		c.changed()
	}
	return r, err
}

// checkRemoved checks RemoveField.
func (in ModifyTrafficMirrorFilterRuleInput) checkRemoved() error {
	for _, f := range []struct {
		field, parameter string
		given            bool
	}{
		{"destination-port-range", "DestinationPortRange", in.DestinationPortRange != nil},
		{"source-port-range", "SourcePortRange", in.SourcePortRange != nil},
		{"protocol", "Protocol", in.Protocol != nil},
		{"description", "Description", in.Description != nil},
	} {
		if f.given && slices.Contains(in.RemoveFields, f.field) {
			return cannotCombine(f.parameter, "RemoveField "+f.field)
		}
	}
	return checkRemoveFields(in.RemoveFields, "destination-port-range", "source-port-range", "protocol", "description")
}

func checkRemoveFields(fields []string, known ...string) error {
	for _, f := range fields {
		if !slices.Contains(known, f) {
			return sluice.InvalidValue("RemoveField", f, "")
		}
	}
	return nil
}

// DeleteTrafficMirrorFilterRule removes a rule, also while sessions use its filter.
func (c *Controller) DeleteTrafficMirrorFilterRule(ctx context.Context, id string, dryRun bool) error {
	err := c.o.Store.DeleteTrafficMirrorFilterRule(ctx, id, dryRun)
	if err == nil {
		c.changed()
	}
	return err
}

// apply returns a rule with the members that are given, each checked by itself.
func (m MirrorRuleFields) apply(r sluice.TrafficMirrorFilterRule) (_ sluice.TrafficMirrorFilterRule, err error) {
	if d := m.TrafficDirection; d != nil {
		if *d != sluice.TrafficIngress && *d != sluice.TrafficEgress {
			return r, sluice.InvalidValue("TrafficDirection", *d, "")
		}
		r.TrafficDirection = *d
	}
	if n := m.RuleNumber; n != nil {
		if *n < 1 || *n > sluice.MaxRuleNumber {
			return r, sluice.InvalidValue("RuleNumber", strconv.Itoa(int(*n)), "Rule number must be between 1 and 32766.")
		}
		r.RuleNumber = *n
	}
	if a := m.RuleAction; a != nil {
		if *a != sluice.MirrorAccept && *a != sluice.MirrorReject {
			return r, sluice.InvalidValue("RuleAction", *a, "")
		}
		r.RuleAction = *a
	}
	if p := m.Protocol; p != nil {
		if *p < anyProtocol || *p > math.MaxUint8 {
			return r, sluice.InvalidValue("Protocol", strconv.Itoa(int(*p)), "Protocol must be between 0 and 255, or -1 for all.")
		}
		r.Protocol = *p
	}
	if m.SourcePortRange != nil {
		if r.SourcePortRange, err = m.SourcePortRange.parse("SourcePortRange"); err != nil {
			return r, err
		}
	}
	if m.DestinationPortRange != nil {
		if r.DestinationPortRange, err = m.DestinationPortRange.parse("DestinationPortRange"); err != nil {
			return r, err
		}
	}
	if m.SourceCIDR != nil {
		if r.SourceCIDR, err = parseCIDR("SourceCidrBlock", *m.SourceCIDR); err != nil {
			return r, err
		}
	}
	if m.DestinationCIDR != nil {
		if r.DestinationCIDR, err = parseCIDR("DestinationCidrBlock", *m.DestinationCIDR); err != nil {
			return r, err
		}
	}
	if m.Description != nil {
		if err := checkEC2Description(*m.Description); err != nil {
			return r, err
		}
		r.Description = *m.Description
	}
	return r, nil
}

// parse checks a port range. Without FromPort it begins at 0: clients leave a zero
// out.
func (p MirrorPortRange) parse(parameter string) (*sluice.PortRange, error) {
	if p.To == nil {
		return nil, sluice.MissingParameter(parameter + ".ToPort")
	}
	var from int32
	if p.From != nil {
		from = *p.From
	}
	if from < 0 || from > math.MaxUint16 {
		return nil, sluice.InvalidValue(parameter+".FromPort", strconv.Itoa(int(from)), "Ports are between 0 and 65535.")
	}
	if *p.To < 0 || *p.To > math.MaxUint16 {
		return nil, sluice.InvalidValue(parameter+".ToPort", strconv.Itoa(int(*p.To)), "Ports are between 0 and 65535.")
	}
	if from > *p.To {
		return nil, sluice.InvalidValue(parameter+".ToPort", strconv.Itoa(int(*p.To)), "FromPort must not be greater than ToPort.")
	}
	return &sluice.PortRange{From: uint16(from), To: uint16(*p.To)}, nil
}

// parseCIDR reads a network. Host bits are cleared.
func parseCIDR(parameter, s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, sluice.InvalidValue(parameter, s, "This is not a valid CIDR block.")
	}
	return p.Masked(), nil
}

// checkRule checks what the members of a rule say together.
func checkRule(r sluice.TrafficMirrorFilterRule) error {
	if r.SourceCIDR.Addr().Is4() != r.DestinationCIDR.Addr().Is4() {
		return sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidParameterValue", "Source and destination CIDR blocks must be of the same IP version")
	}
	const tcp, udp = 6, 17
	if (r.SourcePortRange != nil || r.DestinationPortRange != nil) && r.Protocol != tcp && r.Protocol != udp {
		return sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidParameterCombination", "Port ranges require protocol 6 or 17")
	}
	return nil
}

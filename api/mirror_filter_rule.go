package api

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"sluice"
	"sluice/control"
)

// mirrorPortRangeGiven is the TrafficMirrorPortRangeRequest structure.
type mirrorPortRangeGiven struct {
	From *int32 `query:"FromPort"`
	To   *int32 `query:"ToPort"`
}

func (p *mirrorPortRangeGiven) control() *control.MirrorPortRange {
	if p == nil {
		return nil
	}
	return &control.MirrorPortRange{From: p.From, To: p.To}
}

type createTrafficMirrorFilterRuleRequest struct {
	creating
	FilterID             *string               `query:"TrafficMirrorFilterId" required:"true"`
	TrafficDirection     *string               `query:"TrafficDirection" required:"true"`
	RuleNumber           *int32                `query:"RuleNumber" required:"true"`
	RuleAction           *string               `query:"RuleAction" required:"true"`
	DestinationPortRange *mirrorPortRangeGiven `query:"DestinationPortRange"`
	SourcePortRange      *mirrorPortRangeGiven `query:"SourcePortRange"`
	Protocol             *int32                `query:"Protocol"`
	DestinationCIDR      *string               `query:"DestinationCidrBlock" required:"true"`
	SourceCIDR           *string               `query:"SourceCidrBlock" required:"true"`
	Description          *string               `query:"Description"`
}

type createTrafficMirrorFilterRuleResponse struct {
	Rule        trafficMirrorFilterRule `xml:"trafficMirrorFilterRule"`
	ClientToken string                  `xml:"clientToken"`
}

type modifyTrafficMirrorFilterRuleRequest struct {
	ID                   *string               `query:"TrafficMirrorFilterRuleId" required:"true"`
	TrafficDirection     *string               `query:"TrafficDirection"`
	RuleNumber           *int32                `query:"RuleNumber"`
	RuleAction           *string               `query:"RuleAction"`
	DestinationPortRange *mirrorPortRangeGiven `query:"DestinationPortRange"`
	SourcePortRange      *mirrorPortRangeGiven `query:"SourcePortRange"`
	Protocol             *int32                `query:"Protocol"`
	DestinationCIDR      *string               `query:"DestinationCidrBlock"`
	SourceCIDR           *string               `query:"SourceCidrBlock"`
	Description          *string               `query:"Description"`
	RemoveFields         []string              `query:"RemoveField"`
	DryRun               *bool                 `query:"DryRun"`
}

type modifyTrafficMirrorFilterRuleResponse struct {
	Rule trafficMirrorFilterRule `xml:"trafficMirrorFilterRule"`
}

type describeTrafficMirrorFilterRulesRequest struct {
	FilterID *string  `query:"TrafficMirrorFilterId"`
	IDs      []string `query:"TrafficMirrorFilterRuleId"`
	pagedRead
}

type describeTrafficMirrorFilterRulesResponse struct {
	Rules     []trafficMirrorFilterRule `xml:"trafficMirrorFilterRuleSet"`
	NextToken *string                   `xml:"nextToken"`
}

type deleteTrafficMirrorFilterRuleRequest struct {
	ID     *string `query:"TrafficMirrorFilterRuleId" required:"true"`
	DryRun *bool   `query:"DryRun"`
}

type deleteTrafficMirrorFilterRuleResponse struct {
	ID string `xml:"trafficMirrorFilterRuleId"`
}

// trafficMirrorFilterRule is the TrafficMirrorFilterRule structure. Without protocol
// it is a rule for all.
type trafficMirrorFilterRule struct {
	ID                   string           `xml:"trafficMirrorFilterRuleId"`
	FilterID             string           `xml:"trafficMirrorFilterId"`
	TrafficDirection     string           `xml:"trafficDirection"`
	RuleNumber           int32            `xml:"ruleNumber"`
	RuleAction           string           `xml:"ruleAction"`
	Protocol             *int32           `xml:"protocol"`
	DestinationPortRange *mirrorPortRange `xml:"destinationPortRange"`
	SourcePortRange      *mirrorPortRange `xml:"sourcePortRange"`
	DestinationCIDR      string           `xml:"destinationCidrBlock"`
	SourceCIDR           string           `xml:"sourceCidrBlock"`
	Description          string           `xml:"description"`
	Tags                 []resourceTag    `xml:"tagSet"`
}

type mirrorPortRange struct {
	From int `xml:"fromPort"`
	To   int `xml:"toPort"`
}

func showMirrorRule(r sluice.TrafficMirrorFilterRule) trafficMirrorFilterRule {
	out := trafficMirrorFilterRule{
		ID: r.ID, FilterID: r.FilterID, TrafficDirection: r.TrafficDirection, RuleNumber: r.RuleNumber, RuleAction: r.RuleAction,
		DestinationPortRange: showMirrorPorts(r.DestinationPortRange), SourcePortRange: showMirrorPorts(r.SourcePortRange),
		DestinationCIDR: r.DestinationCIDR.String(), SourceCIDR: r.SourceCIDR.String(),
		Description: r.Description, Tags: showResourceTags(r.Tags),
	}
	if r.Protocol >= 0 {
		out.Protocol = &r.Protocol
	}
	return out
}

func showMirrorPorts(p *sluice.PortRange) *mirrorPortRange {
	if p == nil {
		return nil
	}
	return &mirrorPortRange{int(p.From), int(p.To)}
}

func createTrafficMirrorFilterRule(ctx context.Context, c *call, in *createTrafficMirrorFilterRuleRequest) (*createTrafficMirrorFilterRuleResponse, error) {
	creation, err := in.creation(sluice.ResourceMirrorFilterRule)
	if err != nil {
		return nil, err
	}
	r, err := c.backend.CreateTrafficMirrorFilterRule(ctx, control.CreateTrafficMirrorFilterRuleInput{
		EC2Creation: creation,
		FilterID:    *in.FilterID,
		MirrorRuleFields: control.MirrorRuleFields{
			TrafficDirection: in.TrafficDirection, RuleNumber: in.RuleNumber, RuleAction: in.RuleAction, Protocol: in.Protocol,
			SourcePortRange: in.SourcePortRange.control(), DestinationPortRange: in.DestinationPortRange.control(),
			SourceCIDR: in.SourceCIDR, DestinationCIDR: in.DestinationCIDR, Description: in.Description,
		},
	})
	return &createTrafficMirrorFilterRuleResponse{showMirrorRule(r), creation.ClientToken}, err
}

// modifyTrafficMirrorFilterRule answers without the tags of the rule (AWS:
// ModifyTrafficMirrorFilterRule).
func modifyTrafficMirrorFilterRule(ctx context.Context, c *call, in *modifyTrafficMirrorFilterRuleRequest) (*modifyTrafficMirrorFilterRuleResponse, error) {
	r, err := c.backend.ModifyTrafficMirrorFilterRule(ctx, control.ModifyTrafficMirrorFilterRuleInput{
		ID:     *in.ID,
		DryRun: value(in.DryRun),
		MirrorRuleFields: control.MirrorRuleFields{
			TrafficDirection: in.TrafficDirection, RuleNumber: in.RuleNumber, RuleAction: in.RuleAction, Protocol: in.Protocol,
			SourcePortRange: in.SourcePortRange.control(), DestinationPortRange: in.DestinationPortRange.control(),
			SourceCIDR: in.SourceCIDR, DestinationCIDR: in.DestinationCIDR, Description: in.Description,
		},
		RemoveFields: in.RemoveFields,
	})
	r.Tags = nil
	return &modifyTrafficMirrorFilterRuleResponse{showMirrorRule(r)}, err
}

func describeTrafficMirrorFilterRules(ctx context.Context, c *call, in *describeTrafficMirrorFilterRulesRequest) (*describeTrafficMirrorFilterRulesResponse, error) {
	filters, err := c.backend.TrafficMirrorFilters(ctx)
	if err != nil {
		return nil, err
	}
	var all []trafficMirrorFilterRule
	for _, f := range filters {
		for _, r := range f.Rules {
			all = append(all, showMirrorRule(r))
		}
	}
	paged := in.pagedRead
	if id := in.FilterID; id != nil {
		if !slices.ContainsFunc(filters, func(f sluice.TrafficMirrorFilter) bool { return f.ID == *id }) {
			return nil, sluice.NoSuchResource(sluice.ResourceMirrorFilter, *id)
		}
		// As one more filter it is carried by the token of the next page.
		paged.Filters = append(paged.Filters, exactly("traffic-mirror-filter-id", *id))
	}
	page, next, err := mirrorRuleListing().list(c, in.IDs, paged, all)
	if err != nil {
		return nil, err
	}
	return &describeTrafficMirrorFilterRulesResponse{page, next}, nil
}

func mirrorRuleListing() listing[trafficMirrorFilterRule] {
	type r = trafficMirrorFilterRule
	return listing[r]{
		parameter: "trafficMirrorFilterRuleId",
		id:        func(v r) string { return v.ID },
		tags:      func(v r) []sluice.Tag { return tagsShown(v.Tags) },
		maxPage:   1000,
		exclusive: true,
		missing:   noSuch(sluice.ResourceMirrorFilterRule),
		filters: attributes[r]{
			"traffic-mirror-filter-rule-id": one(func(v r) string { return v.ID }),
			"traffic-mirror-filter-id":      one(func(v r) string { return v.FilterID }),
			"rule-number":                   one(func(v r) string { return strconv.Itoa(int(v.RuleNumber)) }),
			"rule-action":                   one(func(v r) string { return v.RuleAction }),
			"traffic-direction":             one(func(v r) string { return v.TrafficDirection }),
			"protocol":                      one(func(v r) string { return number(v.Protocol) }),
			"source-cidr-block":             one(func(v r) string { return v.SourceCIDR }),
			"destination-cidr-block":        one(func(v r) string { return v.DestinationCIDR }),
			"description":                   one(func(v r) string { return v.Description }),
		},
	}
}

// number writes a number that may be absent, for filters.
func number(n *int32) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(int(*n))
}

// exactly is a filter for values without wildcards.
func exactly(name string, values ...string) filter {
	f := filter{Name: &name}
	for _, v := range values {
		f.Values = append(f.Values, strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(v))
	}
	return f
}

func deleteTrafficMirrorFilterRule(ctx context.Context, c *call, in *deleteTrafficMirrorFilterRuleRequest) (*deleteTrafficMirrorFilterRuleResponse, error) {
	return &deleteTrafficMirrorFilterRuleResponse{*in.ID}, c.backend.DeleteTrafficMirrorFilterRule(ctx, *in.ID, value(in.DryRun))
}

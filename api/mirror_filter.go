package api

import (
	"context"

	"sluice"
	"sluice/control"
)

type createTrafficMirrorFilterRequest struct {
	creating
	Description *string `query:"Description"`
}

type createTrafficMirrorFilterResponse struct {
	Filter      trafficMirrorFilter `xml:"trafficMirrorFilter"`
	ClientToken string              `xml:"clientToken"`
}

type describeTrafficMirrorFiltersRequest struct {
	IDs []string `query:"TrafficMirrorFilterId"`
	pagedRead
}

type describeTrafficMirrorFiltersResponse struct {
	Filters   []trafficMirrorFilter `xml:"trafficMirrorFilterSet"`
	NextToken *string               `xml:"nextToken"`
}

type modifyTrafficMirrorFilterNetworkServicesRequest struct {
	ID     *string  `query:"TrafficMirrorFilterId" required:"true"`
	Add    []string `query:"AddNetworkService"`
	Remove []string `query:"RemoveNetworkService"`
	DryRun *bool    `query:"DryRun"`
}

type modifyTrafficMirrorFilterNetworkServicesResponse struct {
	Filter trafficMirrorFilter `xml:"trafficMirrorFilter"`
}

type deleteTrafficMirrorFilterRequest struct {
	ID     *string `query:"TrafficMirrorFilterId" required:"true"`
	DryRun *bool   `query:"DryRun"`
}

type deleteTrafficMirrorFilterResponse struct {
	ID string `xml:"trafficMirrorFilterId"`
}

// trafficMirrorFilter is the TrafficMirrorFilter structure.
type trafficMirrorFilter struct {
	ID              string                    `xml:"trafficMirrorFilterId"`
	Ingress         []trafficMirrorFilterRule `xml:"ingressFilterRuleSet"`
	Egress          []trafficMirrorFilterRule `xml:"egressFilterRuleSet"`
	NetworkServices []string                  `xml:"networkServiceSet"`
	Description     string                    `xml:"description"`
	Tags            []resourceTag             `xml:"tagSet"`
}

func showMirrorFilter(f sluice.TrafficMirrorFilter) trafficMirrorFilter {
	out := trafficMirrorFilter{ID: f.ID, NetworkServices: f.NetworkServices, Description: f.Description, Tags: showResourceTags(f.Tags)}
	for _, r := range f.Rules {
		if r.TrafficDirection == sluice.TrafficIngress {
			out.Ingress = append(out.Ingress, showMirrorRule(r))
		} else {
			out.Egress = append(out.Egress, showMirrorRule(r))
		}
	}
	return out
}

func createTrafficMirrorFilter(ctx context.Context, c *call, in *createTrafficMirrorFilterRequest) (*createTrafficMirrorFilterResponse, error) {
	creation, err := in.creation(sluice.ResourceMirrorFilter)
	if err != nil {
		return nil, err
	}
	f, err := c.backend.CreateTrafficMirrorFilter(ctx, control.CreateTrafficMirrorFilterInput{EC2Creation: creation, Description: value(in.Description)})
	return &createTrafficMirrorFilterResponse{showMirrorFilter(f), creation.ClientToken}, err
}

func describeTrafficMirrorFilters(ctx context.Context, c *call, in *describeTrafficMirrorFiltersRequest) (*describeTrafficMirrorFiltersResponse, error) {
	filters, err := c.backend.TrafficMirrorFilters(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]trafficMirrorFilter, len(filters))
	for i, f := range filters {
		all[i] = showMirrorFilter(f)
	}
	type f = trafficMirrorFilter
	page, next, err := listing[f]{
		parameter: "trafficMirrorFilterId",
		id:        func(v f) string { return v.ID },
		tags:      func(v f) []sluice.Tag { return tagsShown(v.Tags) },
		maxPage:   1000,
		exclusive: true,
		missing:   noSuch(sluice.ResourceMirrorFilter),
		filters: attributes[f]{
			"description":              one(func(v f) string { return v.Description }),
			"traffic-mirror-filter-id": one(func(v f) string { return v.ID }),
		},
	}.list(c, in.IDs, in.pagedRead, all)
	if err != nil {
		return nil, err
	}
	return &describeTrafficMirrorFiltersResponse{page, next}, nil
}

func modifyTrafficMirrorFilterNetworkServices(ctx context.Context, c *call, in *modifyTrafficMirrorFilterNetworkServicesRequest) (*modifyTrafficMirrorFilterNetworkServicesResponse, error) {
	f, err := c.backend.ModifyTrafficMirrorFilterNetworkServices(ctx, *in.ID, in.Add, in.Remove, value(in.DryRun))
	return &modifyTrafficMirrorFilterNetworkServicesResponse{showMirrorFilter(f)}, err
}

func deleteTrafficMirrorFilter(ctx context.Context, c *call, in *deleteTrafficMirrorFilterRequest) (*deleteTrafficMirrorFilterResponse, error) {
	return &deleteTrafficMirrorFilterResponse{*in.ID}, c.backend.DeleteTrafficMirrorFilter(ctx, *in.ID, value(in.DryRun))
}

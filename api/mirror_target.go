package api

import (
	"context"

	"sluice"
	"sluice/control"
)

type createTrafficMirrorTargetRequest struct {
	creating
	NetworkInterfaceID            *string `query:"NetworkInterfaceId"`
	NetworkLoadBalancerArn        *string `query:"NetworkLoadBalancerArn"`
	GatewayLoadBalancerEndpointID *string `query:"GatewayLoadBalancerEndpointId"`
	Description                   *string `query:"Description"`
}

type createTrafficMirrorTargetResponse struct {
	Target      trafficMirrorTarget `xml:"trafficMirrorTarget"`
	ClientToken string              `xml:"clientToken"`
}

type describeTrafficMirrorTargetsRequest struct {
	IDs []string `query:"TrafficMirrorTargetId"`
	pagedRead
}

type describeTrafficMirrorTargetsResponse struct {
	Targets   []trafficMirrorTarget `xml:"trafficMirrorTargetSet"`
	NextToken *string               `xml:"nextToken"`
}

type deleteTrafficMirrorTargetRequest struct {
	ID     *string `query:"TrafficMirrorTargetId" required:"true"`
	DryRun *bool   `query:"DryRun"`
}

type deleteTrafficMirrorTargetResponse struct {
	ID string `xml:"trafficMirrorTargetId"`
}

// trafficMirrorTarget is the TrafficMirrorTarget structure, without
// gatewayLoadBalancerEndpointId, which no target has.
type trafficMirrorTarget struct {
	ID                     string        `xml:"trafficMirrorTargetId"`
	NetworkInterfaceID     string        `xml:"networkInterfaceId"`
	NetworkLoadBalancerArn string        `xml:"networkLoadBalancerArn"`
	Type                   string        `xml:"type"`
	Description            string        `xml:"description"`
	OwnerID                string        `xml:"ownerId"`
	Tags                   []resourceTag `xml:"tagSet"`
}

func showTarget(t sluice.TrafficMirrorTarget) trafficMirrorTarget {
	return trafficMirrorTarget{
		t.ID, t.NetworkInterfaceID, t.NetworkLoadBalancerArn, t.Type, t.Description, t.OwnerID, showResourceTags(t.Tags),
	}
}

func createTrafficMirrorTarget(ctx context.Context, c *call, in *createTrafficMirrorTargetRequest) (*createTrafficMirrorTargetResponse, error) {
	creation, err := in.creation(sluice.ResourceMirrorTarget)
	if err != nil {
		return nil, err
	}
	t, err := c.backend.CreateTrafficMirrorTarget(ctx, control.CreateTrafficMirrorTargetInput{
		EC2Creation:                   creation,
		NetworkInterfaceID:            value(in.NetworkInterfaceID),
		NetworkLoadBalancerArn:        value(in.NetworkLoadBalancerArn),
		GatewayLoadBalancerEndpointID: value(in.GatewayLoadBalancerEndpointID),
		Description:                   value(in.Description),
	})
	return &createTrafficMirrorTargetResponse{showTarget(t), creation.ClientToken}, err
}

func describeTrafficMirrorTargets(ctx context.Context, c *call, in *describeTrafficMirrorTargetsRequest) (*describeTrafficMirrorTargetsResponse, error) {
	targets, err := c.backend.TrafficMirrorTargets(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]trafficMirrorTarget, len(targets))
	for i, t := range targets {
		all[i] = showTarget(t)
	}
	type t = trafficMirrorTarget
	page, next, err := listing[t]{
		parameter: "trafficMirrorTargetId",
		id:        func(v t) string { return v.ID },
		tags:      func(v t) []sluice.Tag { return tagsShown(v.Tags) },
		maxPage:   1000,
		exclusive: true,
		missing:   noSuch(sluice.ResourceMirrorTarget),
		filters: attributes[t]{
			"description":               one(func(v t) string { return v.Description }),
			"network-interface-id":      one(func(v t) string { return v.NetworkInterfaceID }),
			"network-load-balancer-arn": one(func(v t) string { return v.NetworkLoadBalancerArn }),
			"owner-id":                  one(func(v t) string { return v.OwnerID }),
			"traffic-mirror-target-id":  one(func(v t) string { return v.ID }),
		},
	}.list(c, in.IDs, in.pagedRead, all)
	if err != nil {
		return nil, err
	}
	return &describeTrafficMirrorTargetsResponse{page, next}, nil
}

func deleteTrafficMirrorTarget(ctx context.Context, c *call, in *deleteTrafficMirrorTargetRequest) (*deleteTrafficMirrorTargetResponse, error) {
	return &deleteTrafficMirrorTargetResponse{*in.ID}, c.backend.DeleteTrafficMirrorTarget(ctx, *in.ID, value(in.DryRun))
}

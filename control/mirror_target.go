package control

import (
	"context"
	"regexp"

	"sluice"
)

// CreateTrafficMirrorTargetInput is the request of CreateTrafficMirrorTarget. Exactly
// one of the three references is given.
type CreateTrafficMirrorTargetInput struct {
	EC2Creation
	NetworkInterfaceID            string
	NetworkLoadBalancerArn        string
	GatewayLoadBalancerEndpointID string
	Description                   string
}

var (
	loadBalancerPattern = regexp.MustCompile(`^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:loadbalancer/net/[A-Za-z0-9-]{1,32}/[0-9a-f]{16}$`)
	endpointPattern     = regexp.MustCompile(`^vpce-([0-9a-f]{8}|[0-9a-f]{17})$`)
)

// CreateTrafficMirrorTarget makes an interface or a target group a target.
func (c *Controller) CreateTrafficMirrorTarget(ctx context.Context, in CreateTrafficMirrorTargetInput) (sluice.TrafficMirrorTarget, error) {
	t, err := c.askedTarget(in)
	if err != nil {
		return t, err
	}
	creation, err := c.creation(in.EC2Creation, t)
	if err != nil {
		return t, err
	}
	t.ID, t.Tags = sluice.NewID("tmt"), sortedTags(in.Tags)
	return c.o.Store.CreateTrafficMirrorTarget(ctx, creation, t, c.o.Quotas.Mirror, func() error { return c.checkReceiver(t) })
}

// askedTarget is the target that is asked for, without id and tags.
func (c *Controller) askedTarget(in CreateTrafficMirrorTargetInput) (sluice.TrafficMirrorTarget, error) {
	t := sluice.TrafficMirrorTarget{
		Type:                   sluice.TargetNetworkInterface,
		NetworkInterfaceID:     in.NetworkInterfaceID,
		NetworkLoadBalancerArn: in.NetworkLoadBalancerArn,
		Description:            in.Description,
		OwnerID:                c.o.Scope.AccountID,
	}
	if t.NetworkLoadBalancerArn != "" {
		t.Type = sluice.TargetNetworkLoadBalancer
	}
	if err := in.checkReference(); err != nil {
		return t, err
	}
	return t, checkEC2Description(in.Description)
}

// checkReference checks that one receiver is named, and its form.
func (in CreateTrafficMirrorTargetInput) checkReference() error {
	type reference struct{ parameter, value string }
	var given []reference
	for _, r := range []reference{
		{"NetworkInterfaceId", in.NetworkInterfaceID},
		{"NetworkLoadBalancerArn", in.NetworkLoadBalancerArn},
		{"GatewayLoadBalancerEndpointId", in.GatewayLoadBalancerEndpointID},
	} {
		if r.value != "" {
			given = append(given, r)
		}
	}
	switch {
	case len(given) == 0:
		return sluice.MissingParameter("NetworkInterfaceId")
	case len(given) > 1:
		return cannotCombine(given[0].parameter, given[1].parameter)
	}
	if arn := in.NetworkLoadBalancerArn; arn != "" && !loadBalancerPattern.MatchString(arn) {
		return sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidNetworkLoadBalancerArn.Malformed", "The network load balancer ARN '%.256s' is malformed", arn)
	}
	if id := in.GatewayLoadBalancerEndpointID; id != "" {
		if !endpointPattern.MatchString(id) {
			return sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidVpcEndpointId.Malformed", "The Vpc Endpoint Id '%.256s' is malformed", id)
		}
		return sluice.EC2Errorf(sluice.KindUnsupported, "UnsupportedOperation",
			"Gateway Load Balancer endpoints are not supported as targets; use NetworkInterfaceId or NetworkLoadBalancerArn")
	}
	return nil
}

// checkReceiver checks that what a target stands for is there.
func (c *Controller) checkReceiver(t sluice.TrafficMirrorTarget) error {
	if !t.Interface() {
		if _, ok := c.targetGroup(t.NetworkLoadBalancerArn); !ok {
			return sluice.EC2Errorf(sluice.KindNotFound, "InvalidNetworkLoadBalancerArn.NotFound",
				"The network load balancer '%s' does not exist", t.NetworkLoadBalancerArn)
		}
		return nil
	}
	if n, ok := c.o.Inventory.Snapshot().Interface(t.NetworkInterfaceID); !ok || !n.Present() {
		return sluice.EC2Errorf(sluice.KindNotFound, "InvalidTrafficMirrorTarget", "The interface ID '%.256s' does not exist", t.NetworkInterfaceID)
	}
	return nil
}

// targetGroup finds the group that an ARN names.
func (c *Controller) targetGroup(arn string) (sluice.TargetGroup, bool) {
	for _, g := range c.o.TargetGroups {
		if g.Arn == arn {
			return g, true
		}
	}
	return sluice.TargetGroup{}, false
}

// TrafficMirrorTargets returns all targets, ordered by id.
func (c *Controller) TrafficMirrorTargets(ctx context.Context) ([]sluice.TrafficMirrorTarget, error) {
	return c.o.Store.TrafficMirrorTargets(ctx)
}

// DeleteTrafficMirrorTarget removes a target that no session uses.
func (c *Controller) DeleteTrafficMirrorTarget(ctx context.Context, id string, dryRun bool) error {
	return c.o.Store.DeleteTrafficMirrorTarget(ctx, id, dryRun)
}

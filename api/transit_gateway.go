package api

import (
	"context"

	"sluice"
)

// anything is a request of which no member is read.
type anything struct{}

// refuseTransitGateway answers the operations of firewalls that are attached to a
// transit gateway: there is no transit gateway here.
func refuseTransitGateway(_ context.Context, c *call, _ *anything) (*nothing, error) {
	return nil, sluice.Errorf(sluice.KindUnsupported,
		"%s is not supported: firewalls can't be attached to a transit gateway", c.operation)
}

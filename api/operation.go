package api

import (
	"context"

	"sluice/api/sigv4"
)

// The services that this door answers for, as credential scopes name them.
const (
	serviceFirewall = "network-firewall"
	serviceEC2      = "ec2"
	serviceSTS      = "sts"
)

// operation is one row of the table: what a request looks like and what is done
// with it. The constraints of a request stand in the tags of its type.
type operation struct {
	service string
	name    string
	// request makes an empty request to decode into.
	request func() any
	// handle carries the request out.
	handle func(context.Context, *call, any) (any, error)
}

// call is one request on its way through an operation.
type call struct {
	*handler
	operation string
	identity  sigv4.Identity
	host      string // the Host that the caller used, for answers that name an endpoint
}

// firewallOperation makes a row of Network Firewall.
func firewallOperation[In, Out any](name string, handle func(context.Context, *call, *In) (*Out, error)) operation {
	return row(serviceFirewall, name, handle)
}

// ec2Operation makes a row of EC2.
func ec2Operation[In, Out any](name string, handle func(context.Context, *call, *In) (*Out, error)) operation {
	return row(serviceEC2, name, handle)
}

// stsOperation makes a row of STS.
func stsOperation[In, Out any](name string, handle func(context.Context, *call, *In) (*Out, error)) operation {
	return row(serviceSTS, name, handle)
}

func row[In, Out any](service, name string, handle func(context.Context, *call, *In) (*Out, error)) operation {
	return operation{
		service: service,
		name:    name,
		request: func() any { return new(In) },
		handle: func(ctx context.Context, c *call, in any) (any, error) {
			out, err := handle(ctx, c, in.(*In))
			if err != nil {
				return nil, err
			}
			return out, nil
		},
	}
}

// value returns what a member holds, and the zero value where it is absent.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// given returns a pointer to a string, and nil for "", which answers leave out.
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

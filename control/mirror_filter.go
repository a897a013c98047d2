package control

import (
	"context"
	"slices"

	"sluice"
)

// CreateTrafficMirrorFilterInput is the request of CreateTrafficMirrorFilter.
type CreateTrafficMirrorFilterInput struct {
	EC2Creation
	Description string
}

// CreateTrafficMirrorFilter makes a filter without rules, which mirrors nothing.
func (c *Controller) CreateTrafficMirrorFilter(ctx context.Context, in CreateTrafficMirrorFilterInput) (sluice.TrafficMirrorFilter, error) {
	f, err := in.filter()
	if err != nil {
		return f, err
	}
	creation, err := c.creation(in.EC2Creation, f)
	if err != nil {
		return f, err
	}
	f.ID, f.Tags = sluice.NewID("tmf"), sortedTags(in.Tags)
	return c.o.Store.CreateTrafficMirrorFilter(ctx, creation, f, c.o.Quotas.Mirror)
}

// filter is the filter that is asked for, without id and tags.
func (in CreateTrafficMirrorFilterInput) filter() (sluice.TrafficMirrorFilter, error) {
	return sluice.TrafficMirrorFilter{Description: in.Description}, checkEC2Description(in.Description)
}

// TrafficMirrorFilters returns all filters with their rules, ordered by id.
func (c *Controller) TrafficMirrorFilters(ctx context.Context) ([]sluice.TrafficMirrorFilter, error) {
	return c.o.Store.TrafficMirrorFilters(ctx)
}

// DeleteTrafficMirrorFilter removes a filter that no session uses, with its rules.
func (c *Controller) DeleteTrafficMirrorFilter(ctx context.Context, id string, dryRun bool) error {
	return c.o.Store.DeleteTrafficMirrorFilter(ctx, id, dryRun)
}

// ModifyTrafficMirrorFilterNetworkServices switches network services of a filter on
// and off. What is so already stays so.
func (c *Controller) ModifyTrafficMirrorFilterNetworkServices(ctx context.Context, id string, add, remove []string, dryRun bool) (sluice.TrafficMirrorFilter, error) {
	var none sluice.TrafficMirrorFilter
	for _, list := range []struct {
		parameter string
		services  []string
	}{{"AddNetworkService", add}, {"RemoveNetworkService", remove}} {
		for _, s := range list.services {
			if s != sluice.NetworkServiceDNS {
				return none, sluice.InvalidValue(list.parameter, s, "")
			}
		}
	}
	if len(add) > 0 && len(remove) > 0 {
		return none, cannotCombine("AddNetworkService", "RemoveNetworkService")
	}
	f, err := c.o.Store.UpdateTrafficMirrorFilter(ctx, id, dryRun, func(f sluice.TrafficMirrorFilter) (sluice.TrafficMirrorFilter, error) {
		f.NetworkServices = slices.DeleteFunc(slices.Clone(f.NetworkServices), func(s string) bool { return slices.Contains(remove, s) })
		for _, s := range add {
			if !slices.Contains(f.NetworkServices, s) {
				f.NetworkServices = append(f.NetworkServices, s)
			}
		}
		return f, nil
	})
	if err == nil {
		c.changed()
	}
	return f, err
}

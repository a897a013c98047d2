package main

import (
	"context"
	"net/url"
)

func mirrorDelete(ctx context.Context, s *shell, args []string) error {
	return deletion{
		command: "sluice mirror delete", operands: "SESSION", about: "Removes a session: from then on nothing is copied for it.",
		with: "all-made", withUsage: "remove its filter and target too, if sluice mirror create made them and no other session has them",
		remove: func(ctx context.Context, c *apiClient, id string, allMade bool) (any, []string, error) {
			gone, err := deleteMirror(ctx, ec2{c.config}, id, allMade)
			return map[string]any{"Deleted": gone}, gone, err
		},
	}.run(ctx, s, args)
}

// deleteMirror removes a session, and what was made for it if that is asked for. It
// returns the ids of what is gone, also with an error.
func deleteMirror(ctx context.Context, e ec2, id string, allMade bool) (gone []string, err error) {
	one, err := findSession(ctx, e, id)
	if err != nil {
		return nil, err
	}
	if err := e.call(ctx, "DeleteTrafficMirrorSession", url.Values{"TrafficMirrorSessionId": {id}}, nil); err != nil {
		return nil, err
	}
	gone = append(gone, id)
	if !allMade {
		return gone, nil
	}
	filter, err := findFilter(ctx, e, one.FilterID)
	if err != nil {
		return gone, err
	}
	target, err := findTarget(ctx, e, one.TargetID)
	if err != nil {
		return gone, err
	}
	for _, left := range []struct {
		id, action, parameter, inUse string
		tags                         []ec2Tag
	}{
		{filter.ID, "DeleteTrafficMirrorFilter", "TrafficMirrorFilterId", "TrafficMirrorFilterInUse", filter.Tags},
		{target.ID, "DeleteTrafficMirrorTarget", "TrafficMirrorTargetId", "TrafficMirrorTargetInUse", target.Tags},
	} {
		if tagValue(left.tags, madeBy.Key) != madeBy.Value {
			continue
		}
		err := e.call(ctx, left.action, url.Values{left.parameter: {left.id}}, nil)
		if isCode(err, left.inUse) {
			continue
		}
		if err != nil {
			return gone, err
		}
		gone = append(gone, left.id)
	}
	return gone, nil
}

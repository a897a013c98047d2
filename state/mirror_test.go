package state_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sluice"
	"sluice/state"
)

var mirrorQuotas = sluice.MirrorQuotas{Filters: 1000, Targets: 1000, Sessions: 1000, RulesPerFilter: 10, SessionsPerSource: 3, SourcesPerTarget: 10}

func accept(s sluice.TrafficMirrorSession, _ sluice.TrafficMirrorTarget) (sluice.TrafficMirrorSession, error) {
	return s, nil
}

func exists() error { return nil }

func mirrorSession(source, target, filter string, number int32) sluice.TrafficMirrorSession {
	return sluice.TrafficMirrorSession{ID: sluice.NewID("tms"), NetworkInterfaceID: source, TargetID: target, FilterID: filter,
		SessionNumber: number, VirtualNetworkID: sluice.AnyVirtualNetworkID}
}

// mirrorStore has a filter and a target that stands for eni-target.
func mirrorStore(t *testing.T) (s *state.Store, target sluice.TrafficMirrorTarget, filter sluice.TrafficMirrorFilter) {
	t.Helper()
	s = fresh(t)
	target = sluice.TrafficMirrorTarget{ID: sluice.NewID("tmt"), Type: sluice.TargetNetworkInterface, NetworkInterfaceID: "eni-target"}
	filter = sluice.TrafficMirrorFilter{ID: sluice.NewID("tmf")}
	_, err := s.CreateTrafficMirrorTarget(t.Context(), sluice.Creation{}, target, mirrorQuotas, exists)
	must(t, err)
	_, err = s.CreateTrafficMirrorFilter(t.Context(), sluice.Creation{}, filter, mirrorQuotas)
	must(t, err)
	return s, target, filter
}

// TestLimitsOfMirroringHoldBetweenStores has stores that share nothing but the
// member race for what only some can have.
func TestLimitsOfMirroringHoldBetweenStores(t *testing.T) {
	s, target, filter := mirrorStore(t)
	ctx := t.Context()
	create := func(s *state.Store, source string, number int32) error {
		_, err := s.CreateTrafficMirrorSession(ctx, sluice.Creation{}, mirrorSession(source, target.ID, filter.ID, number), mirrorQuotas, accept)
		return err
	}
	if n := together(t, s, 100, func(_ int, s *state.Store) error { return create(s, "eni-1", 1) }, sluice.KindInvalidRequest, sluice.KindLimitExceeded); n != 1 {
		t.Errorf("%d sessions of one number", n)
	}
	if n := together(t, s, 20, func(i int, s *state.Store) error { return create(s, "eni-1", int32(2+i)) }, sluice.KindLimitExceeded); n != 2 {
		t.Errorf("%d more sessions of a source", n)
	}
	if n := together(t, s, 30, func(i int, s *state.Store) error { return create(s, fmt.Sprint("eni-", 2+i), 1) }, sluice.KindLimitExceeded); n != 9 {
		t.Errorf("%d more sources of a target", n)
	}
	if n := together(t, s, 30, func(i int, s *state.Store) error {
		_, err := s.CreateTrafficMirrorFilterRule(ctx, sluice.Creation{}, sluice.TrafficMirrorFilterRule{ID: sluice.NewID("tmfr"), FilterID: filter.ID,
			TrafficDirection: sluice.TrafficIngress, RuleNumber: int32(1 + i)}, mirrorQuotas)
		return err
	}, sluice.KindLimitExceeded); n != 10 {
		t.Errorf("%d rules of a filter", n)
	}
	sessions, err := s.TrafficMirrorSessions(ctx)
	must(t, err)
	networks := map[int32]bool{}
	for _, s := range sessions {
		networks[s.VirtualNetworkID] = true
	}
	if len(networks) != len(sessions) || len(sessions) != 12 {
		t.Errorf("%d network identifiers of %d sessions", len(networks), len(sessions))
	}
}

func TestOneTargetOfALoadBalancerWins(t *testing.T) {
	s := fresh(t)
	arn := sluice.Scope{Region: "eu-west-1", AccountID: "000000000000"}.LoadBalancerARN("sensors")
	if n := together(t, s, 30, func(_ int, s *state.Store) error {
		_, err := s.CreateTrafficMirrorTarget(t.Context(), sluice.Creation{}, sluice.TrafficMirrorTarget{ID: sluice.NewID("tmt"), Type: sluice.TargetNetworkLoadBalancer, NetworkLoadBalancerArn: arn}, mirrorQuotas, exists)
		return err
	}, sluice.KindInvalidOperation); n != 1 {
		t.Errorf("%d targets of a load balancer", n)
	}
}

func TestNoSessionIsEverWithoutItsTargetAndFilter(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	for round := range 20 {
		target := sluice.TrafficMirrorTarget{ID: sluice.NewID("tmt"), Type: sluice.TargetNetworkInterface, NetworkInterfaceID: fmt.Sprint("eni-t", round)}
		filter := sluice.TrafficMirrorFilter{ID: sluice.NewID("tmf")}
		_, err := s.CreateTrafficMirrorTarget(ctx, sluice.Creation{}, target, mirrorQuotas, exists)
		must(t, err)
		_, err = s.CreateTrafficMirrorFilter(ctx, sluice.Creation{}, filter, mirrorQuotas)
		must(t, err)
		session := mirrorSession(fmt.Sprint("eni-", round), target.ID, filter.ID, 1)
		together(t, s, 3, func(i int, s *state.Store) error {
			switch i {
			case 0:
				return s.DeleteTrafficMirrorTarget(ctx, target.ID, false)
			case 1:
				return s.DeleteTrafficMirrorFilter(ctx, filter.ID, false)
			}
			_, err := s.CreateTrafficMirrorSession(ctx, sluice.Creation{}, session, mirrorQuotas, accept)
			return err
		}, sluice.KindNotFound, sluice.KindInvalidOperation)
		filters, targets, sessions, err := s.Mirrors(ctx)
		must(t, err)
		for _, session := range sessions {
			hasTarget, hasFilter := false, false
			for _, t := range targets {
				hasTarget = hasTarget || t.ID == session.TargetID
			}
			for _, f := range filters {
				hasFilter = hasFilter || f.ID == session.FilterID
			}
			if !hasTarget || !hasFilter {
				t.Fatalf("round %d: target %t, filter %t", round, hasTarget, hasFilter)
			}
		}
	}
}

func TestASourceAndATargetNeverBecomeOne(t *testing.T) {
	s, target, filter := mirrorStore(t)
	_, err := s.CreateTrafficMirrorSession(t.Context(), sluice.Creation{}, mirrorSession("eni-target", target.ID, filter.ID, 1), mirrorQuotas, accept)
	if err == nil || err.Error() != "eni-target is in use by target "+target.ID {
		t.Errorf("a source that is a target: %v", err)
	}
}

func TestRepetitionsBetweenStoresCreateOnce(t *testing.T) {
	s, target, filter := mirrorStore(t)
	creation := sluice.Creation{ClientToken: "token/with a slash", Digest: "d", Time: time.Unix(1000, 0)}
	if n := together(t, s, 50, func(_ int, s *state.Store) error {
		_, err := s.CreateTrafficMirrorSession(t.Context(), creation, mirrorSession("eni-1", target.ID, filter.ID, 1), mirrorQuotas, accept)
		return err
	}); n != 50 {
		t.Errorf("%d of 50 succeeded", n)
	}
	all, err := s.TrafficMirrorSessions(t.Context())
	must(t, err)
	if len(all) != 1 {
		t.Errorf("%d sessions", len(all))
	}
	creation.Digest = "other"
	_, err = s.CreateTrafficMirrorSession(t.Context(), creation, mirrorSession("eni-1", target.ID, filter.ID, 2), mirrorQuotas, accept)
	if sluice.CodeOf(err) != "IdempotentParameterMismatch" {
		t.Errorf("another request with the token: %v", err)
	}
	must(t, s.ForgetCreations(t.Context(), time.Unix(1000, 1)))
	_, err = s.CreateTrafficMirrorSession(t.Context(), creation, mirrorSession("eni-1", target.ID, filter.ID, 2), mirrorQuotas, accept)
	must(t, err)
}

func TestAThousandResourcesAreTaggedAtOnce(t *testing.T) {
	s := fresh(t)
	var ids []string
	for range 500 {
		f := sluice.TrafficMirrorFilter{ID: sluice.NewID("tmf")}
		_, err := s.CreateTrafficMirrorFilter(t.Context(), sluice.Creation{}, f, mirrorQuotas)
		must(t, err)
		ids = append(ids, f.ID, sluice.NewID("eni"))
	}
	tags := []sluice.Tag{{Key: "a", Value: "1"}, {Key: "b"}}
	known := func(string) error { return nil }
	must(t, s.UpdateEC2Tags(t.Context(), ids, false, known, func(string, []sluice.Tag) ([]sluice.Tag, error) { return tags, nil }))
	got, err := s.EC2Tags(t.Context())
	must(t, err)
	if diff := cmp.Diff(tags, got[ids[999]]); diff != "" || len(got) != 1000 {
		t.Errorf("%d resources with tags: %s", len(got), diff)
	}
	filters, err := s.TrafficMirrorFilters(t.Context())
	must(t, err)
	if diff := cmp.Diff(tags, filters[0].Tags); diff != "" {
		t.Error(diff)
	}
	ids = append(ids, sluice.NewID("tmf")) // does not exist
	err = s.UpdateEC2Tags(t.Context(), ids, false, known, func(string, []sluice.Tag) ([]sluice.Tag, error) { return nil, nil })
	again, _ := s.EC2Tags(t.Context())
	if sluice.CodeOf(err) != "InvalidTrafficMirrorFilterId.NotFound" || len(again) != 1000 {
		t.Errorf("a missing resource among them: %v; %d have tags", err, len(again))
	}
}

func TestASessionThatMovesFreesWhatItUsed(t *testing.T) {
	s, target, filter := mirrorStore(t)
	ctx := t.Context()
	other := sluice.TrafficMirrorTarget{ID: sluice.NewID("tmt"), Type: sluice.TargetNetworkInterface, NetworkInterfaceID: "eni-other"}
	_, err := s.CreateTrafficMirrorTarget(ctx, sluice.Creation{}, other, mirrorQuotas, exists)
	must(t, err)
	session, err := s.CreateTrafficMirrorSession(ctx, sluice.Creation{}, mirrorSession("eni-1", target.ID, filter.ID, 1), mirrorQuotas, accept)
	must(t, err)
	moved, err := s.UpdateTrafficMirrorSession(ctx, session.ID, false, mirrorQuotas, func(n sluice.TrafficMirrorSession) (sluice.TrafficMirrorSession, error) {
		n.TargetID, n.VirtualNetworkID = other.ID, sluice.AnyVirtualNetworkID
		return n, nil
	}, accept)
	must(t, err)
	if moved.VirtualNetworkID == sluice.AnyVirtualNetworkID {
		t.Error("no network identifier was drawn")
	}
	must(t, s.DeleteTrafficMirrorTarget(ctx, target.ID, false))
	if err := s.DeleteTrafficMirrorTarget(ctx, other.ID, false); sluice.CodeOf(err) != "TrafficMirrorTargetInUse" {
		t.Errorf("delete of its new target: %v", err)
	}
	must(t, s.DeleteTrafficMirrorSession(ctx, session.ID, false))
	must(t, s.DeleteTrafficMirrorTarget(ctx, other.ID, false))
	must(t, s.DeleteTrafficMirrorFilter(ctx, filter.ID, false))
	filters, targets, sessions, err := s.Mirrors(ctx)
	must(t, err)
	if diff := cmp.Diff([]int{0, 0, 0}, []int{len(filters), len(targets), len(sessions)}, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

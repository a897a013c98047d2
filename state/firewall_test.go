package state_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sluice"
	"sluice/state"
)

// together runs f n times at once, each with a store of its own over the same
// member, and counts how often it succeeded. Every failure is of one of kinds.
func together(t *testing.T, s *state.Store, n int, f func(i int, s *state.Store) error, kinds ...sluice.Kind) int {
	t.Helper()
	var won atomic.Int32
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		sibling := s.Sibling()
		wg.Go(func() {
			<-start
			err := f(i, sibling)
			if err == nil {
				won.Add(1)
				return
			}
			for _, k := range kinds {
				if sluice.KindOf(err) == k {
					return
				}
			}
			t.Errorf("call %d: %v", i, err)
		})
	}
	close(start)
	wg.Wait()
	return int(won.Load())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOneOfAHundredCreatesOfANameWins(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	must(t, s.CreateFirewallPolicy(ctx, policy("p"), 10))
	if n := together(t, s, 100, func(_ int, s *state.Store) error {
		return s.CreateFirewallPolicy(ctx, policy("x"), 1000)
	}, sluice.KindInvalidRequest); n != 1 {
		t.Errorf("%d policies of one name", n)
	}
	if n := together(t, s, 100, func(_ int, s *state.Store) error {
		return s.CreateFirewall(ctx, firewall("x", "p"), 1000, 1000)
	}, sluice.KindInvalidRequest); n != 1 {
		t.Errorf("%d firewalls of one name", n)
	}
}

func TestQuotasHoldUnderConcurrency(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	if n := together(t, s, 40, func(i int, s *state.Store) error {
		return s.CreateFirewallPolicy(ctx, policy(fmt.Sprint("p", i)), 7)
	}, sluice.KindLimitExceeded); n != 7 {
		t.Errorf("%d policies of 7", n)
	}
	all, err := s.FirewallPolicies(ctx)
	must(t, err)
	if n := together(t, s, 40, func(i int, s *state.Store) error {
		return s.CreateFirewall(ctx, firewall(fmt.Sprint("f", i), all[0].Name), 5, 100)
	}, sluice.KindLimitExceeded); n != 5 {
		t.Errorf("%d firewalls of 5", n)
	}
	if n := together(t, s, 20, func(i int, s *state.Store) error {
		return s.CreateFirewall(ctx, firewall(fmt.Sprint("g", i), all[1].Name), 100, 3)
	}, sluice.KindLimitExceeded); n != 3 {
		t.Errorf("%d firewalls of 3 under one policy", n)
	}
}

func TestNoFirewallIsEverWithoutItsPolicy(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	for round := range 30 {
		p, f := policy(fmt.Sprint("p", round)), firewall(fmt.Sprint("f", round), fmt.Sprint("p", round))
		must(t, s.CreateFirewallPolicy(ctx, p, 1000))
		together(t, s, 2, func(i int, s *state.Store) error {
			if i == 0 {
				_, err := s.DeleteFirewallPolicy(ctx, p.Name)
				return err
			}
			return s.CreateFirewall(ctx, f, 1000, 1000)
		}, sluice.KindInvalidRequest, sluice.KindInvalidOperation)
		_, noFirewall := s.Firewall(ctx, f.Name)
		_, noPolicy := s.FirewallPolicy(ctx, p.Name)
		if noFirewall == nil && noPolicy != nil {
			t.Fatalf("round %d: the firewall is there, its policy is not", round)
		}
	}
}

func TestNoUpdateIsLost(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	must(t, s.CreateFirewallPolicy(ctx, policy("p"), 10))
	must(t, s.CreateFirewall(ctx, firewall("f", "p"), 10, 10))
	const n = 30
	together(t, s, n, func(_ int, s *state.Store) error {
		_, err := s.UpdateFirewall(ctx, "f", 10, func(f sluice.Firewall) (sluice.Firewall, error) {
			f.Description += "x"
			return f, nil
		})
		return err
	})
	together(t, s, n, func(_ int, s *state.Store) error {
		_, err := s.UpdateFirewallPolicy(ctx, "p", func(p sluice.FirewallPolicy) (sluice.FirewallPolicy, error) {
			p.Generation++
			return p, nil
		})
		return err
	})
	f, err := s.Firewall(ctx, "f")
	must(t, err)
	p, err := s.FirewallPolicy(ctx, "p")
	must(t, err)
	if f.Description != strings.Repeat("x", n) || p.Generation != n+1 {
		t.Errorf("description %q, generation %d", f.Description, p.Generation)
	}
}

func TestAnUpdateThatFailsChangesNothing(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	must(t, s.CreateFirewallPolicy(ctx, policy("p"), 10))
	must(t, s.CreateFirewall(ctx, firewall("f", "p"), 10, 10))
	_, err := s.UpdateFirewall(ctx, "f", 10, func(f sluice.Firewall) (sluice.Firewall, error) {
		f.PolicyArn = policy("missing").Arn
		return f, nil
	})
	if sluice.KindOf(err) != sluice.KindNotFound {
		t.Errorf("a policy that is missing: %v", err)
	}
	if f, err := s.Firewall(ctx, "f"); err != nil || f.PolicyArn != policy("p").Arn {
		t.Errorf("firewall is now %+v, %v", f, err)
	}
	if _, err := s.DeleteFirewallPolicy(ctx, "p"); sluice.KindOf(err) != sluice.KindInvalidOperation {
		t.Errorf("delete of a policy in use: %v", err)
	}
	if _, err := s.RemoveFirewall(ctx, "f", "another id"); sluice.KindOf(err) != sluice.KindNotFound {
		t.Errorf("remove of another firewall: %v", err)
	}
}

func TestDesiredRevisionsGrowWithEachNewDigest(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i, step := range []struct {
		digest string
		want   int64
	}{{"a", 1}, {"a", 1}, {"b", 2}, {"a", 3}, {"a", 3}} {
		if got, err := s.DesiredRevision(t.Context(), step.digest); got != step.want || err != nil {
			t.Errorf("step %d: %d, %v; want %d", i, got, err, step.want)
		}
	}
	must(t, s.Close())
	s = open(t, dir)
	defer s.Close()
	for _, step := range []struct {
		digest string
		want   int64
	}{{"a", 3}, {"c", 4}} {
		if got, err := s.DesiredRevision(t.Context(), step.digest); got != step.want || err != nil {
			t.Errorf("after a restart: %d, %v; want %d", got, err, step.want)
		}
	}
}

// TestTheStoredFormIsTheOneThatOlderProcessesWrote fails when a renamed member
// would make what is on disk unreadable: that needs a new record version.
func TestTheStoredFormIsTheOneThatOlderProcessesWrote(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	must(t, s.PutRaw(ctx, "/sluice/firewall-policy/p", `{"Version":1,"Value":{"Name":"p","Arn":"arn:p","ID":"i","Description":"d",`+
		`"Body":{"StatelessDefaultActions":["aws:pass"],"StatelessFragmentDefaultActions":["aws:drop"],"StatefulEngineOptions":`+
		`{"RuleOrder":"STRICT_ORDER","StreamExceptionPolicy":"REJECT","FlowTimeouts":true,"TCPIdleTimeoutSeconds":60}},`+
		`"UpdateToken":"t","Generation":3}}`))
	must(t, s.PutRaw(ctx, "/sluice/firewall/f", `{"Version":1,"Value":{"Name":"f","PolicyArn":"arn:p","VpcID":"vpc-1",`+
		`"SubnetMappings":[{"SubnetID":"subnet-1","IPAddressType":"IPV4","AvailabilityZone":"z","EndpointID":"vpce-1"}],"Deleting":true}}`))
	p, err := s.FirewallPolicy(ctx, "p")
	must(t, err)
	if p.Generation != 3 || p.Body.StreamException() != "REJECT" || p.Body.TCPIdleTimeout().Seconds() != 60 || p.UpdateToken != "t" {
		t.Errorf("policy read as %+v", p)
	}
	f, err := s.Firewall(ctx, "f")
	must(t, err)
	if m, ok := f.Mapping("z"); !ok || m.EndpointID != "vpce-1" || !f.Deleting || f.VpcID != "vpc-1" {
		t.Errorf("firewall read as %+v", f)
	}
	must(t, s.PutRaw(ctx, "/sluice/firewall/f", `{"Version":2,"Value":{}}`))
	if _, err := s.Firewall(ctx, "f"); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a record of the future: %v", err)
	}
}

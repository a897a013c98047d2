package state_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice"
	"sluice/state"
)

var sandboxMirrorQuotas = sluice.MirrorQuotas{Filters: 1000, Targets: 1000, Sessions: 1000, RulesPerFilter: 10, SessionsPerSource: 3, SourcesPerTarget: 10}

// sandboxQuotas let n sandboxes be; each has room for some data and output.
func sandboxQuotas(n int) sluice.SandboxQuotas {
	return sluice.SandboxQuotas{Sandboxes: n, PoolItems: 1000, DataBytes: 256 << 10, DataKeys: 100, OutputBytes: 64 << 10, Messages: 200}
}

func sandbox(id string, instances ...string) sluice.Sandbox {
	b := sluice.Sandbox{ID: id, Status: "Started"}
	for _, i := range instances {
		b.Members = append(b.Members, sluice.SandboxMember{Name: i, InstanceID: i})
	}
	return b
}

func admitted(sluice.Sandbox) error { return nil }

// mirrors makes a mirror from each source to a target, through one store.
func mirrors(ctx context.Context, s *state.Store, id, target string, q sluice.MirrorQuotas, sources ...string) ([]sluice.SandboxMirror, error) {
	var plans []sluice.SandboxMirror
	for _, source := range sources {
		filter := sluice.NewID("tmf")
		var rules []sluice.TrafficMirrorFilterRule
		for n := range int32(10) {
			rules = append(rules, sluice.TrafficMirrorFilterRule{ID: sluice.NewID("tmfr"), FilterID: filter, TrafficDirection: "ingress", RuleNumber: n + 1})
		}
		plans = append(plans, sluice.SandboxMirror{
			Target:  sluice.TrafficMirrorTarget{ID: sluice.NewID("tmt"), Type: sluice.TargetNetworkInterface, NetworkInterfaceID: target},
			Filter:  sluice.TrafficMirrorFilter{ID: filter, Rules: rules, Tags: []sluice.Tag{{Key: "Name", Value: source}}},
			Session: sluice.TrafficMirrorSession{ID: sluice.NewID("tms"), NetworkInterfaceID: source, VirtualNetworkID: sluice.AnyVirtualNetworkID},
		})
	}
	return s.CreateSandboxMirrors(ctx, id, plans, q, admitted,
		func(_ sluice.Sandbox, m sluice.SandboxMirror) (sluice.SandboxMirror, error) {
			m.SourceInstance = strings.Replace(m.Session.NetworkInterfaceID, "eni", "i", 1)
			m.TargetInstance = strings.Replace(m.Target.NetworkInterfaceID, "eni", "i", 1)
			return m, nil
		},
		func(sluice.TrafficMirrorTarget) error { return nil },
		func(n sluice.TrafficMirrorSession, _ sluice.TrafficMirrorTarget) (sluice.TrafficMirrorSession, error) {
			return n, nil
		})
}

func TestSessionNumbersDifferOverControllers(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	must(t, s.CreateSandbox(ctx, sandbox("b1"), sandboxQuotas(10)))
	must(t, s.CreateSandbox(ctx, sandbox("b2"), sandboxQuotas(10)))
	q := sandboxMirrorQuotas
	q.SessionsPerSource = 1000
	var mu sync.Mutex
	var numbers []int32
	item := sluice.PoolItem{PoolID: "eni-1", OwnerID: sluice.SessionNumberPool}
	won := together(t, s, 60, func(i int, s *state.Store) error {
		id := []string{"b1", "b2"}[i%2]
		if i%3 == 0 { // some are taken from the pool by hand
			mine := item
			mine.SandboxID = id
			value, ok, err := s.CheckoutFromPool(ctx, mine, 1, 100, 1000, admitted)
			if err != nil || !ok {
				return errors.Join(err, fmt.Errorf("checked out: %v", ok))
			}
			n, err := strconv.Atoi(value)
			mu.Lock()
			defer mu.Unlock()
			numbers = append(numbers, int32(n))
			return err
		}
		made, err := mirrors(ctx, s, id, "eni-9", q, "eni-1")
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		numbers = append(numbers, made[0].Session.SessionNumber)
		return nil
	}, sluice.KindThrottling)
	slices.Sort(numbers)
	if won < 30 || len(slices.Compact(slices.Clone(numbers))) != won || numbers[won-1] != int32(won) {
		t.Errorf("%d calls got %d", won, numbers)
	}
	targets, err := s.TrafficMirrorTargets(ctx)
	must(t, err)
	if len(targets) != 1 {
		t.Errorf("%d targets for one interface", len(targets))
	}
}

func TestARequestSeesWhatItHasMade(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	must(t, s.CreateSandbox(ctx, sandbox("b1"), sandboxQuotas(10)))
	for _, limit := range []struct {
		code   string
		change func(*sluice.MirrorQuotas)
	}{
		{"TrafficMirrorFilterLimitExceeded", func(q *sluice.MirrorQuotas) { q.Filters = 3 }},
		{"TrafficMirrorFilterRuleLimitExceeded", func(q *sluice.MirrorQuotas) { q.RulesPerFilter = 1 }},
		{"TrafficMirrorSessionLimitExceeded", func(q *sluice.MirrorQuotas) { q.Sessions = 3 }},
		{"TrafficMirrorSessionsPerInterfaceLimitExceeded", func(q *sluice.MirrorQuotas) { q.SessionsPerSource = 1 }},
		{"TrafficMirrorSourcesPerTargetLimitExceeded", func(q *sluice.MirrorQuotas) { q.SourcesPerTarget = 2 }},
	} {
		q := sandboxMirrorQuotas
		limit.change(&q)
		if _, err := mirrors(ctx, s, "b1", "eni-9", q, "eni-1", "eni-2", "eni-1", "eni-3"); sluice.CodeOf(err) != limit.code {
			t.Errorf("%s: %v", limit.code, err)
		}
	}
	made, err := mirrors(ctx, s, "b1", "eni-9", sandboxMirrorQuotas, "eni-1", "eni-2", "eni-1", "eni-3")
	must(t, err)
	filters, targets, sessions, err := s.Mirrors(ctx)
	must(t, err)
	if len(filters) != 4 || len(targets) != 1 || len(sessions) != 4 || len(filters[0].Rules) != 10 {
		t.Errorf("%d filters, %d targets, %d sessions", len(filters), len(targets), len(sessions))
	}
	if _, err := mirrors(ctx, s, "b1", "eni-3", sandboxMirrorQuotas, "eni-4", "eni-5"); err != nil {
		t.Error(err)
	}
	_, err = mirrors(ctx, s, "b1", "eni-8", sandboxMirrorQuotas, "eni-8") // the target of the same request
	if sluice.CodeOf(err) != "InvalidParameterValue" {
		t.Error(err)
	}
	gone, err := s.RemoveSandboxMirrors(ctx, "b1", func(n sluice.TrafficMirrorSession, target sluice.TrafficMirrorTarget) bool {
		return n.NetworkInterfaceID == "eni-1" && target.NetworkInterfaceID == "eni-9"
	})
	must(t, err)
	want := []string{made[0].Session.ID, made[2].Session.ID}
	slices.Sort(want)
	if diff := cmp.Diff(want, []string{gone[0].ID, gone[1].ID}); diff != "" {
		t.Error(diff)
	}
}

func TestASandboxOfManySessionsEnds(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	must(t, s.CreateSandbox(ctx, sandbox("b1", "i-1"), sandboxQuotas(10)))
	q := sandboxMirrorQuotas
	q.SessionsPerSource = 1000
	sources := make([]string, 50)
	for i := range sources {
		sources[i] = "eni-1"
	}
	for range 5 {
		_, err := mirrors(ctx, s, "b1", "eni-9", q, sources...)
		must(t, err)
	}
	end := func(b sluice.Sandbox) sluice.Sandbox {
		b.ActualEnd = time.Unix(1, 0)
		return b
	}
	if err := s.FinishSandbox(ctx, "b1", end); sluice.KindOf(err) != sluice.KindInvalidOperation {
		t.Errorf("finish with sessions: %v", err)
	}
	gone, err := s.RemoveSandboxMirrors(ctx, "b1", nil)
	must(t, err)
	must(t, s.FinishSandbox(ctx, "b1", end))
	filters, targets, sessions, err := s.Mirrors(ctx)
	must(t, err)
	if len(gone) != 250 || len(filters)+len(targets)+len(sessions) != 0 {
		t.Errorf("%d went; %d filters, %d targets and %d sessions stay", len(gone), len(filters), len(targets), len(sessions))
	}
	if tags, err := s.EC2Tags(ctx); err != nil || len(tags) != 0 {
		t.Errorf("tags of what is gone: %v, %v", tags, err)
	}
	must(t, s.CreateSandbox(ctx, sandbox("b2", "i-1"), sandboxQuotas(1))) // an ended one doesn't count
	must(t, s.PurgeSandboxes(ctx, time.Unix(2, 0)))
	all, err := s.Sandboxes(ctx)
	must(t, err)
	if len(all) != 1 || all[0].ID != "b2" {
		t.Errorf("%+v", all)
	}
}

func TestAMemberOfManySessionsGoesWithThem(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	must(t, s.CreateSandbox(ctx, sandbox("b1", "i-1", "i-2", "i-8", "i-9"), sandboxQuotas(10)))
	q := sandboxMirrorQuotas
	q.SessionsPerSource = 1000
	for range 5 {
		_, err := mirrors(ctx, s, "b1", "eni-9", q, slices.Repeat([]string{"eni-1"}, 50)...)
		must(t, err)
	}
	_, err := mirrors(ctx, s, "b1", "eni-9", q, "eni-2")
	must(t, err)
	_, err = mirrors(ctx, s, "b1", "eni-8", q, "eni-1", "eni-2")
	must(t, err)
	without := func(instances ...string) func(b sluice.Sandbox) (sluice.Sandbox, error) {
		return func(b sluice.Sandbox) (sluice.Sandbox, error) {
			b.Members = slices.DeleteFunc(slices.Clone(b.Members), func(m sluice.SandboxMember) bool { return slices.Contains(instances, m.InstanceID) })
			return b, nil
		}
	}
	no := func([]string, string) bool { return false }
	check := func(what string, removed []sluice.TrafficMirrorSession, went, targets, sessions, members int) {
		t.Helper()
		_, tg, ss, err := s.Mirrors(ctx)
		must(t, err)
		b, err := s.Sandbox(ctx, "b1")
		must(t, err)
		if got, want := [4]int{len(removed), len(tg), len(ss), len(b.Members)}, [4]int{went, targets, sessions, members}; got != want {
			t.Errorf("%s: sessions that went, targets, sessions and members are %d, want %d", what, got, want)
		}
	}
	removed, err := s.RemoveSandboxMembers(ctx, "b1", without("i-1"), no)
	must(t, err)
	check("a source", removed, 251, 2, 2, 3)
	refused := errors.New("refused")
	removed, err = s.RemoveSandboxMembers(ctx, "b1", func(b sluice.Sandbox) (sluice.Sandbox, error) { return b, refused }, no)
	if !errors.Is(err, refused) {
		t.Error(err)
	}
	check("nothing", removed, 0, 2, 2, 3)
	removed, err = s.RemoveSandboxMembers(ctx, "b1", without("i-9"), no)
	must(t, err)
	check("a target", removed, 1, 1, 1, 2)
}

func TestOfEndedSandboxesTheLastAreKept(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	for n := range 6 {
		id := fmt.Sprint("b", 9-n)
		must(t, s.CreateSandbox(ctx, sandbox(id), sandboxQuotas(2)))
		must(t, s.SetSandboxData(ctx, id, map[string]string{"a": "b"}, false, sandboxQuotas(1), admitted))
		must(t, s.AddSandboxMessage(ctx, id, "one", sandboxQuotas(1), admitted))
		must(t, s.AddSandboxMessage(ctx, id, "two", sandboxQuotas(1), admitted))
		must(t, s.FinishSandbox(ctx, id, func(b sluice.Sandbox) sluice.Sandbox {
			b.ActualEnd = time.Unix(int64(n), 0)
			return b
		}))
	}
	must(t, s.CreateSandbox(ctx, sandbox("b1"), sandboxQuotas(2)))
	all, err := s.Sandboxes(ctx)
	must(t, err)
	var ids []string
	for _, b := range all {
		ids = append(ids, b.ID)
	}
	if diff := cmp.Diff([]string{"b1", "b4", "b5"}, ids); diff != "" {
		t.Error(diff)
	}
	for id, want := range map[string]int{"b9": 0, "b5": 1 + 3} { // a datum; lines and their numbers
		n := 0
		for _, prefix := range []string{"sandbox-data/", "sandbox-output/", "sandbox-output-line/"} {
			keys, err := s.Keys(ctx, "/sluice/"+prefix+id)
			must(t, err)
			n += len(keys)
		}
		if n != want {
			t.Errorf("%s has %d keys of data and output, want %d", id, n, want)
		}
	}
}

func TestAnEndingSandboxGetsNothingNew(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	must(t, s.CreateSandbox(ctx, sandbox("b1"), sandboxQuotas(10)))
	ended := errors.New("ended")
	refuse := func(sluice.Sandbox) error { return ended }
	if _, err := s.CreateSandboxMirrors(ctx, "b1", make([]sluice.SandboxMirror, 1), sandboxMirrorQuotas, refuse, nil, nil, nil); !errors.Is(err, ended) {
		t.Error(err)
	}
	if _, _, err := s.CheckoutFromPool(ctx, sluice.PoolItem{PoolID: "p", SandboxID: "b1"}, 1, 2, 10, refuse); !errors.Is(err, ended) {
		t.Error(err)
	}
	if err := s.SetSandboxData(ctx, "b1", nil, false, sandboxQuotas(1), refuse); !errors.Is(err, ended) {
		t.Error(err)
	}
	if err := s.AddSandboxMessage(ctx, "b1", "x", sandboxQuotas(1), refuse); !errors.Is(err, ended) {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"sandbox": func() error { _, err := s.Sandbox(ctx, "b"); return err }(),
		"data":    func() error { _, err := s.SandboxData(ctx, "b"); return err }(),
		"output":  func() error { _, err := s.SandboxOutput(ctx, "b"); return err }(),
		"release": s.ReleaseFromPool(ctx, sluice.PoolItem{SandboxID: "b"}, nil),
		"finish":  s.FinishSandbox(ctx, "b", nil),
	} {
		if sluice.KindOf(err) != sluice.KindNotFound {
			t.Errorf("%s of a sandbox that isn't there: %v", name, err)
		}
	}
}

package control_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice"
	"sluice/control"
)

func TestSessionsGoWithTheInterfacesThatTheirOwnerDeletes(t *testing.T) {
	r := newMirrorRig(t)
	var gone []string
	for n := range 3 {
		gone = append(gone, r.session("eni-1", int32(n+1)).ID, r.session("eni-2", int32(n+1)).ID)
	}
	kept := r.session("eni-3", 1)
	await(t, "three sources", func() bool { return len(r.fleet.state().Mirrors) == 3 })
	must(t, r.DeleteInterfaces(t.Context(), nil))
	must(t, r.DeleteInterfaces(t.Context(), []string{"eni-4", "eni-sensor"})) // a target stays
	if all, err := r.TrafficMirrorSessions(t.Context()); err != nil || len(all) != 7 {
		t.Fatalf("%d sessions, %v", len(all), err)
	}
	must(t, r.DeleteInterfaces(t.Context(), []string{"eni-1", "eni-nowhere", "eni-2"}))
	all, err := r.TrafficMirrorSessions(t.Context())
	must(t, err)
	if diff := cmp.Diff([]sluice.TrafficMirrorSession{kept}, all); diff != "" {
		t.Error(diff)
	}
	await(t, "one source", func() bool { return len(r.fleet.state().Mirrors) == 1 })
	if targets, err := r.TrafficMirrorTargets(t.Context()); err != nil || len(targets) != 1 {
		t.Errorf("targets %v, %v", targets, err)
	}
	for _, id := range gone {
		refused(t, r.DeleteTrafficMirrorSession(t.Context(), id, false), sluice.KindNotFound, "The traffic mirror session '"+id+"' does not exist")
	}
	r.session("eni-1", 1) // its number is free
	must(t, r.DeleteTrafficMirrorSession(t.Context(), kept.ID, false))
}

func TestManyInterfacesAreDeletedAtOnce(t *testing.T) {
	inv := mirrored()
	var ids []string
	for n := range 450 {
		i := inv.Interfaces[3]
		i.ID = fmt.Sprint("eni-many", n)
		ids = append(ids, i.ID)
		inv.Interfaces = append(inv.Interfaces, i)
	}
	r := newMirrorRig(t, func(o *control.Options) { o.Quotas.Mirror.SourcesPerTarget = 1000 })
	r.inv.set(inv)
	for _, id := range ids {
		r.session(id, 1)
	}
	must(t, r.DeleteInterfaces(t.Context(), ids))
	if all, err := r.TrafficMirrorSessions(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%d sessions remain, %v", len(all), err)
	}
}

func TestASandboxGetsTheNumbersOfDeletedSessionsBack(t *testing.T) {
	r := newSandboxRig(t)
	b := r.sandbox("Tap")
	first := r.mirror(b, tap("eni-1", "eni-sensor", 5))
	must(t, r.DeleteInterfaces(t.Context(), []string{"eni-1"}))
	second := r.mirror(b, tap("eni-1", "eni-sensor", 5))
	if first[0] == second[0] || r.number(second[0]) != 5 {
		t.Errorf("session %s, then %s with number %d", first[0], second[0], r.number(second[0]))
	}
	r.end(b)
	r.count("after the end", 0, 0, 0)
}

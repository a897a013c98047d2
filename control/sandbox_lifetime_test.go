package control_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice"
	"sluice/control"
)

// without is an inventory that lacks an interface.
func without(nic string) sluice.Inventory {
	inv := instances()
	inv.Interfaces = slices.DeleteFunc(inv.Interfaces, func(n sluice.Interface) bool { return n.ID == nic })
	return inv
}

func TestResourcesGoWithTheirMirroringOrStayWithIt(t *testing.T) {
	for _, afterwards := range []bool{false, true} {
		r := newSandboxRig(t)
		b := r.sandbox("Tap")
		r.mirror(b, tap("eni-1", "eni-sensor", 0), tap("eni-2", "eni-sensor", 0))
		r.faults.afterwards = afterwards
		r.faults.sandboxes.Store(1)
		if err := r.RemoveResources(t.Context(), dana, b.ID, []string{"i-1"}); err == nil {
			t.Error("the fault is not told")
		}
		r.stop()
		r.start()
		members, sessions := len(r.read(b).Resources), 2
		if afterwards {
			sessions = 1
		}
		if members != 2+sessions {
			t.Errorf("%d members after a fault that was written: %v", members, afterwards)
		}
		r.count("sessions of the members", sessions, 1, sessions)
	}
}

func TestTheMirroringOfAnInterfaceThatIsAwayGoesWithItsInstance(t *testing.T) {
	for nic, instance := range map[string]string{"eni-1": "i-1", "eni-sensor": "i-sensor"} {
		r := newSandboxRig(t)
		b := r.sandbox("Tap")
		r.mirror(b, tap("eni-1", "eni-sensor", 0))
		inv := without(nic)
		inv.Instances = slices.DeleteFunc(inv.Instances, func(i sluice.Instance) bool { return i.ID == instance })
		r.inv.set(inv)
		must(t, r.RemoveResources(t.Context(), dana, b.ID, []string{instance}))
		targets := 1
		if nic == "eni-sensor" {
			targets = 0 // it stood for an interface of an instance that went
		}
		r.count("mirroring from or to "+nic, 0, targets, 0)
		r.inv.set(instances())
		other := r.sandbox("Tap")
		r.mirror(other, tap("eni-2", "eni-spare", 0))
		if m := r.fleet.state().Mirrors; len(m) != 1 || m[0].Interface.ID != "eni-2" {
			t.Errorf("when %s is back, the agents are to mirror %+v", nic, m)
		}
	}
}

func TestASessionThatWasMovedToAnInstanceGoesWithIt(t *testing.T) {
	r := newSandboxRig(t)
	b := r.sandbox("Tap")
	moved := r.mirror(b, tap("eni-1", "eni-sensor", 0))[0]
	r.mirror(b, tap("eni-2", "eni-spare", 0))
	r.moveTo(moved, "eni-spare")
	must(t, r.RemoveResources(t.Context(), dana, b.ID, []string{"i-sensor"}))
	r.count("the moved session stays when its first target goes", 2, 1, 2)
	must(t, r.RemoveResources(t.Context(), dana, b.ID, []string{"i-spare"}))
	r.count("both go with what they mirror to", 0, 0, 0)
}

// moveTo gives a session the target that stands for an interface, as the EC2 API does.
func (r *sandboxRig) moveTo(session, nic string) {
	r.t.Helper()
	targets, err := r.TrafficMirrorTargets(r.t.Context())
	must(r.t, err)
	for _, target := range targets {
		if target.NetworkInterfaceID == nic {
			_, err := r.ModifyTrafficMirrorSession(r.t.Context(), control.ModifyTrafficMirrorSessionInput{ID: session, MirrorSessionFields: control.MirrorSessionFields{TargetID: &target.ID}})
			must(r.t, err)
			return
		}
	}
	r.t.Fatalf("no target stands for %s", nic)
}

// answersWhenFollowed checks that a call returns only when held agents have followed.
func (r *sandboxRig) answersWhenFollowed(what string, call func() error) {
	r.t.Helper()
	r.fleet.hold()
	answered := make(chan error, 1)
	go func() { answered <- call() }()
	await(r.t, what+": nothing to mirror", func() bool { return len(r.fleet.state().Mirrors) == 0 })
	select {
	case err := <-answered:
		r.t.Errorf("%s has answered before the agents followed: %v", what, err)
		r.fleet.release()
		return
	case <-time.After(50 * time.Millisecond): // it has no reason to answer later than that
	}
	r.fleet.release()
	must(r.t, <-answered)
}

func TestWhatRemovesMirroringAwaitsTheAgents(t *testing.T) {
	r := newSandboxRig(t)
	b := r.sandbox("Tap")
	r.mirror(b, tap("eni-1", "eni-sensor", 0))
	r.answersWhenFollowed("RemoveResources", func() error { return r.RemoveResources(t.Context(), dana, b.ID, []string{"i-1"}) })
	r.mirror(b, tap("eni-2", "eni-sensor", 0))
	r.answersWhenFollowed("RemoveMirroring", func() error {
		_, err := r.RemoveMirroring(t.Context(), dana, b.ID, []control.RemoveMirroringAction{{ActionID: "r", TargetNIC: "eni-sensor"}})
		return err
	})
	r.mirror(b, tap("eni-2", "eni-sensor", 0))
	r.answersWhenFollowed("TerminateSandbox", func() error { return r.TerminateSandbox(t.Context(), dana, b.ID) })
}

// TestASandboxThatEndsWhileItsMirroringIsMade leaves nothing of it, and says so to both:
// agents are slow to follow, so that the creation waits for them meanwhile.
func TestASandboxThatEndsWhileItsMirroringIsMade(t *testing.T) {
	for name, end := range map[string]func(*sandboxRig, control.Sandbox) error{
		"ended":      func(r *sandboxRig, b control.Sandbox) error { return r.EndSandbox(t.Context(), dana, b.ID) },
		"terminated": func(r *sandboxRig, b control.Sandbox) error { return r.TerminateSandbox(t.Context(), dana, b.ID) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newSandboxRig(t)
			b := r.sandbox("Tap")
			r.fleet.hold()
			created := make(chan struct{})
			go func() {
				defer close(created)
				r.mirrorFails(b, "Traffic mirroring was removed again: the reservation has ended", tap("eni-1", "eni-sensor", 0), tap("eni-2", "eni-spare", 7))
			}()
			await(t, "two sources", func() bool { return len(r.fleet.state().Mirrors) == 2 })
			ended := make(chan error, 1)
			go func() { ended <- end(r, b) }()
			began := time.Now()
			<-created
			if waited := time.Since(began); waited > 3*time.Second {
				t.Errorf("the creation waited %s for agents that have nothing to do", waited)
			}
			r.fleet.release()
			must(t, <-ended)
			await(t, "the end of the sandbox", func() bool { return r.read(b).Status == control.SandboxCompleted })
			r.count("after the end", 0, 0, 0)
			r.mirror(r.sandbox("Tap"), tap("eni-2", "eni-spare", 7)) // the number is free
		})
	}
}

func TestTerminateAwaitsWhatAnotherHasEnded(t *testing.T) {
	r := newSandboxRig(t)
	for range 20 { // now one, now the other is faster to remove the sessions
		b := r.sandbox("Tap")
		r.mirror(b, tap("eni-1", "eni-sensor", 0))
		must(t, r.EndSandbox(t.Context(), dana, b.ID))
		must(t, r.TerminateSandbox(t.Context(), dana, b.ID))
		if m := r.fleet.state().Mirrors; len(m) != 0 {
			t.Fatalf("a sandbox that was terminated mirrors %+v", m)
		}
	}
}

func TestASandboxEndsWhenItsTimeIsOver(t *testing.T) {
	r := newSandboxRig(t, func(o *control.Options) { o.Clock = time.Now })
	now := time.Now()
	end := now.Add(400 * time.Millisecond)
	for _, b := range []sluice.Sandbox{{ID: "a", End: now.Add(time.Hour)}, {ID: "b", End: end}} { // shorter than anybody may ask for
		b.Status, b.Owner, b.Start = control.SandboxStarted, "dana", now
		must(t, r.store.CreateSandbox(t.Context(), b, sluice.SandboxQuotas{Sandboxes: 10}))
	}
	r.inv.set(instances()) // Run looks again
	await(t, "the end", func() bool { return r.read(control.Sandbox{ID: "b"}).Status == control.SandboxCompleted })
	if late := r.read(control.Sandbox{ID: "b"}).ActualEnd.Sub(end); late < 0 || late > 5*time.Second {
		t.Errorf("it ended %s after its time", late)
	}
	if got := r.read(control.Sandbox{ID: "a"}); got.Status != control.SandboxStarted {
		t.Errorf("%+v", got)
	}
}

func TestARollbackLeavesATargetThatWasThereBefore(t *testing.T) {
	r := newSandboxRig(t)
	b := r.sandbox("Tap")
	id := r.mirror(b, tap("eni-1", "eni-spare", 0))[0]
	_, err := r.RemoveMirroring(t.Context(), dana, b.ID, []control.RemoveMirroringAction{{ActionID: "r", SessionID: id}})
	must(t, err)
	_, before, _ := r.objects()
	r.fleet.hold()
	go func() {
		await(t, "a source", func() bool { return len(r.fleet.state().Mirrors) == 1 })
		revision := r.fleet.state().Revision
		r.fleet.say("host-1", func(s *sluice.AgentStatus) {
			s.Revision, s.Mirrors = revision, []sluice.MirrorSourceStatus{{InterfaceID: "eni-1", Problem: "no TCX"}}
		})
	}()
	r.mirrorFails(b, "Source eni-1 can't be mirrored by the agent of its host host-1: no TCX. It takes Linux 6.6 or later with eBPF on TCX",
		tap("eni-1", "eni-spare", 0), tap("eni-1", "eni-sensor", 0))
	_, after, _ := r.objects()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the targets of before: %s", diff)
	}
}

func TestEC2TakesNoNumberThatASandboxHolds(t *testing.T) {
	r := newSandboxRig(t)
	b := r.sandbox("Tap")
	target, err := r.CreateTrafficMirrorTarget(t.Context(), control.CreateTrafficMirrorTargetInput{NetworkInterfaceID: "eni-sensor"})
	must(t, err)
	filter, err := r.CreateTrafficMirrorFilter(t.Context(), control.CreateTrafficMirrorFilterInput{})
	must(t, err)
	create := func(number int32) (sluice.TrafficMirrorSession, error) {
		return r.CreateTrafficMirrorSession(t.Context(), control.CreateTrafficMirrorSessionInput{NetworkInterfaceID: "eni-1",
			MirrorSessionFields: control.MirrorSessionFields{TargetID: &target.ID, FilterID: &filter.ID, SessionNumber: &number}})
	}
	modify := func(id string, number int32) error {
		_, err := r.ModifyTrafficMirrorSession(t.Context(), control.ModifyTrafficMirrorSessionInput{ID: id,
			MirrorSessionFields: control.MirrorSessionFields{SessionNumber: &number, Description: new("d")}})
		return err
	}
	_, err = r.CheckoutFromPool(t.Context(), dana, control.PoolRequest{Kind: control.PoolSpecificNumber, Value: "5", SandboxID: b.ID, PoolID: "eni-1", OwnerID: sluice.SessionNumberPool})
	must(t, err)
	taken := "Session number 5 is already being used on eni-1"
	_, err = create(5)
	refused(t, err, sluice.KindInvalidRequest, taken)
	s, err := create(50)
	must(t, err)
	refused(t, modify(s.ID, 5), sluice.KindInvalidRequest, taken)
	must(t, modify(s.ID, 6))
	// Whoever has a number keeps it, whatever a pool of another owner says of it.
	_, err = r.CheckoutFromPool(t.Context(), dana, control.PoolRequest{Kind: control.PoolSpecificNumber, Value: "6", SandboxID: b.ID, PoolID: "eni-1", OwnerID: "another"})
	must(t, err)
	must(t, modify(s.ID, 6))
	r.end(b)
	must(t, modify(s.ID, 5))
}

func TestOneUserLeavesRoomForOthers(t *testing.T) {
	r := newSandboxRig(t, func(o *control.Options) { o.Quotas.Sandboxes.PerOwner, o.Quotas.Sandboxes.Sandboxes = 2, 5 })
	create := func(u control.SandboxUser, owner string) (control.Sandbox, error) {
		return r.CreateSandbox(t.Context(), u, control.CreateSandboxInput{Duration: 366 * 24 * time.Hour, Owner: owner})
	}
	first := r.sandbox("")
	r.sandbox("")
	_, err := create(dana, "Dana")
	refused(t, err, sluice.KindLimitExceeded, "User 'Dana' has 2 sandboxes already, and may not have more; end one.")
	_, err = create(erin, "")
	must(t, err)
	_, err = create(admin, "dana") // an admin may give her more
	must(t, err)
	r.end(first)
	_, err = create(dana, "")
	refused(t, err, sluice.KindLimitExceeded, "User 'dana' has 2 sandboxes already, and may not have more; end one.")
	_, err = create(admin, "")
	must(t, err)
	_, err = create(admin, "")
	must(t, err)
	_, err = create(admin, "")
	refused(t, err, sluice.KindLimitExceeded, "There are 5 sandboxes already, and no more can be; end one.")
}

func TestEndedSandboxesOfOneUserDoNotPushOutThoseOfOthers(t *testing.T) {
	r := newSandboxRig(t, func(o *control.Options) { o.Quotas.Sandboxes.PerOwner, o.Quotas.Sandboxes.Sandboxes = 2, 5 })
	other, err := r.CreateSandbox(t.Context(), erin, control.CreateSandboxInput{Duration: time.Hour})
	must(t, err)
	must(t, r.TerminateSandbox(t.Context(), erin, other.ID))
	for range 10 {
		r.clock.advance(time.Second)
		must(t, r.TerminateSandbox(t.Context(), dana, r.sandbox("").ID))
	}
	if _, err := r.Sandbox(t.Context(), erin, other.ID); err != nil {
		t.Error(err)
	}
	all, err := r.store.Sandboxes(t.Context())
	must(t, err)
	if len(all) != 1+3 { // as the last one was made, two that had ended were kept
		t.Errorf("%d sandboxes are kept", len(all))
	}
}

func TestATargetGoesWithTheLastSessionThatWasMovedToIt(t *testing.T) {
	for name, last := range map[string]func(r *sandboxRig, session string, a control.Sandbox){
		"the sandbox of the session ends": func(r *sandboxRig, _ string, a control.Sandbox) { r.end(a) },
		"EC2 deletes the session": func(r *sandboxRig, session string, a control.Sandbox) {
			must(r.t, r.DeleteTrafficMirrorSession(r.t.Context(), session, false))
			r.count("the target of a living sandbox stays", 1, 1, 0)
			r.end(a)
		},
		"EC2 moves the session back": func(r *sandboxRig, session string, a control.Sandbox) {
			r.moveTo(session, "eni-sensor")
			r.count("the target of a living sandbox stays", 1, 1, 1)
			r.end(a)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newSandboxRig(t)
			a, b := r.sandbox("Tap"), r.sandbox("Tap")
			session := r.mirror(a, tap("eni-1", "eni-sensor", 0))[0]
			r.mirror(b, tap("eni-2", "eni-spare", 0))
			r.moveTo(session, "eni-spare")
			r.end(b)
			r.count("a session of the other sandbox uses the target", 1, 2, 1)
			last(r, session, a)
			r.count("after both ended", 0, 0, 0)
		})
	}
}

func TestAppsGetTheirRulesTogetherOrNotAtAll(t *testing.T) {
	r := newSandboxRig(t)
	b := r.sandbox("Lab/Closed")
	web, sensor := "web-"+b.ID[32:], "sensor-"+b.ID[32:]
	rule := control.AppSecurityRule{FromPort: "4789", ToPort: "4789", Protocol: "udp", Source: "10.0.1.0/24"}
	group := func(app, subnet string, rules ...control.AppSecurityRule) control.AppSecurityGroups {
		return control.AppSecurityGroups{App: app, Subnets: []control.AppSubnetRules{{SubnetID: subnet, Rules: rules}}}
	}
	set := func(groups ...control.AppSecurityGroups) []control.AppSecurityResult {
		t.Helper()
		got, err := r.SetAppSecurityGroups(t.Context(), dana, b.ID, groups)
		must(t, err)
		return got
	}
	failed := func(app, why string) control.AppSecurityResult {
		return control.AppSecurityResult{App: app, Error: "Setting custom app security rules failed for '" + app + "' with error '" + why + "'."}
	}
	got := set(group(sensor, "subnet-a", rule), group(web, "subnet-z", rule), group("x", "subnet-a"))
	want := []control.AppSecurityResult{failed(sensor, "nothing is set, as another App of the request is refused"),
		failed(web, "the App has no network interface in subnet 'subnet-z'"), failed("x", "App 'x' is not in reservation "+b.ID)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := r.CreateMirroring(t.Context(), dana, b.ID, []control.CreateMirroringAction{tap("eni-1", "eni-sensor", 0)}); err != nil || got[0].Success {
		t.Errorf("a rule of a request that failed is in force: %+v, %v", got, err)
	}
	got = set(group(sensor, "subnet-a", rule), group(web, "subnet-a"))
	if !got[0].Success || !got[1].Success || got[0].Error != "" {
		t.Errorf("%+v", got)
	}
	r.mirror(b, tap("eni-1", "eni-sensor", 0))
	_, err := r.SetAppSecurityGroups(t.Context(), dana, b.ID, make([]control.AppSecurityGroups, 257))
	refusedBy(t, err, control.SandboxErrorGeneral, "A request sets the rules of at most 256 Apps; this one has 257.")
	if got := set(group(sensor, "subnet-a", make([]control.AppSecurityRule, 61)...)); !strings.Contains(got[0].Error, "61 rules in subnet subnet-a, at most 60 fit") {
		t.Errorf("%+v", got)
	}
	all := r.sandbox("Sources")
	var groups []control.AppSecurityGroups
	for _, m := range r.read(all).Resources {
		groups = append(groups, group(m.Name, "subnet-a", slices.Repeat([]control.AppSecurityRule{rule}, 60)...))
	}
	if got, err := r.SetAppSecurityGroups(t.Context(), dana, all.ID, groups); err != nil || !strings.Contains(got[8].Error, "would have 540 rules, at most 500 fit") || got[0].Success {
		t.Errorf("%+v, %v", got, err)
	}
}

package control_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice"
	"sluice/control"
)

var (
	dana  = control.SandboxUser{Name: "dana", Domain: "Global"}
	erin  = control.SandboxUser{Name: "erin", Domain: "Global"}
	admin = control.SandboxUser{Name: "admin", Domain: "Global", Admin: true}
)

// instances is mirrored with an instance for each source and each receiver: i-1 to i-12,
// i-six, i-sensor and i-spare, whose names are those of the devices.
func instances() sluice.Inventory {
	inv := mirrored()
	for k := range inv.Interfaces {
		n := &inv.Interfaces[k]
		n.InstanceID = "i-" + strings.TrimPrefix(n.ID, "eni-")
		inv.Instances = append(inv.Instances, sluice.Instance{ID: n.InstanceID, Name: "host" + strings.TrimPrefix(n.ID, "eni-"),
			HostID: n.HostID, VpcID: n.VpcID, SubnetID: n.SubnetID, AvailabilityZone: n.AvailabilityZone, InterfaceIDs: []string{n.ID}})
	}
	return inv
}

// sandboxRig is a rig with blueprints.
type sandboxRig struct{ *rig }

func newSandboxRig(t *testing.T, change ...func(*control.Options)) *sandboxRig {
	t.Helper()
	return newSandboxRigIn(t, t.TempDir(), change...)
}

func newSandboxRigIn(t *testing.T, dir string, change ...func(*control.Options)) *sandboxRig {
	t.Helper()
	app := func(name, instance string) control.BlueprintApp {
		return control.BlueprintApp{Name: name, Instance: instance, AllowAllSandboxTraffic: true, Shared: true}
	}
	var sources []control.BlueprintApp
	for n := range 12 {
		sources = append(sources, app(fmt.Sprint("source", n+1), fmt.Sprint("i-", n+1)))
	}
	tap := []control.BlueprintApp{app("web", "i-1"), app("db", "i-2"), app("sensor", "hostsensor"), app("spare", "i-spare")}
	closed := []control.BlueprintApp{app("web", "i-1"), {Name: "sensor", Instance: "i-sensor", Shared: true}}
	own := []control.BlueprintApp{{Name: "web", Instance: "i-1"}}
	options := append([]func(*control.Options){func(o *control.Options) {
		o.Blueprints = []control.Blueprint{
			{Path: "Tap", Apps: tap}, {Path: "Lab/Closed", Apps: closed}, {Path: "Own", Apps: own},
			{Path: "Sources", Apps: append(sources, app("sensor", "i-sensor"))},
			{Path: "Lost", Apps: []control.BlueprintApp{app("x", "i-lost")}},
		}
	}}, change...)
	r := &sandboxRig{newRigIn(t, dir, options...)}
	r.inv.set(instances())
	return r
}

func (r *sandboxRig) sandbox(blueprint string) control.Sandbox {
	r.t.Helper()
	b, err := r.CreateSandbox(r.t.Context(), dana, control.CreateSandboxInput{Name: "tap lab", Duration: time.Hour, Blueprint: blueprint})
	must(r.t, err)
	return b
}

func (r *sandboxRig) read(b control.Sandbox) control.Sandbox {
	r.t.Helper()
	b, err := r.Sandbox(r.t.Context(), dana, b.ID)
	must(r.t, err)
	return b
}

// end ends a sandbox and waits until it has ended.
func (r *sandboxRig) end(b control.Sandbox) {
	r.t.Helper()
	must(r.t, r.EndSandbox(r.t.Context(), dana, b.ID))
	await(r.t, "the end of a sandbox", func() bool { return r.read(b).Status == control.SandboxCompleted })
}

// webRules are one rule each way.
func webRules() []control.MirroringRule {
	port := &control.MirroringPorts{From: new(int32(443)), To: new(int32(443))}
	return []control.MirroringRule{
		{Direction: sluice.TrafficIngress, Protocol: 6, DestinationPorts: port, SourceCIDR: "192.168.0.124/24"},
		{Direction: sluice.TrafficEgress, Protocol: 6, SourcePorts: port},
	}
}

func tap(source, target string, number int32) control.CreateMirroringAction {
	return control.CreateMirroringAction{ActionID: "a-" + source, SourceNIC: source, TargetNIC: target, SessionNumber: number, Rules: webRules()}
}

// mirror makes mirroring that has to succeed, and returns the ids of the sessions.
func (r *sandboxRig) mirror(b control.Sandbox, actions ...control.CreateMirroringAction) []string {
	r.t.Helper()
	results, err := r.CreateMirroring(r.t.Context(), dana, b.ID, actions)
	must(r.t, err)
	var ids []string
	for i, got := range results {
		if got.ActionID != actions[i].ActionID || !got.Success || got.Info != "Success" || got.Error != "" || !strings.HasPrefix(got.SessionID, "tms-") {
			r.t.Fatalf("result %d: %+v", i, got)
		}
		ids = append(ids, got.SessionID)
	}
	return ids
}

// mirrorFails makes mirroring whose results all have to tell of a failure.
func (r *sandboxRig) mirrorFails(b control.Sandbox, want string, actions ...control.CreateMirroringAction) {
	r.t.Helper()
	results, err := r.CreateMirroring(r.t.Context(), dana, b.ID, actions)
	if err != nil {
		r.t.Errorf("error %v, want results that say %q", err, want)
		return
	}
	for i, got := range results {
		if got != (control.MirroringResult{ActionID: actions[i].ActionID, Info: want, Error: want}) {
			r.t.Errorf("result %d: %+v\nwant a failure: %s", i, got, want)
		}
	}
}

// refusedBy checks the code and a part of the text of an error.
func refusedBy(t testing.TB, err error, code int, text string) {
	t.Helper()
	e, ok := err.(*control.SandboxError)
	if !ok || e.Code != code || !strings.Contains(e.Message, text) {
		t.Errorf("error %v\nwant code %d with %q", err, code, text)
	}
}

// objects are the ids of all filters, targets and sessions.
func (r *sandboxRig) objects() (filters, targets, sessions []string) {
	r.t.Helper()
	f, t, s, err := r.store.Mirrors(r.t.Context())
	must(r.t, err)
	for _, f := range f {
		filters = append(filters, f.ID)
	}
	for _, t := range t {
		targets = append(targets, t.ID)
	}
	for _, s := range s {
		sessions = append(sessions, s.ID)
	}
	return filters, targets, sessions
}

// count checks how many filters, targets and sessions there are.
func (r *sandboxRig) count(what string, filters, targets, sessions int) {
	r.t.Helper()
	f, t, s := r.objects()
	if got, want := [3]int{len(f), len(t), len(s)}, [3]int{filters, targets, sessions}; got != want {
		r.t.Errorf("%s: %d filters, targets and sessions, want %d", what, got, want)
	}
}

// number is the number of a session, 0 where there is none.
func (r *sandboxRig) number(session string) int32 {
	r.t.Helper()
	all, err := r.TrafficMirrorSessions(r.t.Context())
	must(r.t, err)
	for _, s := range all {
		if s.ID == session {
			return s.SessionNumber
		}
	}
	return 0
}

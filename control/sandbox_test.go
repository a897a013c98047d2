package control_test

import (
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sluice"
	"sluice/control"
)

func TestASandboxShowsItsRealHosts(t *testing.T) {
	r := newSandboxRig(t)
	b := r.sandbox("tap")
	digits := b.ID[32:]
	start := r.clock.Now()
	resource := func(name, app, instance, nic, address string) control.SandboxResource {
		return control.SandboxResource{Name: name, Address: address, Family: "CS_GenericAppFamily", Model: "Generic App", AppName: app, Shared: true, SandboxID: b.ID,
			VM: &control.VMDetails{InstanceID: instance, Provider: "AWS", Data: []control.NameValue{{"platform", "linux"}, {"VPC ID", vpc}, {"Availability Zone", zoneA}},
				Interfaces: []control.VMNetInterface{{ID: nic, SubnetID: "subnet-a", MAC: "0a:00:00:00:00:01", Address: address}}}}
	}
	want := control.Sandbox{
		ID: b.ID, Name: "tap lab", Owner: "dana", Domain: "Global", Blueprint: "Tap", Start: start, End: start.Add(time.Hour), Created: start, Modified: start,
		Status: "Started", Provisioning: "Ready",
		Resources: []control.SandboxResource{
			resource("web-"+digits, "web", "i-1", "eni-1", "10.0.1.11"), resource("db-"+digits, "db", "i-2", "eni-2", "10.0.1.12"),
			resource("sensor-"+digits, "sensor", "i-sensor", "eni-sensor", "10.0.1.200"), resource("spare-"+digits, "spare", "i-spare", "eni-spare", "10.0.1.201"),
		},
		Services: []control.SandboxService{{Name: "Subnet", Alias: "subnet-a", Attributes: []control.NameValue{{"Subnet Id", "subnet-a"}, {"Allocated CIDR", "10.0.1.0/24"}}}},
	}
	if diff := cmp.Diff(want, b); diff != "" {
		t.Error(diff)
	}
	r.stop()
	r.start()
	again, err := r.Sandbox(t.Context(), dana, " "+strings.ToUpper(b.ID))
	must(t, err)
	if diff := cmp.Diff(want, again, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("after a restart: %s", diff)
	}
	got, err := r.Resource(t.Context(), dana, "WEB-"+digits)
	must(t, err)
	if diff := cmp.Diff(want.Resources[0], got); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]string{"aws": "AWS CS_CloudProvider", "i-3": "host3 CS_GenericAppFamily", "host3": "host3 CS_GenericAppFamily"} {
		if got, err := r.Resource(t.Context(), dana, name); err != nil || got.Name+" "+got.Family != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	_, err = r.Resource(t.Context(), erin, "web-"+digits)
	refusedBy(t, err, control.SandboxErrorNotFound, "Could not find resource 'web-"+digits+"'.")
	inv := instances()
	inv.Instances = nil
	r.inv.set(inv)
	if vm := r.read(b).Resources[0].VM; vm.InstanceID != "i-1" || vm.Interfaces != nil {
		t.Errorf("an instance that is gone: %+v", vm)
	}
}

func TestWhatASandboxIsAskedForHasToMakeSense(t *testing.T) {
	r := newSandboxRig(t, func(o *control.Options) { o.Quotas.Sandboxes.Sandboxes = 2 })
	create := func(u control.SandboxUser, in control.CreateSandboxInput) error {
		_, err := r.CreateSandbox(t.Context(), u, in)
		return err
	}
	refusedBy(t, create(dana, control.CreateSandboxInput{Duration: time.Hour, Blueprint: "Nope"}), control.SandboxErrorNotFound, "Could not find blueprint 'Nope'.")
	refusedBy(t, create(dana, control.CreateSandboxInput{Duration: time.Hour, Blueprint: "Lost"}), control.SandboxErrorNotFound, "Could not find instance 'i-lost' of App 'x' of blueprint 'Lost'.")
	refusedBy(t, create(dana, control.CreateSandboxInput{}), control.SandboxErrorGeneral, "durationInMinutes must be between 1 and 527040.")
	refusedBy(t, create(dana, control.CreateSandboxInput{Duration: time.Hour, Owner: "erin"}), control.SandboxErrorGeneral, "User 'dana' may not create a reservation for 'erin'.")
	must(t, create(admin, control.CreateSandboxInput{Duration: time.Hour, Owner: "erin"}))
	must(t, create(dana, control.CreateSandboxInput{Duration: time.Hour, Owner: "DANA", Blueprint: "Own"}))
	refused(t, create(dana, control.CreateSandboxInput{Duration: time.Hour}), sluice.KindLimitExceeded, "There are 2 sandboxes already, and no more can be; end one.")
	all, err := r.Sandboxes(t.Context(), erin, "")
	must(t, err)
	if len(all) != 1 || all[0].Owner != "erin" || all[0].Provisioning != "Not Run" {
		t.Errorf("erin sees %+v", all)
	}
	all, err = r.Sandboxes(t.Context(), admin, "dana")
	must(t, err)
	if len(all) != 1 || all[0].Owner != "DANA" {
		t.Errorf("admin sees of dana %+v", all)
	}
}

func TestOnlyTheOwnerThePermittedAndAdminsAct(t *testing.T) {
	r := newSandboxRig(t)
	b := r.sandbox("Tap")
	ctx := t.Context()
	calls := map[string]func(u control.SandboxUser) error{
		"details": func(u control.SandboxUser) error { _, err := r.Sandbox(ctx, u, b.ID); return err },
		"extend":  func(u control.SandboxUser) error { return r.ExtendSandbox(ctx, u, b.ID, time.Minute) },
		"users":   func(u control.SandboxUser) error { return r.AddPermittedUsers(ctx, u, b.ID, nil) },
		"add":     func(u control.SandboxUser) error { return r.AddResources(ctx, u, b.ID, nil, true) },
		"remove":  func(u control.SandboxUser) error { return r.RemoveResources(ctx, u, b.ID, nil) },
		"mirror": func(u control.SandboxUser) error {
			_, err := r.CreateMirroring(ctx, u, b.ID, []control.CreateMirroringAction{tap("eni-x", "eni-y", 0)})
			return err
		},
		"unmirror": func(u control.SandboxUser) error { _, err := r.RemoveMirroring(ctx, u, b.ID, nil); return err },
		"checkout": func(u control.SandboxUser) error {
			_, err := r.CheckoutFromPool(ctx, u, control.PoolRequest{Kind: control.PoolNextNumber, SandboxID: b.ID, PoolID: "p", Start: 1, End: 99})
			return err
		},
		"release": func(u control.SandboxUser) error {
			return r.ReleaseFromPool(ctx, u, control.PoolRelease{SandboxID: b.ID})
		},
		"groups": func(u control.SandboxUser) error { _, err := r.SetAppSecurityGroups(ctx, u, b.ID, nil); return err },
		"data":   func(u control.SandboxUser) error { _, err := r.SandboxData(ctx, u, b.ID); return err },
		"set":    func(u control.SandboxUser) error { return r.SetSandboxData(ctx, u, b.ID, nil) },
		"clear":  func(u control.SandboxUser) error { return r.ClearSandboxData(ctx, u, b.ID) },
		"write":  func(u control.SandboxUser) error { return r.WriteMessage(ctx, u, b.ID, "hello") },
		"output": func(u control.SandboxUser) error { _, err := r.SandboxOutput(ctx, u, b.ID); return err },
	}
	ends := map[string]func(u control.SandboxUser) error{
		"end":       func(u control.SandboxUser) error { return r.EndSandbox(ctx, u, b.ID) },
		"terminate": func(u control.SandboxUser) error { return r.TerminateSandbox(ctx, u, b.ID) },
	}
	frank := control.SandboxUser{Name: "frank", Domain: "Global"}
	must(t, r.AddPermittedUsers(ctx, dana, b.ID, []string{"frank", "FRANK", "dana"}))
	if got := r.read(b).PermittedUsers; len(got) != 1 {
		t.Errorf("permitted: %v", got)
	}
	for _, set := range []map[string]func(control.SandboxUser) error{calls, ends} {
		for name, call := range set {
			refusedBy(t, call(erin), control.SandboxErrorGeneral, "User 'erin' is not permitted to act on reservation '"+b.ID+"'.")
			for _, u := range []control.SandboxUser{dana, frank, admin} {
				if err := call(u); err != nil {
					t.Errorf("%s by %s: %v", name, u.Name, err)
				}
			}
		}
	}
	const id = "11111111-2222-3333-4444-555555555555"
	_, err := r.Sandbox(ctx, dana, id)
	refusedBy(t, err, control.SandboxErrorGeneral, "Reservation with id '"+id+"' not exists.")
}

func TestAnInstanceBelongsToOneSandboxUnlessAllShareIt(t *testing.T) {
	r := newSandboxRig(t)
	b := r.sandbox("Own")
	_, err := r.CreateSandbox(t.Context(), dana, control.CreateSandboxInput{Duration: time.Hour, Blueprint: "Tap"})
	refused(t, err, sluice.KindInvalidOperation, "Resource '"+"web-"+err.Error()[strings.Index(err.Error(), "web-")+4:][:4]+"' is reserved by reservation "+b.ID+", and is not shared by both.")
	other := r.sandbox("")
	if err := r.AddResources(t.Context(), dana, other.ID, []string{"i-3", "host1"}, true); err == nil || !strings.Contains(err.Error(), "Resource 'host1' is reserved by reservation "+b.ID) {
		t.Error(err)
	}
	if got := r.read(other).Resources; got != nil {
		t.Errorf("some were added: %+v", got)
	}
	refusedBy(t, r.AddResources(t.Context(), dana, other.ID, []string{"i-3", "nope"}, true), control.SandboxErrorNotFound, "Could not find resource 'nope'.")
	r.end(b)
	must(t, r.AddResources(t.Context(), dana, other.ID, []string{"i-1", "host1", "i-3", "i-sensor"}, false))
	r.mirror(other, tap("eni-1", "eni-sensor", 0), tap("eni-3", "eni-sensor", 0))
	must(t, r.RemoveResources(t.Context(), dana, other.ID, []string{"host1"}))
	r.count("what was mirrored from it goes with it", 1, 1, 1)
	refusedBy(t, r.RemoveResources(t.Context(), dana, other.ID, []string{"i-3", "i-1"}), control.SandboxErrorNotFound, "Resource 'i-1' is not in reservation '"+other.ID+"'.")
	r.sandbox("Own")
}

func TestOfManyThatReserveAnInstanceOneGetsIt(t *testing.T) {
	r := newSandboxRig(t)
	var won sync.Map
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if b, err := r.CreateSandbox(t.Context(), dana, control.CreateSandboxInput{Duration: time.Hour, Blueprint: "Own"}); err == nil {
				won.Store(b.ID, true)
			}
		})
	}
	wg.Wait()
	n := 0
	won.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d sandboxes have one instance", n)
	}
}

func TestASandboxEndsByItselfAndGivesEverythingBack(t *testing.T) {
	r := newSandboxRig(t)
	b := r.sandbox("Own")
	must(t, r.AddResources(t.Context(), dana, b.ID, []string{"i-sensor"}, false))
	r.mirror(b, tap("eni-1", "eni-sensor", 0))
	must(t, r.SetSandboxData(t.Context(), dana, b.ID, []control.NameValue{{"session", "x"}}))
	_, err := r.CheckoutFromPool(t.Context(), dana, control.PoolRequest{Kind: control.PoolSpecificNumber, Value: "7", SandboxID: b.ID, PoolID: "p"})
	must(t, err)
	refusedBy(t, r.ExtendSandbox(t.Context(), dana, b.ID, 0), control.SandboxErrorGeneral, "minutesToAdd must be at least 1.")
	refusedBy(t, r.ExtendSandbox(t.Context(), dana, b.ID, 366*24*time.Hour), control.SandboxErrorGeneral, "can't last longer than")
	must(t, r.ExtendSandbox(t.Context(), dana, b.ID, time.Hour))
	r.clock.advance(time.Hour)
	must(t, r.EndSandboxes(t.Context()))
	if got := r.read(b); got.Status != "Started" || !got.End.Equal(got.Start.Add(2*time.Hour)) {
		t.Errorf("%+v", got)
	}
	r.clock.advance(time.Hour)
	_, err = r.CreateMirroring(t.Context(), dana, b.ID, []control.CreateMirroringAction{tap("eni-1", "eni-sensor", 0)})
	refusedBy(t, err, control.SandboxErrorDriver, "Tried to checkout a session number for traffic mirroring, but reservation has already ended")
	must(t, r.EndSandboxes(t.Context()))
	got := r.read(b)
	if got.Status != "Completed" || got.Provisioning != "Teardown" || !got.ActualEnd.Equal(r.clock.Now()) || len(got.Resources) != 2 {
		t.Errorf("%+v", got)
	}
	r.count("nothing", 0, 0, 0)
	_, err = r.CheckoutFromPool(t.Context(), dana, control.PoolRequest{Kind: control.PoolSpecificNumber, Value: "8", SandboxID: b.ID, PoolID: "p"})
	refusedBy(t, err, control.SandboxErrorGeneral, "reservation has ended")
	refusedBy(t, r.AddResources(t.Context(), dana, b.ID, nil, false), control.SandboxErrorGeneral, "reservation has ended")
	refusedBy(t, r.SetSandboxData(t.Context(), dana, b.ID, nil), control.SandboxErrorGeneral, "reservation has ended")
	must(t, r.EndSandbox(t.Context(), dana, b.ID))
	must(t, r.TerminateSandbox(t.Context(), dana, b.ID))
	next := r.sandbox("Own")
	_, err = r.CheckoutFromPool(t.Context(), dana, control.PoolRequest{Kind: control.PoolSpecificNumber, Value: "7", SandboxID: next.ID, PoolID: "p"})
	must(t, err)
	if all, err := r.Sandboxes(t.Context(), dana, ""); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	r.clock.advance(23 * time.Hour)
	must(t, r.ForgetSandboxes(t.Context()))
	if data, err := r.SandboxData(t.Context(), dana, b.ID); err != nil || len(data) != 1 {
		t.Errorf("data of an ended sandbox: %v, %v", data, err)
	}
	r.clock.advance(time.Hour + 1)
	must(t, r.ForgetSandboxes(t.Context()))
	_, err = r.Sandbox(t.Context(), dana, b.ID)
	refusedBy(t, err, control.SandboxErrorGeneral, "not exists.")
}

func TestPoolsGiveEachValueOnce(t *testing.T) {
	r := newSandboxRig(t, func(o *control.Options) { o.Quotas.Sandboxes.PoolItems = 4 })
	one, other := r.sandbox("Tap"), r.sandbox("Tap")
	next := func(b control.Sandbox, change ...func(*control.PoolRequest)) (string, error) {
		in := control.PoolRequest{Kind: control.PoolNextNumber, SandboxID: b.ID, PoolID: "eni-1", OwnerID: sluice.SessionNumberPool, Start: 1, End: 3}
		for _, f := range change {
			f(&in)
		}
		return r.CheckoutFromPool(t.Context(), dana, in)
	}
	expect := func(want string) func(string, error) {
		return func(got string, err error) {
			t.Helper()
			if err != nil || got != want {
				t.Errorf("%q, %v; want %s", got, err, want)
			}
		}
	}
	specific := func(value string) func(*control.PoolRequest) {
		return func(in *control.PoolRequest) { in.Kind, in.Value = control.PoolSpecificNumber, value }
	}
	expect("1")(next(one))
	expect("3")(next(other, specific(" 03 ")))
	_, err := next(one, specific("3"))
	refusedBy(t, err, control.SandboxErrorGeneral, "Error occurred in CheckoutFromPool. Error: Could not check out 3: it is taken.")
	if n := r.number(r.mirror(one, tap("eni-1", "eni-sensor", 0))[0]); n != 2 {
		t.Errorf("beside pool items 1 and 3 the session has number %d", n)
	}
	_, err = r.CreateMirroring(t.Context(), dana, other.ID, []control.CreateMirroringAction{tap("eni-1", "eni-sensor", 3)})
	refusedBy(t, err, control.SandboxErrorDriver, "Was not able to find an available session number for eni-1.")
	_, err = next(other)
	refusedBy(t, err, control.SandboxErrorGeneral, "Error occurred in CheckoutFromPool. Error: Could not find available number from 1 to 3.")
	release := func(b control.Sandbox, owner string, values ...string) {
		must(t, r.ReleaseFromPool(t.Context(), dana, control.PoolRelease{SandboxID: b.ID, PoolID: "eni-1", OwnerID: owner, Values: values}))
	}
	release(other, sluice.SessionNumberPool, "1", "2", "9") // it holds none of them
	release(one, "somebody", "1")
	_, err = next(other, specific("1"))
	refusedBy(t, err, control.SandboxErrorGeneral, "it is taken.")
	r.stop()
	r.start()
	release(one, sluice.SessionNumberPool, "x", "01")
	expect("1")(next(other))

	shared := func(owner string, value string) func(*control.PoolRequest) {
		return func(in *control.PoolRequest) {
			in.PoolID, in.Shared, in.OwnerID = "vlan", true, owner
			specific(value)(in)
		}
	}
	expect("11")(next(one, shared("x", "11")))
	expect("11")(next(other, shared("x", "11")))
	_, err = next(other, shared("x", "11"))
	refusedBy(t, err, control.SandboxErrorGeneral, "it is taken.")
	_, err = next(other, shared("x", "11"), func(in *control.PoolRequest) { in.Shared, in.OwnerID = false, "y" })
	refusedBy(t, err, control.SandboxErrorGeneral, "it is taken.")
	for in, text := range map[string]func(*control.PoolRequest){
		"Pools of type 'NextAvailableIP' are not supported; NextAvailableNumericFromRange and SpecificNumeric are.": func(in *control.PoolRequest) { in.Kind = "NextAvailableIP" },
		"The range from 4 to 3 is not valid.":  func(in *control.PoolRequest) { in.Start = 4 },
		"The item ' ' is not a whole number.":  specific(" "),
		"The item '1x' is not a whole number.": specific("1x"),
		"poolId must be given":                 func(in *control.PoolRequest) { in.PoolID = "" },
	} {
		_, err := next(one, text)
		refusedBy(t, err, control.SandboxErrorGeneral, "Error occurred in CheckoutFromPool. Error: "+in)
	}
	for n := range 4 {
		if _, err = next(other, func(in *control.PoolRequest) { in.PoolID, in.End = "many", 99 }); err != nil {
			if n != 1 {
				t.Errorf("item %d: %v", n, err)
			}
			break
		}
	}
	refused(t, err, sluice.KindLimitExceeded, "The reservation holds 4 pool items already; release some.")
}

func TestSandboxDataAndOutputAreKeptAndBounded(t *testing.T) {
	r := newSandboxRig(t, func(o *control.Options) { o.Quotas.Sandboxes.DataBytes, o.Quotas.Sandboxes.Messages = 100, 3 })
	b := r.sandbox("")
	set := func(data ...control.NameValue) error { return r.SetSandboxData(t.Context(), dana, b.ID, data) }
	must(t, set(control.NameValue{"b", "2"}, control.NameValue{"a", "1"}))
	must(t, set(control.NameValue{"b", "3"}))
	refused(t, set(control.NameValue{"c", strings.Repeat("x", 97)}), sluice.KindLimitExceeded, "The data of the reservation would be 102 bytes; at most 100 fit.")
	refusedBy(t, set(control.NameValue{"", "x"}), control.SandboxErrorGeneral, "A key of sandbox data is empty.")
	for n := range 4 {
		must(t, r.WriteMessage(t.Context(), dana, b.ID, strconv.Itoa(n)))
	}
	must(t, r.WriteMessage(t.Context(), dana, b.ID, strings.Repeat("é", 2000)))
	r.stop()
	r.start()
	data, err := r.SandboxData(t.Context(), dana, b.ID)
	must(t, err)
	if diff := cmp.Diff([]control.NameValue{{"a", "1"}, {"b", "3"}}, data); diff != "" {
		t.Error(diff)
	}
	lines, err := r.SandboxOutput(t.Context(), dana, b.ID)
	must(t, err)
	if diff := cmp.Diff([]string{"2", "3", strings.Repeat("é", 1024) + "..."}, lines); diff != "" {
		t.Error(diff)
	}
	must(t, r.ClearSandboxData(t.Context(), dana, b.ID))
	if data, err := r.SandboxData(t.Context(), dana, b.ID); err != nil || data != nil {
		t.Errorf("%v, %v", data, err)
	}
}

func TestInboundPorts(t *testing.T) {
	rule := func(protocol string, from, to int32, cidr string) sluice.SecurityGroupRule {
		return sluice.SecurityGroupRule{Protocol: protocol, FromPort: from, ToPort: to, CIDR: netip.MustParsePrefix(cidr)}
	}
	got, err := control.ParseInboundPorts(" 80; 443:tcp:10.0.0.7/24;200-220:udp;22:192.0.2.0/24;icmp;ICMP:10.0.0.0/8; 4789:UDP:fd00::/8;")
	must(t, err)
	want := []sluice.SecurityGroupRule{rule("tcp", 80, 80, "0.0.0.0/0"), rule("tcp", 443, 443, "10.0.0.0/24"), rule("udp", 200, 220, "0.0.0.0/0"),
		rule("tcp", 22, 22, "192.0.2.0/24"), rule("icmp", -1, -1, "0.0.0.0/0"), rule("icmp", -1, -1, "10.0.0.0/8"), rule("udp", 4789, 4789, "fd00::/8")}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"x", "80:", "-1", "1-", "70000", "9-8", "80:sctp", "80:tcp:10.0.0.0", "80:tcp:10.0.0.0/33", "80:udp:1.2.3.4/8:x", "1-2-3"} {
		if rules, err := control.ParseInboundPorts("22;" + bad); bad == "80:" {
			if err != nil || len(rules) != 2 {
				t.Errorf("%q: %v, %v", bad, rules, err)
			}
		} else if refusedBy(t, err, control.SandboxErrorGeneral, "The value '"+bad+"' is not a valid ports rule"); err == nil {
			t.Errorf("%q: %v", bad, rules)
		}
	}
}

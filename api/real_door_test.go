package api

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice"
	"sluice/control"
	"sluice/fleet"
	"sluice/results"
	"sluice/state"
)

// fixedInventory is an inventory that a test changes.
type fixedInventory struct {
	mu      sync.Mutex
	now     sluice.Inventory
	changed chan struct{}
}

func (i *fixedInventory) Snapshot() sluice.Inventory {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.now
}

func (i *fixedInventory) Changed() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.changed
}

func (i *fixedInventory) set(now sluice.Inventory) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.now = now
	close(i.changed)
	i.changed = make(chan struct{})
}

// eni is the id of the n-th interface of the real door.
func eni(n int) string { return fmt.Sprintf("eni-%017x", n) }

// manyInterfaces is an inventory of n interfaces in one subnet. Interface 99 belongs
// to no instance.
func manyInterfaces(n int) sluice.Inventory {
	inv := sluice.Inventory{
		Vpcs: []sluice.Vpc{{ID: vpcA, CIDRs: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16")}}}, Zones: []string{"eu-west-1a"},
		Subnets:   []sluice.Subnet{{ID: subnetA, Name: "client", VpcID: vpcA, AvailabilityZone: "eu-west-1a", CIDRs: []netip.Prefix{netip.MustParsePrefix("10.77.1.0/24")}}},
		Instances: []sluice.Instance{{ID: instanceA, Name: "host", HostID: "host", VpcID: vpcA, SubnetID: subnetA, AvailabilityZone: "eu-west-1a"}},
	}
	add := func(k int, instance string) {
		inv.Interfaces = append(inv.Interfaces, sluice.Interface{
			ID: eni(k), HostID: "host", Device: fmt.Sprint("eth", k), Index: k, MAC: fmt.Sprintf("0a:00:00:00:00:%02x", k), MTU: 1500, Up: true,
			Addresses:  []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.77.1.%d/24", 9+k))},
			InstanceID: instance, SubnetID: subnetA, VpcID: vpcA, AvailabilityZone: "eu-west-1a",
		})
	}
	for k := 1; k <= n; k++ {
		add(k, instanceA)
	}
	add(99, "")
	return inv
}

const groupArn = "arn:aws:elasticloadbalancing:eu-west-1:000000000000:loadbalancer/net/sensors/0123456789abcdef"

// realDoor is a door in front of a controller and its store.
type realDoor struct {
	*door
	t          *testing.T
	controller *control.Controller
	inventory  *fixedInventory
	saved      map[string]string // what steps have kept of answers
}

// newRealDoor starts a controller on an empty store, or on that of dir. The clock is
// that of signatures.
func newRealDoor(t *testing.T, clock func() time.Time, dir string, change func(*control.Options)) (d *realDoor, stop func()) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	store, err := state.Open(context.Background(), state.Options{Dir: filepath.Join(dir, "state"), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	d = &realDoor{door: &door{backend: newFakeBackend(), log: &bytes.Buffer{}}, t: t, saved: map[string]string{},
		inventory: &fixedInventory{now: manyInterfaces(20), changed: make(chan struct{})}}
	o := control.Options{
		Store: store, Fleet: fleet.New(log), Results: results.New(filepath.Join(dir, "results")), Inventory: d.inventory,
		Clock: clock, Scope: sluice.Scope{Region: testRegion, AccountID: testAccount}, Logger: log,
		TargetGroups: []sluice.TargetGroup{{Name: "sensors", Arn: groupArn, Members: []string{eni(19), "10.77.9.9"}}},
	}
	if change != nil {
		change(&o)
	}
	d.controller = control.New(o)
	d.Handler = New(Options{Backend: d.controller, Keys: oneKey{}, TokenKey: []byte("token key"), Clock: clock, Logger: log})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.controller.Run(ctx) }()
	<-d.controller.Ready()
	return d, sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// freshDoor is a real door whose clock stands still.
func freshDoor(t *testing.T, change func(*control.Options)) *realDoor {
	t.Helper()
	d, stop := newRealDoor(t, func() time.Time { return fixtureTime }, t.TempDir(), change)
	t.Cleanup(stop)
	return d
}

var placeholder = regexp.MustCompile(`\{[a-z0-9]+\}`)

// fill puts what was kept into a text.
func (d *realDoor) fill(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(name string) string {
		v, ok := d.saved[strings.Trim(name, "{}")]
		if !ok {
			d.t.Fatalf("nothing was kept as %s", name)
		}
		return v
	})
}

// ask sends a request that is written as a query, in which {name} stands for what
// was kept.
func (d *realDoor) ask(request string) answered {
	d.t.Helper()
	operation, params, _ := strings.Cut(d.fill(request), "?")
	return d.call(d.t, serviceEC2, operation, params)
}

// ok asks and wants success.
func (d *realDoor) ok(request string) answered {
	d.t.Helper()
	got := d.ask(request)
	if got.status != 200 {
		d.t.Fatalf("%s: %d %s", d.fill(request), got.status, got.body)
	}
	return got
}

// keep asks and keeps the first text of an element of the answer.
func (d *realDoor) keep(name, element, request string) {
	d.t.Helper()
	got := d.ok(request)
	values := elements(got.body, element)
	if len(values) == 0 {
		d.t.Fatalf("no %s in %s", element, got.body)
	}
	d.saved[name] = values[0]
}

// elements returns the texts of all elements of a name.
func elements(body, name string) []string {
	var out []string
	for _, m := range regexp.MustCompile("<"+name+">([^<]*)</"+name+">").FindAllStringSubmatch(body, -1) {
		out = append(out, m[1])
	}
	return out
}

// refused asks and wants an error.
func (d *realDoor) refused(request string, status int, code, message string) {
	d.t.Helper()
	got := d.ask(request)
	if got.status != status || got.code != code || message != "" && got.message != d.fill(message) {
		d.t.Errorf("%s\ngot  %d %s %q\nwant %d %s %q", d.fill(request), got.status, got.code, got.message, status, code, message)
	}
}

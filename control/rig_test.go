package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sluice"
	"sluice/control"
	"sluice/results"
	"sluice/state"
)

const (
	region  = "eu-west-1"
	account = "000000000000"
	vpc     = "vpc-0123456789abcdef0"
	zoneA   = "eu-west-1a"
	zoneB   = "eu-west-1b"
	zoneC   = "eu-west-1c"
)

func arn(kind, name string) string {
	return "arn:aws:network-firewall:eu-west-1:000000000000:" + kind + "/" + name
}

func firewallArn(name string) string { return arn("firewall", name) }
func policyArn(name string) string   { return arn("firewall-policy", name) }

// fleet is a fleet whose agents do at once what they are told, until they are
// held.
type fleet struct {
	mu       sync.Mutex
	held     bool
	desired  sluice.DesiredState
	statuses map[string]sluice.AgentStatus
	changed  chan struct{}
	// answer carries out flow commands.
	answer func(ctx context.Context, c sluice.FlowCommand, emit func(sluice.FlowBlock) error) []sluice.FlowOutcome
}

func newFleet() *fleet {
	return &fleet{statuses: map[string]sluice.AgentStatus{}, changed: make(chan struct{}),
		answer: func(context.Context, sluice.FlowCommand, func(sluice.FlowBlock) error) []sluice.FlowOutcome {
			return []sluice.FlowOutcome{{HostID: "host-1"}}
		}}
}

func (f *fleet) SetDesired(d sluice.DesiredState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.Revision < f.desired.Revision { // equal after a restart
		panic(fmt.Sprintf("revision %d after %d", d.Revision, f.desired.Revision))
	}
	f.desired = d
	if !f.held {
		f.follow()
	}
}

// follow makes every agent carry out what is desired.
func (f *fleet) follow() {
	for _, host := range []string{"host-1", "host-2"} {
		s := sluice.AgentStatus{HostID: host, Revision: f.desired.Revision}
		for _, e := range f.desired.Endpoints {
			st := sluice.EndpointStatus{ID: e.ID, PolicyGeneration: e.Policy.Generation}
			for _, n := range e.Interfaces {
				if n.HostID == host {
					st.Attached = append(st.Attached, n.ID)
				}
			}
			if len(st.Attached) > 0 {
				s.Endpoints = append(s.Endpoints, st)
			}
		}
		f.statuses[host] = s
	}
	f.notify()
}

func (f *fleet) notify() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// hold stops the agents from doing what they are told; release lets them catch up.
func (f *fleet) hold() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = true
}

func (f *fleet) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = false
	f.follow()
}

// say changes the last word of a host.
func (f *fleet) say(host string, change func(*sluice.AgentStatus)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.statuses[host]
	s.HostID = host
	change(&s)
	f.statuses[host] = s
	f.notify()
}

func (f *fleet) Statuses() []sluice.AgentStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []sluice.AgentStatus
	for _, s := range f.statuses {
		s.Endpoints = append([]sluice.EndpointStatus(nil), s.Endpoints...)
		out = append(out, s)
	}
	return out
}

func (f *fleet) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

func (f *fleet) state() sluice.DesiredState {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.desired
}

func (f *fleet) onCommand(answer func(context.Context, sluice.FlowCommand, func(sluice.FlowBlock) error) []sluice.FlowOutcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func (f *fleet) RunFlowCommand(ctx context.Context, c sluice.FlowCommand, emit func(sluice.FlowBlock) error) []sluice.FlowOutcome {
	f.mu.Lock()
	answer := f.answer
	f.mu.Unlock()
	return answer(ctx, c, emit)
}

func (f *fleet) Counters(context.Context) map[string]sluice.DatapathCounters { return nil }

// inventory is a fixed inventory until it is changed.
type inventory struct {
	mu      sync.Mutex
	now     sluice.Inventory
	changed chan struct{}
}

func (i *inventory) Snapshot() sluice.Inventory {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.now
}

func (i *inventory) Changed() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.changed
}

func (i *inventory) set(now sluice.Inventory) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.now = now
	close(i.changed)
	i.changed = make(chan struct{})
}

// twoZones has a gateway interface in zone a on host 1 and in zone b on host 2,
// and in zone c a subnet without any. A second VPC lies beside.
func twoZones() sluice.Inventory {
	v4, v6 := netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("fd00:1::/64")
	subnet := func(id, zone, vpc string, cidrs ...netip.Prefix) sluice.Subnet {
		return sluice.Subnet{ID: id, VpcID: vpc, AvailabilityZone: zone, CIDRs: cidrs}
	}
	device := func(id, host, subnet, zone string) sluice.Interface {
		return sluice.Interface{ID: id, HostID: host, Device: id[4:], Index: 5, SubnetID: subnet, VpcID: vpc, AvailabilityZone: zone, Firewall: true, Up: true}
	}
	return sluice.Inventory{
		Vpcs:  []sluice.Vpc{{ID: vpc}, {ID: "vpc-2"}},
		Zones: []string{zoneA, zoneB, zoneC},
		Subnets: []sluice.Subnet{
			subnet("subnet-a", zoneA, vpc, v4, v6), subnet("subnet-a2", zoneA, vpc, v4),
			subnet("subnet-b", zoneB, vpc, v4), subnet("subnet-c", zoneC, vpc, v6),
			subnet("subnet-far", zoneC, "vpc-2", v4),
		},
		Interfaces: []sluice.Interface{
			device("eni-a", "host-1", "subnet-a", zoneA), device("eni-b", "host-2", "subnet-b", zoneB),
		},
	}
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rig is a controller over a real store and real results, with a fake fleet.
type rig struct {
	*control.Controller
	t       *testing.T
	dir     string
	options control.Options
	store   *state.Store
	faults  *faults // of the store, as the controller sees it
	results *results.Directory
	fleet   *fleet
	inv     *inventory
	clock   *clock
	cancel  context.CancelFunc
	done    chan error
	ended   chan sluice.FlowOperationStatus // of each operation
}

func (r *rig) FlowOperationEnded(_ sluice.FlowOperationType, s sluice.FlowOperationStatus, _ time.Duration, _ int64) {
	r.ended <- s
}

// newRig starts a controller; change may alter its options.
func newRig(t *testing.T, change ...func(*control.Options)) *rig {
	t.Helper()
	return newRigIn(t, t.TempDir(), change...)
}

// newRigIn starts a controller on what may be in a directory.
func newRigIn(t *testing.T, dir string, change ...func(*control.Options)) *rig {
	t.Helper()
	r := &rig{t: t, dir: dir, fleet: newFleet(),
		inv:   &inventory{now: twoZones(), changed: make(chan struct{})},
		clock: &clock{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)},
		ended: make(chan sluice.FlowOperationStatus, 1000)}
	r.options = control.Options{Fleet: r.fleet, Inventory: r.inv, Clock: r.clock.Now, Observer: r,
		Scope: sluice.Scope{Region: region, AccountID: account}}
	for _, f := range change {
		f(&r.options)
	}
	r.start()
	t.Cleanup(r.stop)
	return r
}

// start opens the store and runs a controller on it until stop.
func (r *rig) start() {
	r.t.Helper()
	log := slog.New(slog.NewTextHandler(r.t.Output(), nil))
	var err error
	if r.store, err = state.Open(context.Background(), state.Options{Dir: filepath.Join(r.dir, "state"), Logger: log}); err != nil {
		r.t.Fatal(err)
	}
	r.results = results.New(filepath.Join(r.dir, "results"))
	o := r.options
	r.faults = &faults{Store: r.store}
	o.Logger, o.Store, o.Results = log, r.faults, r.results
	r.Controller = control.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.done = cancel, make(chan error, 1)
	go func(c *control.Controller) { r.done <- c.Run(ctx) }(r.Controller)
	select {
	case <-r.Ready():
	case err := <-r.done:
		r.t.Fatalf("run: %v", err)
	}
}

// stop ends the controller and closes the store. Twice does no harm.
func (r *rig) stop() {
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.cancel = nil
	if err := <-r.done; err != nil {
		r.t.Errorf("run: %v", err)
	}
	if err := r.store.Close(); err != nil {
		r.t.Errorf("close store: %v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await waits until a condition holds.
func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// refused checks that an error is of a kind and has a text.
func refused(t testing.TB, err error, kind sluice.Kind, text string) {
	t.Helper()
	if err == nil {
		t.Errorf("accepted; want %q", text)
		return
	}
	if sluice.KindOf(err) != kind || err.Error() != text {
		t.Errorf("kind %d, %q\nwant kind %d, %q", sluice.KindOf(err), err, kind, text)
	}
}

// forwardAll is the policy body that AWS advises.
func forwardAll() sluice.FirewallPolicyBody {
	return sluice.FirewallPolicyBody{
		StatelessDefaultActions:         []string{sluice.ActionForwardToSFE},
		StatelessFragmentDefaultActions: []string{sluice.ActionForwardToSFE},
	}
}

func (r *rig) createPolicy(name string) control.PolicyView {
	r.t.Helper()
	p, err := r.CreateFirewallPolicy(r.t.Context(), control.CreateFirewallPolicyInput{Name: name, Body: forwardAll()})
	must(r.t, err)
	return p
}

// createFirewall makes a firewall, and its policy "p" if that is not there yet.
func (r *rig) createFirewall(name string, subnets ...string) control.FirewallView {
	r.t.Helper()
	if _, err := r.DescribeFirewallPolicy(r.t.Context(), control.Selector{Name: "p"}); err != nil {
		r.createPolicy("p")
	}
	f, err := r.CreateFirewall(r.t.Context(), firewallInput(name, subnets...))
	must(r.t, err)
	return f
}

func firewallInput(name string, subnets ...string) control.CreateFirewallInput {
	in := control.CreateFirewallInput{Name: name, PolicyArn: policyArn("p"), VpcID: vpc}
	for _, s := range subnets {
		in.SubnetMappings = append(in.SubnetMappings, sluice.SubnetMapping{SubnetID: s})
	}
	return in
}

func (r *rig) describe(name string) control.FirewallView {
	r.t.Helper()
	f, err := r.DescribeFirewall(r.t.Context(), control.Selector{Name: name})
	must(r.t, err)
	return f
}

// readyFirewall makes a firewall and waits for it.
func (r *rig) readyFirewall(name string, subnets ...string) control.FirewallView {
	r.t.Helper()
	r.createFirewall(name, subnets...)
	await(r.t, "firewall ready", func() bool { return r.describe(name).Status.Status == sluice.FirewallReady })
	return r.describe(name)
}

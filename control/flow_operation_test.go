package control_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice"
	"sluice/control"
)

type (
	command  = sluice.FlowCommand
	emitter  = func(sluice.FlowBlock) error
	outcomes = []sluice.FlowOutcome
)

// anyFlow is a filter that all IPv4 flows meet.
var anyFlow = []sluice.FlowFilter{{SourceAddress: "0.0.0.0/0"}}

func capture(name, zone string) control.StartFlowOperationInput {
	return control.StartFlowOperationInput{Type: sluice.FlowCapture, Filters: anyFlow,
		Scope: control.FlowScope{FirewallArn: firewallArn(name), AvailabilityZone: zone}}
}

// rows makes n flows that differ by their source port, from first on.
func rows(first, n int) sluice.FlowBlock {
	out := make(sluice.FlowBlock, n)
	for i := range out {
		out[i] = sluice.Flow{Source: netip.MustParseAddr("10.0.1.2"), Destination: netip.MustParseAddr("10.0.2.2"),
			SourcePort: uint16(first + i), DestinationPort: 443, Protocol: sluice.ProtocolTCP, Packets: [2]uint64{1, 2}, Bytes: [2]uint64{40, 80}}
	}
	return out
}

// byZone answers a command by the zone of its endpoint.
func byZone(f control.FirewallView, answers map[string]func(context.Context, command, emitter) outcomes) func(context.Context, command, emitter) outcomes {
	return func(ctx context.Context, c command, emit emitter) outcomes {
		for _, m := range f.SubnetMappings {
			if m.EndpointID == c.EndpointID {
				return answers[m.AvailabilityZone](ctx, c, emit)
			}
		}
		return nil
	}
}

// emits answers with n flows, from port first on.
func emits(first, n int) func(context.Context, command, emitter) outcomes {
	return func(_ context.Context, _ command, emit emitter) outcomes {
		return outcomes{{HostID: "host", Err: emit(rows(first, n))}}
	}
}

// silent never answers.
func silent(ctx context.Context, _ command, _ emitter) outcomes {
	<-ctx.Done()
	return outcomes{{HostID: "host", Err: ctx.Err()}}
}

// broken answers with an error.
func broken(context.Context, command, emitter) outcomes {
	return outcomes{{HostID: "host", Err: errors.New("scan: map is gone")}}
}

// run starts an operation and waits for its end.
func (r *rig) run(in control.StartFlowOperationInput) sluice.FlowOperation {
	r.t.Helper()
	op, err := r.StartFlowOperation(r.t.Context(), in)
	must(r.t, err)
	if op.Status != sluice.OperationInProgress || len(op.ID) != 36 {
		r.t.Errorf("answer of start: %+v", op)
	}
	r.awaitEnd()
	return r.operation(in.Scope, op.ID)
}

func (r *rig) awaitEnd() {
	r.t.Helper()
	select {
	case <-r.ended:
	case <-time.After(10 * time.Second):
		r.t.Fatal("the operation does not end")
	}
}

func (r *rig) operation(s control.FlowScope, id string) sluice.FlowOperation {
	r.t.Helper()
	op, err := r.DescribeFlowOperation(r.t.Context(), s, id)
	must(r.t, err)
	return op
}

// ports reads all rows of an operation, in pages, and returns their source ports.
func (r *rig) ports(s control.FlowScope, id string, page int) []uint16 {
	r.t.Helper()
	var out []uint16
	for {
		_, rows, more, err := r.FlowResults(r.t.Context(), s, id, int64(len(out)), page)
		must(r.t, err)
		for _, f := range rows {
			out = append(out, f.SourcePort)
		}
		if !more {
			return out
		}
		if len(rows) != page {
			r.t.Fatalf("a page of %d, and more to come", len(rows))
		}
	}
}

func TestACaptureRunsAndKeepsItsRows(t *testing.T) {
	r := newRig(t)
	f := r.readyFirewall("f", "subnet-a", "subnet-b")
	var got command
	r.fleet.onCommand(byZone(f, map[string]func(context.Context, command, emitter) outcomes{
		zoneA: func(ctx context.Context, c command, emit emitter) outcomes {
			got = c
			return emits(1, 1050)(ctx, c, emit)
		}}))
	in := capture("f", zoneA)
	in.MinimumAge, in.MinimumGiven = 60, true
	in.Filters = []sluice.FlowFilter{{SourceAddress: "10.0.1.9/24", DestinationPort: "443", Protocols: []string{"6"}}}
	op := r.run(in)
	want := sluice.FlowOperation{ID: op.ID, Type: sluice.FlowCapture, FirewallArn: f.Arn, FirewallID: f.ID, Status: sluice.OperationCompleted,
		RequestTime: r.clock.Now(), Filters: in.Filters, MinimumAge: 60, MinimumGiven: true, AvailabilityZone: zoneA, Zones: []string{zoneA}, Flows: 1050}
	if diff := cmp.Diff(want, op); diff != "" {
		t.Error(diff)
	}
	matches, err := sluice.CompileFlowFilters(in.Filters)
	must(t, err)
	if d := time.Until(got.Deadline); d <= 0 || d > control.DefaultOperationDeadline {
		t.Errorf("deadline in %v", d)
	}
	got.Deadline = time.Time{}
	if diff := cmp.Diff(command{OperationID: op.ID, Type: sluice.FlowCapture, EndpointID: f.SubnetMappings[0].EndpointID,
		Selection: sluice.FlowSelection{Matches: matches, MinimumAge: time.Minute}}, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("command:\n%s", diff)
	}
	ports := r.ports(in.Scope, op.ID, 100)
	seen := map[uint16]bool{}
	for _, p := range ports {
		seen[p] = true
	}
	if len(ports) != 1050 || len(seen) != 1050 {
		t.Errorf("%d rows, %d different", len(ports), len(seen))
	}
	if again := r.ports(in.Scope, op.ID, 333); !cmp.Equal(ports, again) {
		t.Error("the order of the rows changes")
	}
	r.stop()
	r.start()
	if again := r.ports(in.Scope, op.ID, 1050); !cmp.Equal(ports, again) {
		t.Error("the rows change with a restart")
	}
}

func TestTheStatusFollowsFromTheParts(t *testing.T) {
	type answer = func(context.Context, command, emitter) outcomes
	emitsThen := func(end answer) answer {
		return func(ctx context.Context, c command, emit emitter) outcomes {
			if err := emit(rows(9, 1)); err != nil {
				return outcomes{{Err: err}}
			}
			return end(ctx, c, emit)
		}
	}
	nobody := func(context.Context, command, emitter) outcomes { return nil }
	for name, c := range map[string]struct {
		a, b    answer
		kind    sluice.FlowOperationType
		status  sluice.FlowOperationStatus
		message string
		ports   []uint16
	}{
		"all answer":         {emits(1, 2), emits(3, 1), sluice.FlowCapture, sluice.OperationCompleted, "", []uint16{1, 2, 3}},
		"nothing is found":   {emits(1, 0), emits(1, 0), sluice.FlowFlush, sluice.OperationCompleted, "", nil},
		"one is silent":      {emits(1, 2), silent, sluice.FlowCapture, sluice.OperationCompletedWithErrors, sluice.MessageFlowTimeout, []uint16{1, 2}},
		"one is broken":      {broken, emits(3, 1), sluice.FlowCapture, sluice.OperationCompletedWithErrors, sluice.MessageFlowError, []uint16{3}},
		"one has no host":    {nobody, emits(3, 1), sluice.FlowCapture, sluice.OperationCompletedWithErrors, sluice.MessageFlowError, []uint16{3}},
		"one fails, empty":   {emits(1, 0), broken, sluice.FlowCapture, sluice.OperationCompletedWithErrors, sluice.MessageFlowError, nil},
		"all are silent":     {silent, silent, sluice.FlowCapture, sluice.OperationFailed, sluice.MessageFlowTimeout, nil},
		"all are broken":     {broken, broken, sluice.FlowFlush, sluice.OperationFailed, sluice.MessageFlowError, nil},
		"silent and broken":  {silent, broken, sluice.FlowFlush, sluice.OperationFailed, sluice.MessageFlowError, nil},
		"silent after a row": {emitsThen(silent), silent, sluice.FlowFlush, sluice.OperationCompletedWithErrors, sluice.MessageFlowTimeout, []uint16{9}},
		"one of two hosts left": {func(ctx context.Context, c command, emit emitter) outcomes {
			return append(emits(1, 1)(ctx, c, emit), outcomes{{HostID: "other", Err: context.DeadlineExceeded}}...)
		}, emits(2, 1), sluice.FlowCapture, sluice.OperationCompletedWithErrors, sluice.MessageFlowTimeout, []uint16{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *control.Options) { o.OperationDeadline = 50 * time.Millisecond })
			f := r.readyFirewall("f", "subnet-a", "subnet-b")
			r.fleet.onCommand(byZone(f, map[string]answer{zoneA: c.a, zoneB: c.b}))
			in := capture("f", "") // all zones
			in.Type = c.kind
			op := r.run(in)
			if op.Status != c.status || op.Message != c.message || op.Flows != int64(len(c.ports)) || !cmp.Equal(op.Zones, []string{zoneA, zoneB}) {
				t.Errorf("%+v", op)
			}
			seen := map[uint16]bool{}
			for _, p := range r.ports(in.Scope, op.ID, 10) {
				seen[p] = true
			}
			want := map[uint16]bool{}
			for _, p := range c.ports {
				want[p] = true
			}
			if diff := cmp.Diff(want, seen); diff != "" {
				t.Errorf("rows:\n%s", diff)
			}
			if ids, err := r.results.List(); err != nil || (len(ids) == 0) != (op.Status == sluice.OperationFailed) {
				t.Errorf("results on disk: %v, %v", ids, err)
			}
			r.run(in) // the zones are free again
		})
	}
}

func TestRowsBeyondTheLimitAreNotKept(t *testing.T) {
	for kind, emitted := range map[sluice.FlowOperationType]int{sluice.FlowCapture: 2, sluice.FlowFlush: 5} {
		r := newRig(t, func(o *control.Options) { o.MaxRows = 150 })
		r.readyFirewall("f", "subnet-a")
		blocks := 0
		r.fleet.onCommand(func(_ context.Context, _ command, emit emitter) outcomes {
			for blocks < 5 {
				blocks++
				if err := emit(rows(blocks*100, 100)); err != nil {
					return outcomes{{Err: err}}
				}
			}
			return outcomes{{}}
		})
		in := capture("f", zoneA)
		in.Type = kind
		op := r.run(in)
		if op.Status != sluice.OperationCompletedWithErrors || op.Message != sluice.MessageFlowError || op.Flows != 150 {
			t.Errorf("%s: %+v", kind, op)
		}
		if got := len(r.ports(in.Scope, op.ID, 100)); got != 150 {
			t.Errorf("%s: %d rows", kind, got)
		}
		if blocks != emitted { // a capture is cut short, a flush goes to its end
			t.Errorf("%s: %d blocks were taken", kind, blocks)
		}
	}
}

func TestAStartIsRefused(t *testing.T) {
	r := newRig(t)
	f := r.readyFirewall("f", "subnet-a", "subnet-b")
	other := r.readyFirewall("g", "subnet-a")
	foreign := other.SubnetMappings[0].EndpointID
	filters := func(f ...sluice.FlowFilter) func(*control.StartFlowOperationInput) {
		return func(in *control.StartFlowOperationInput) { in.Filters = f }
	}
	many := make([]sluice.FlowFilter, 21)
	any4 := "10.0.0.0/8"
	for name, c := range map[string]struct {
		change func(*control.StartFlowOperationInput)
		kind   sluice.Kind
		text   string
	}{
		"no filter":          {filters(), sluice.KindInvalidRequest, "FlowFilters cannot be null or empty, context: FlowFilters"},
		"21 filters":         {filters(many...), sluice.KindInvalidRequest, "FlowFilters limit exceeded, parameter: [21], context: FlowFilters"},
		"an empty filter":    {filters(sluice.FlowFilter{}), sluice.KindInvalidRequest, "SourceAddress, DestinationAddress cannot be null or empty, context: FlowFilters[0]"},
		"a bad address":      {filters(sluice.FlowFilter{SourceAddress: "10.0.0.0/33"}), sluice.KindInvalidRequest, "AddressDefinition has invalid format, parameter: [10.0.0.0/33], context: FlowFilters[0].SourceAddress.AddressDefinition"},
		"two families":       {filters(sluice.FlowFilter{SourceAddress: any4, DestinationAddress: "::1"}), sluice.KindInvalidRequest, "SourceAddress, DestinationAddress cannot exist together, parameter: [10.0.0.0/8, ::1], context: FlowFilters[0]"},
		"a reversed range":   {filters(sluice.FlowFilter{SourceAddress: any4, SourcePort: "1994:1990"}), sluice.KindInvalidRequest, "SourcePort is not within the bound, parameter: [1994:1990], context: FlowFilters[0].SourcePort"},
		"a list of ports":    {filters(sluice.FlowFilter{SourceAddress: any4, SourcePort: "80,443"}), sluice.KindInvalidRequest, "SourcePort has invalid format, parameter: [80,443], context: FlowFilters[0].SourcePort"},
		"a port of ICMP":     {filters(sluice.FlowFilter{SourceAddress: any4, SourcePort: "80", Protocols: []string{"1"}}), sluice.KindInvalidRequest, "SourcePort, Protocols cannot exist together, parameter: [80, 1], context: FlowFilters[0].SourcePort"},
		"a protocol by name": {filters(sluice.FlowFilter{SourceAddress: any4, Protocols: []string{"tcp"}}), sluice.KindInvalidRequest, "Protocols has invalid format, parameter: [tcp], context: FlowFilters[0].Protocols[0]"},
		"a negative age":     {func(in *control.StartFlowOperationInput) { in.MinimumAge = -1 }, sluice.KindInvalidRequest, "MinimumFlowAgeInSeconds is not within the bound, parameter: [-1], context: MinimumFlowAgeInSeconds"},
		"a zone without subnet": {func(in *control.StartFlowOperationInput) { in.Scope.AvailabilityZone = "eu-west-1z" },
			sluice.KindInvalidRequest, "AvailabilityZone is invalid, parameter: [eu-west-1z], context: AvailabilityZone"},
		"an endpoint of another firewall": {func(in *control.StartFlowOperationInput) {
			in.Scope.AvailabilityZone, in.Scope.VpcEndpointID = "", foreign
		}, sluice.KindNotFound, "VpcEndpointId does not exist, parameter: [" + foreign + "]"},
		"an endpoint of another zone": {func(in *control.StartFlowOperationInput) {
			in.Scope.VpcEndpointID = f.SubnetMappings[1].EndpointID
		}, sluice.KindInvalidRequest, "AvailabilityZone, VpcEndpointId cannot exist together, parameter: [eu-west-1a, " + f.SubnetMappings[1].EndpointID + "], context: AvailabilityZone"},
		"an association": {func(in *control.StartFlowOperationInput) {
			in.Scope.EndpointAssociationArn = arn("vpc-endpoint-association", "x")
		}, sluice.KindNotFound, "VpcEndpointAssociationArn does not exist, parameter: [" + arn("vpc-endpoint-association", "x") + "]"},
		"an unknown firewall": {func(in *control.StartFlowOperationInput) { in.Scope.FirewallArn = firewallArn("none") },
			sluice.KindNotFound, "FirewallArn does not exist, parameter: [" + firewallArn("none") + "]"},
		"another account": {func(in *control.StartFlowOperationInput) {
			in.Scope.FirewallArn = strings.Replace(firewallArn("f"), account, "111111111111", 1)
		}, sluice.KindNotFound, "FirewallArn does not exist, parameter: [arn:aws:network-firewall:eu-west-1:111111111111:firewall/f]"},
		"another region": {func(in *control.StartFlowOperationInput) {
			in.Scope.FirewallArn = strings.Replace(firewallArn("f"), region, "us-east-1", 1)
		}, sluice.KindInvalidRequest, "FirewallArn is invalid, parameter: [arn:aws:network-firewall:us-east-1:000000000000:firewall/f], context: FirewallArn"},
	} {
		t.Run(name, func(t *testing.T) {
			in := capture("f", zoneA)
			c.change(&in)
			_, err := r.StartFlowOperation(t.Context(), in)
			refused(t, err, c.kind, c.text)
		})
	}
	if all, err := r.ListFlowOperations(t.Context(), control.FlowScope{FirewallArn: f.Arn}, ""); err != nil || len(all) != 0 {
		t.Errorf("operations: %v, %v", all, err)
	}
}

func TestAFirewallThatIsNotReadyRunsNothing(t *testing.T) {
	r := newRig(t)
	r.readyFirewall("f", "subnet-a")
	r.fleet.hold()
	_, err := r.AssociateSubnets(t.Context(), control.Selector{Name: "f"}, "", []sluice.SubnetMapping{{SubnetID: "subnet-b"}})
	must(t, err)
	for _, zone := range []string{zoneB, ""} {
		_, err = r.StartFlowOperation(t.Context(), capture("f", zone))
		refused(t, err, sluice.KindInvalidRequest, "Firewall is not ready")
	}
	r.run(capture("f", zoneA)) // that zone is
	_, err = r.DeleteFirewall(t.Context(), control.Selector{Name: "f"})
	must(t, err)
	_, err = r.StartFlowOperation(t.Context(), capture("f", zoneA))
	refused(t, err, sluice.KindInvalidRequest, "Firewall is not ready")
}

func TestOneOperationAtATimeInAZone(t *testing.T) {
	r := newRig(t)
	f := r.readyFirewall("f", "subnet-a", "subnet-b")
	g := r.readyFirewall("g", "subnet-a")
	gate := make(chan struct{})
	r.fleet.onCommand(func(context.Context, command, emitter) outcomes {
		<-gate
		return outcomes{{}}
	})
	ctx := t.Context()
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 40 {
		wg.Go(func() {
			if _, err := r.StartFlowOperation(ctx, capture("f", zoneA)); err == nil {
				mu.Lock()
				won++
				mu.Unlock()
			} else if sluice.KindOf(err) != sluice.KindThrottling {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d operations run in one zone", won)
	}
	flush := capture("f", "")
	flush.Type, flush.Scope.VpcEndpointID = sluice.FlowFlush, f.SubnetMappings[0].EndpointID
	for _, in := range []control.StartFlowOperationInput{flush, capture("f", "")} {
		_, err := r.StartFlowOperation(ctx, in)
		refused(t, err, sluice.KindThrottling, "Flow operation already in progress, parameter: [eu-west-1a], context: AvailabilityZone")
	}
	for _, in := range []control.StartFlowOperationInput{capture("f", zoneB), capture("g", zoneA)} {
		if _, err := r.StartFlowOperation(ctx, in); err != nil {
			t.Errorf("another zone or firewall: %v", err)
		}
	}
	close(gate)
	for range 3 {
		r.awaitEnd()
	}
	r.run(flush)
	if all, err := r.ListFlowOperations(ctx, control.FlowScope{FirewallArn: g.Arn}, ""); err != nil || len(all) != 1 {
		t.Errorf("operations of g: %v, %v", all, err)
	}
}

func TestReadsAreScoped(t *testing.T) {
	r := newRig(t)
	f := r.readyFirewall("f", "subnet-a", "subnet-b")
	r.readyFirewall("g", "subnet-a")
	endpoint := map[string]string{zoneA: f.SubnetMappings[0].EndpointID, zoneB: f.SubnetMappings[1].EndpointID}
	byEndpoint := capture("f", "")
	byEndpoint.Scope.VpcEndpointID = endpoint[zoneB]
	both := capture("f", zoneA)
	both.Scope.VpcEndpointID, both.Type = endpoint[zoneA], sluice.FlowFlush
	ids := map[string]string{}
	for _, c := range []struct {
		name string
		in   control.StartFlowOperationInput
	}{{"a", capture("f", zoneA)}, {"b", byEndpoint}, {"all", capture("f", "")}, {"both", both}} {
		ids[c.name] = r.run(c.in).ID
		r.clock.advance(time.Second)
	}
	type scope = control.FlowScope
	for i, c := range []struct {
		s    scope
		t    sluice.FlowOperationType
		want string // newest first
	}{
		{scope{}, "", "both all b a"},
		{scope{}, sluice.FlowCapture, "all b a"},
		{scope{}, sluice.FlowFlush, "both"},
		{scope{AvailabilityZone: zoneA}, "", "both all a"},
		{scope{AvailabilityZone: zoneB}, "", "all b"},
		{scope{VpcEndpointID: endpoint[zoneB]}, "", "all b"},
		{scope{VpcEndpointID: endpoint[zoneA], AvailabilityZone: zoneA}, "", "both all a"},
	} {
		c.s.FirewallArn = f.Arn
		all, err := r.ListFlowOperations(t.Context(), c.s, c.t)
		must(t, err)
		var got []string
		for _, op := range all {
			for name, id := range ids {
				if id == op.ID {
					got = append(got, name)
				}
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("list %d: %v, want %s", i, got, c.want)
		}
		for name, id := range ids {
			_, err := r.DescribeFlowOperation(t.Context(), c.s, id)
			_, _, _, err2 := r.FlowResults(t.Context(), c.s, id, 0, 1)
			if c.t == "" && strings.Contains(" "+c.want+" ", " "+name+" ") {
				if err != nil || err2 != nil {
					t.Errorf("describe %s in scope %d: %v, %v", name, i, err, err2)
				}
			} else if c.t == "" {
				refused(t, err, sluice.KindNotFound, "FlowOperationId does not exist, parameter: ["+id+"]")
				refused(t, err2, sluice.KindNotFound, "FlowOperationId does not exist, parameter: ["+id+"]")
			}
		}
	}
	for _, c := range []struct {
		s    scope
		text string
	}{
		{scope{AvailabilityZone: "eu-west-1z"}, "AvailabilityZone does not exist, parameter: [eu-west-1z]"},
		{scope{VpcEndpointID: "vpce-1"}, "VpcEndpointId does not exist, parameter: [vpce-1]"},
		{scope{EndpointAssociationArn: "arn:aws:x"}, "VpcEndpointAssociationArn does not exist, parameter: [arn:aws:x]"},
	} {
		c.s.FirewallArn = f.Arn
		_, err := r.ListFlowOperations(t.Context(), c.s, "")
		refused(t, err, sluice.KindNotFound, c.text)
	}
	unknown := sluice.NewUUID()
	for _, id := range []string{unknown, "../" + unknown, ""} {
		_, err := r.DescribeFlowOperation(t.Context(), scope{FirewallArn: f.Arn}, id)
		refused(t, err, sluice.KindNotFound, fmt.Sprintf("FlowOperationId does not exist, parameter: [%s]", id))
	}
	_, err := r.DescribeFlowOperation(t.Context(), scope{FirewallArn: firewallArn("g")}, ids["a"])
	refused(t, err, sluice.KindNotFound, "FlowOperationId does not exist, parameter: ["+ids["a"]+"]")
}

package datapath

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	gocmp "github.com/google/go-cmp/cmp"

	"sluice"
	"sluice/internal/testnet"
)

func TestSeededFlowsAreFoundByPackets(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	a4, b4 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	a6, b6 := netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
	tcpFlow := sluice.Flow{Source: b4, Destination: a4, SourcePort: 80, DestinationPort: 1000, Protocol: 6,
		State: sluice.FlowEstablished, Engine: sluice.EngineStateful, Age: time.Minute, Packets: [2]uint64{7, 8}, Bytes: [2]uint64{700, 800}}
	flows := []sluice.Flow{tcpFlow,
		{Source: a6, Destination: b6, SourcePort: 5, DestinationPort: 6, Protocol: 17, Engine: sluice.EngineStateful},
		{Source: b6, Destination: a6, SourcePort: 5, DestinationPort: 6, Protocol: 17, Engine: sluice.EngineStateful},
		{Source: a4, Destination: a4, SourcePort: 9, DestinationPort: 8, Protocol: 17, Engine: sluice.EngineStateful}}
	if n, err := r.Seed(testEndpoint, flows); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	r.send(ether(ipv4("10.0.0.1", "10.0.0.2", 6, tcp(1000, 80, 1, 1, flagACK, nil))))
	r.send(ether(ipv6("fd00::1", "fd00::2", 17, udp(5, 6, nil))))
	r.send(ether(ipv6("fd00::1", "fd00::2", 17, udp(6, 5, nil))))
	r.send(ether(ipv4("10.0.0.1", "10.0.0.1", 17, udp(8, 9, nil))))
	var got []string
	for _, f := range r.capture() {
		got = append(got, short(f))
	}
	slices.Sort(got)
	want := []string{
		"17 10.0.0.1:9 > 10.0.0.1:8 established stateful p[0 1] b[0 28]",
		"17 fd00::1:5 > fd00::2:6 new stateful p[1 0] b[48 0]",
		"17 fd00::2:5 > fd00::1:6 established stateful p[0 1] b[0 48]",
		"6 10.0.0.2:80 > 10.0.0.1:1000 established stateful p[7 9] b[700 840]",
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// numbered is a frame of UDP, or a SYN, of host number n.
func numbered(n uint32, syn bool) []byte {
	a := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24|n))).String()
	if syn {
		return ether(ipv4(a, "192.0.2.1", 6, tcp(1000, 80, 1, 0, flagSYN, nil)))
	}
	return ether(ipv4(a, "192.0.2.1", 17, udp(1000, 53, nil)))
}

func TestFloodDoesNotPushOutEstablishedFlows(t *testing.T) {
	const maxFlows = 8192
	r := newRig(t, maxFlows, testPolicy())
	established := manyFlows(maxFlows / 2)
	if n, err := r.Seed(testEndpoint, established); n != len(established) || err != nil {
		t.Fatal(n, err)
	}
	var passed, refused uint64
	for n := range uint32(10 * maxFlows) {
		switch r.send(numbered(1<<20+n, n%2 == 0)) {
		case tcxNext:
			passed++
		case tcxDrop:
			refused++
		}
	}
	c, err := r.Counters()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d passed, %d refused, %+v, reclaimed %d", passed, refused, c.Table, r.mem.state.Reclaimed)
	if refused == 0 || c.Table.Refused != refused || c.Endpoints[testEndpoint].OtherDroppedPackets.Packets != refused {
		t.Errorf("%d packets were refused; counted %d and %d", refused, c.Table.Refused, c.Endpoints[testEndpoint].OtherDroppedPackets.Packets)
	}
	if c.Table.Flows > maxFlows || c.Table.Emergencies != 1 || !c.Table.Emergency {
		t.Errorf("table %+v", c.Table)
	}
	if f := r.capture(sluice.FlowFilter{DestinationAddress: "192.0.2.44"}); len(f) != len(established) {
		t.Errorf("%d established flows are left of %d", len(f), len(established))
	}
	for _, f := range established[:100] {
		if a := r.send(ether(ipv4(f.Source.String(), "192.0.2.44", 6, tcp(int(f.SourcePort), 443, 1, 1, flagACK, nil)))); a != tcxNext {
			t.Fatalf("a packet of an established flow: action %d", int32(a))
		}
	}
	// Six seconds later the new ones are over, and the cleaner ends the emergency.
	if err := r.rewind(6e9); err != nil {
		t.Fatal(err)
	}
	await(t, "the emergency is over", 10*time.Second, func() bool { return atomic.LoadUint64(&r.mem.state.Emergency) == 0 })
	await(t, "only the established are left", 10*time.Second, func() bool {
		return atomic.LoadUint64(&r.mem.state.Used) <= uint64(len(established)+maxFlows/5)
	})
	if f := r.capture(sluice.FlowFilter{DestinationAddress: "192.0.2.44"}); len(f) != len(established) {
		t.Errorf("%d established flows are left of %d", len(f), len(established))
	}
	if a := r.send(numbered(1<<23, true)); a != tcxNext {
		t.Errorf("a new flow after the emergency: action %d", int32(a))
	}
}

func TestStatelessPacketsPassAFullTable(t *testing.T) {
	p := testPolicy()
	p.StatelessDefault = sluice.ActionPass
	r := newRig(t, MaxFlowsMin, p)
	for n := range uint32(2 * MaxFlowsMin) {
		if a := r.send(numbered(n, false)); a != tcxNext {
			t.Fatalf("packet %d: action %d", n, int32(a))
		}
	}
	if c, _ := r.Counters(); c.Table.Refused == 0 || c.Table.Flows > MaxFlowsMin {
		t.Errorf("table %+v", c.Table)
	}
}

func TestCleanerFreesWhatIsOver(t *testing.T) {
	t.Parallel() // it waits for seconds
	r := newRig(t, 4096, testPolicy())
	for n := range uint32(1000) {
		r.send(numbered(n, n%2 == 0))
	}
	if err := r.rewind(61e9); err != nil {
		t.Fatal(err)
	}
	if f := r.capture(); len(f) != 0 {
		t.Errorf("%d flows that are over are captured", len(f))
	}
	await(t, "the table is empty", 10*time.Second, func() bool { return atomic.LoadUint64(&r.mem.state.Used) == 0 })
	for b := range r.mem.tags {
		if r.mem.tags[b].Tag != [flowsPerBucket]uint32{} {
			t.Fatalf("bucket %d has tags %v", b, r.mem.tags[b].Tag)
		}
	}
}

func TestCleanerFreesWhatAFlushLeftBehind(t *testing.T) {
	t.Parallel() // it waits for seconds
	r := newRig(t, 4096, testPolicy())
	r.send(numbered(1, false))
	now, err := monotonic()
	if err != nil {
		t.Fatal(err)
	}
	f := compile(selection(t), uint16(r.slot))
	marked, err := r.markFlows(t.Context(), &f, now)
	if err != nil || len(marked) != 1 {
		t.Fatal(marked, err)
	}
	// A process that dies here leaves it marked. It is no flow any more, ...
	if len(r.capture()) != 0 {
		t.Error("a marked flow is captured")
	}
	r.send(numbered(1, false))
	if f := r.capture(); len(f) != 1 || f[0].Packets[0] != 1 {
		t.Errorf("flows %v, want a new one", f)
	}
	// ... and some seconds later it is gone.
	await(t, "the marked entry is free", 15*time.Second, func() bool { return atomic.LoadUint64(&r.mem.state.Used) == 1 })
}

func TestConcurrentPacketsOfOneFlowMakeOneEntry(t *testing.T) {
	r := newRig(t, 65536, testPolicy())
	const flows, workers = 3000, 4
	var start, wg sync.WaitGroup
	start.Add(1)
	for range workers {
		wg.Go(func() {
			start.Wait()
			for n := range uint32(flows) {
				if _, err := r.ingress.Run(&ebpf.RunOptions{Data: numbered(n, false)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	start.Done()
	wg.Wait()
	got := r.capture()
	for _, f := range got {
		if f.Packets != [2]uint64{workers, 0} {
			t.Fatalf("%s, want %d packets", short(f), workers)
		}
	}
	if used := r.mem.state.Used; len(got) != flows || used != flows {
		t.Errorf("%d flows, %d entries used, want %d", len(got), used, flows)
	}
}

func TestTableHoldsWhatItPromises(t *testing.T) {
	r := newRig(t, 1<<16, testPolicy())
	n, err := r.Seed(testEndpoint, manyFlows(1<<16))
	if err != nil {
		t.Fatal(err)
	}
	// With two buckets of eight to choose from, all but a few in a million find room.
	if n < 1<<16-3 {
		t.Errorf("%d flows found room in a table for %d", n, 1<<16)
	}
}

func TestFlowTakesLessMemoryThanOneOfConntrack(t *testing.T) {
	d := testDatapath(t, MaxFlowsDefault)
	n, err := d.MemoryBytes()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes for %d flows: %d each", n, MaxFlowsDefault, n/MaxFlowsDefault)
	if n/MaxFlowsDefault > 256 { // sizeof(struct nf_conn), without its buckets
		t.Error("that is too much")
	}
}

func TestFlushCutsASubnetAmongOthers(t *testing.T) {
	r := newRig(t, 65536, testPolicy())
	flows := manyFlows(10256 * 8)[:0]
	for i, f := range manyFlows(10256 * 8) {
		if i%8 == 0 { // one of each host: 10.0.0.0 to 10.0.40.15
			flows = append(flows, f)
		}
	}
	if n, err := r.Seed(testEndpoint, flows); n != len(flows) || err != nil {
		t.Fatal(n, err)
	}
	cut := flushAll(t, r.Datapath, sluice.FlowFilter{SourceAddress: "10.0.7.0/24"})
	if len(cut) != 256 {
		t.Errorf("%d flows were cut, want 256", len(cut))
	}
	for _, f := range cut {
		if f.Source.As4()[2] != 7 || f.Packets != [2]uint64{10, 8} {
			t.Errorf("cut %s", short(f))
		}
	}
	if left := r.capture(); len(left) != 10000 || r.mem.state.Used != 10000 {
		t.Errorf("%d flows are left in %d entries, want 10000", len(left), r.mem.state.Used)
	}
}

// randomFilter writes a filter as a user would.
func randomFilter(r *rand.Rand) sluice.FlowFilter {
	var f sluice.FlowFilter
	v6 := r.IntN(3) == 0
	address := func() string {
		if v6 {
			return "fd00::" + strconv.FormatInt(int64(r.IntN(20)), 16) + []string{"", "/128", "/124", "/64", "/0"}[r.IntN(5)]
		}
		return "10.0." + strconv.Itoa(r.IntN(3)) + "." + strconv.Itoa(r.IntN(20)) + []string{"", "/32", "/28", "/24", "/8", "/0"}[r.IntN(6)]
	}
	port := func() string {
		a, b := r.IntN(12), r.IntN(12)
		return []string{"", "ANY", "any", strconv.Itoa(a), strconv.Itoa(min(a, b)) + ":" + strconv.Itoa(max(a, b)), "0:65535"}[r.IntN(6)]
	}
	if r.IntN(4) > 0 {
		f.SourceAddress = address()
	}
	if f.SourceAddress == "" || r.IntN(3) == 0 {
		f.DestinationAddress = address()
	}
	if r.IntN(2) == 0 {
		for range 1 + r.IntN(3) {
			f.Protocols = append(f.Protocols, []string{"6", "17", "1", "58", "132", "47"}[r.IntN(6)])
		}
	}
	if ports := f.Protocols == nil || slices.ContainsFunc(f.Protocols, func(p string) bool { return p == "6" || p == "17" || p == "132" }); ports {
		f.SourcePort, f.DestinationPort = port(), port()
	}
	return f
}

// plainly makes the slow and obvious evaluation of a filter.
func plainly(f sluice.FlowFilter) func(sluice.Flow) bool {
	in := func(s string) func(netip.Addr) bool {
		if s == "" {
			return func(netip.Addr) bool { return true }
		}
		if p, err := netip.ParsePrefix(s); err == nil {
			return p.Contains
		}
		return func(a netip.Addr) bool { return netip.MustParseAddr(s) == a }
	}
	port := func(s string) func(sluice.Flow, uint16) bool {
		r, _, _ := sluice.ParsePortRange(s)
		return func(f sluice.Flow, n uint16) bool {
			return r.All() || n >= r.From && n <= r.To && slices.Contains([]uint8{6, 17, 132}, f.Protocol)
		}
	}
	source, destination := in(f.SourceAddress), in(f.DestinationAddress)
	sport, dport := port(f.SourcePort), port(f.DestinationPort)
	return func(flow sluice.Flow) bool {
		return source(flow.Source) && destination(flow.Destination) &&
			sport(flow, flow.SourcePort) && dport(flow, flow.DestinationPort) &&
			(f.Protocols == nil || slices.Contains(f.Protocols, strconv.Itoa(int(flow.Protocol))))
	}
}

// randomFlows makes n different flows of few hosts and ports. They live for longer than
// the test: all but those of TCP are established.
func randomFlows(random *rand.Rand, n int) (flows []sluice.Flow, index map[testnet.Tuple]int) {
	index = map[testnet.Tuple]int{}
	for len(flows) < n {
		f := sluice.Flow{Protocol: []uint8{6, 6, 17, 17, 1, 58, 132, 47}[random.IntN(8)], Engine: sluice.EngineStateful,
			State: sluice.FlowEstablished, Age: time.Duration(random.IntN(100000)) * time.Millisecond}
		if f.Protocol == 6 {
			f.State = sluice.FlowState(random.IntN(2))
		}
		a := func(v6 bool) netip.Addr {
			if v6 {
				return netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(random.IntN(20))})
			}
			return netip.AddrFrom4([4]byte{10, 0, byte(random.IntN(3)), byte(random.IntN(20))})
		}
		v6 := random.IntN(3) == 0
		f.Source, f.Destination = a(v6), a(v6)
		if slices.Contains([]uint8{6, 17, 132}, f.Protocol) {
			f.SourcePort, f.DestinationPort = uint16(random.IntN(12)), uint16(random.IntN(12))
		}
		if _, ok := index[tuple(f)]; !ok {
			index[tuple(f)] = len(flows)
			flows = append(flows, f)
		}
	}
	return flows, index
}

func TestFiltersSelectWhatAPlainEvaluationSelects(t *testing.T) {
	r := newRig(t, 8192, testPolicy())
	random := rand.New(rand.NewPCG(1, 2))
	flows, index := randomFlows(random, 2000)
	if n, err := r.Seed(testEndpoint, flows); n != len(flows) || err != nil {
		t.Fatal(n, err)
	}
	seeded := time.Now()
	selected := 0
	for i := range 3000 {
		filters := make([]sluice.FlowFilter, 1+random.IntN(3)*random.IntN(8))
		var plain []func(sluice.Flow) bool
		for n := range filters {
			filters[n] = randomFilter(random)
			plain = append(plain, plainly(filters[n]))
		}
		s := selection(t, filters...)
		s.MinimumAge = time.Duration(random.IntN(2)*random.IntN(100)) * time.Second
		got := make([]bool, len(flows))
		started := time.Since(seeded)
		err := r.Capture(t.Context(), testEndpoint, s, func(b sluice.FlowBlock) error {
			for _, f := range b {
				n, ok := index[tuple(f)]
				if !ok || got[n] {
					t.Errorf("unexpected %s", short(f))
				}
				got[n] = true
				selected++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		ended := time.Since(seeded)
		for n, f := range flows {
			want := slices.ContainsFunc(plain, func(holds func(sluice.Flow) bool) bool { return holds(f) })
			const tick = 20 * time.Millisecond // of the coarse clock, and some
			young := f.Age+ended+tick < s.MinimumAge
			old := f.Age+started-tick >= s.MinimumAge
			if got[n] && (!want || young) || !got[n] && want && old {
				t.Fatalf("capture %d: filters %+v, minimum age %v: %s of age %v: got %v, want %v",
					i, filters, s.MinimumAge, short(f), f.Age, got[n], want)
			}
		}
	}
	t.Logf("%d rows in 3000 captures, %v", selected, time.Since(seeded))
}

func TestCaptureEndsWithItsContextAndWithEmit(t *testing.T) {
	r := newRig(t, 8192, testPolicy())
	if _, err := r.Seed(testEndpoint, manyFlows(100)); err != nil {
		t.Fatal(err)
	}
	if err := r.Capture(t.Context(), testEndpoint, selection(t), func(sluice.FlowBlock) error { return errClosed }); err == nil {
		t.Error("emit failed, and the capture did not")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Capture(ctx, testEndpoint, selection(t), func(sluice.FlowBlock) error { return nil }); err == nil {
		t.Error("the capture outlived its context")
	}
	if err := r.Flush(ctx, testEndpoint, selection(t), func(sluice.FlowBlock) error { return nil }); err == nil {
		t.Error("the flush outlived its context")
	}
	if n := len(r.capture()); n != 100 {
		t.Errorf("%d flows are left, want all 100", n)
	}
	if err := r.Capture(t.Context(), "vpce-other", selection(t), nil); err == nil {
		t.Error("an endpoint that is not here can be captured")
	}
}

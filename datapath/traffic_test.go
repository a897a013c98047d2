package datapath

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"sluice"
	"sluice/internal/testnet"
)

// echo answers what comes in on every connection.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			io.Copy(c, c)
		}()
	}
}

func exchange(t testing.TB, c net.Conn, n int) {
	t.Helper()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, n)
	go c.Write(make([]byte, n))
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatalf("exchange %d bytes: %v", n, err)
	}
}

// datagrams sends n datagrams and awaits an answer to each.
func datagrams(t testing.TB, top *topology, address string, n int) {
	t.Helper()
	s := top.listenPacket(top.server, "udp", address)
	go func() {
		b := make([]byte, 2000)
		for {
			n, from, err := s.ReadFrom(b)
			if err != nil {
				return
			}
			s.WriteTo(b[:n], from)
		}
	}()
	c, err := top.dial(top.client, "udp", s.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 2000)
	for i := range n {
		if _, err := c.Write(b[:100+i]); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(b); err != nil {
			t.Fatal(err)
		}
	}
}

// tuple is the key of a flow in a packet counter.
func tuple(f sluice.Flow) testnet.Tuple {
	return testnet.Tuple{Source: f.Source, Destination: f.Destination, SourcePort: f.SourcePort,
		DestinationPort: f.DestinationPort, Protocol: f.Protocol}
}

// awaitEqualCounts awaits that a capture says of every flow what a packet socket counted
// on the device that all packets cross, in either direction.
func awaitEqualCounts(t testing.TB, d *Datapath, c *testnet.Counter, flows int, filters ...sluice.FlowFilter) {
	t.Helper()
	var last []sluice.Flow
	defer func() {
		if t.Failed() {
			for _, f := range last {
				a, b := c.Flow(tuple(f))
				t.Logf("%s; counted %v and %v", short(f), a, b)
			}
		}
	}()
	await(t, "a capture and the packet socket agree", 5*time.Second, func() bool {
		last = captureFrom(t, d, testEndpoint, filters...)
		for _, f := range last {
			there, back := c.Flow(tuple(f))
			if there != (sluice.Counter{Packets: f.Packets[0], Bytes: f.Bytes[0]}) ||
				back != (sluice.Counter{Packets: f.Packets[1], Bytes: f.Bytes[1]}) {
				return false
			}
		}
		return len(last) == flows
	})
}

func TestFlowsCountWhatAPacketSocketCounts(t *testing.T) {
	top := newTopology(t)
	d := testDatapath(t, 4096)
	st := apply(t, d, top.endpoint(testPolicy()))
	if len(st[0].Attached) != 2 || len(st[0].Missing) != 0 {
		t.Fatalf("status %+v", st[0])
	}
	counter, err := testnet.Count(top.gateway, "client0")
	if err != nil {
		t.Fatal(err)
	}
	defer counter.Close()
	for _, address := range []string{"10.9.2.2", "fd09:2::2"} {
		l := top.listen(top.server, "tcp", net.JoinHostPort(address, "0"))
		go echo(l)
		for _, n := range []int{10, 1000000} {
			c, err := top.dial(top.client, "tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			exchange(t, c, n)
		}
		datagrams(t, top, net.JoinHostPort(address, "0"), 50)
		if err := testnet.Ping(t.Context(), top.client, netip.MustParseAddr(address), 3, 100); err != nil {
			t.Fatal(err)
		}
	}
	awaitEqualCounts(t, d, counter, 8,
		sluice.FlowFilter{SourceAddress: "10.9.1.2", DestinationAddress: "10.9.2.2"},
		sluice.FlowFilter{SourceAddress: "fd09:1::2", DestinationAddress: "fd09:2::2"})
	for _, f := range captureFrom(t, d, testEndpoint, sluice.FlowFilter{SourceAddress: "10.9.1.2"}) {
		if f.State != sluice.FlowEstablished || f.Engine != sluice.EngineStateful {
			t.Errorf("unexpected %s", short(f))
		}
	}
}

func TestCutDatagramsBecomeANewFlow(t *testing.T) {
	top := newTopology(t)
	d := testDatapath(t, 4096)
	apply(t, d, top.endpoint(testPolicy()))
	udpOnly := sluice.FlowFilter{SourceAddress: "10.9.1.2", Protocols: []string{"17"}}
	datagrams(t, top, "10.9.2.2:7777", 20)
	cut := flushAll(t, d, udpOnly)
	if len(cut) != 1 || cut[0].Packets != [2]uint64{20, 20} {
		t.Fatalf("cut %v", cut)
	}
	if f := captureFrom(t, d, testEndpoint, udpOnly); len(f) != 0 {
		t.Fatalf("still there: %v", f)
	}
	datagrams(t, top, "10.9.2.2:7778", 5)
	if f := captureFrom(t, d, testEndpoint, udpOnly); len(f) != 1 || f[0].Packets != [2]uint64{5, 5} {
		t.Fatalf("flows %v", f)
	}
}

func TestStatelessDefaultsAreEnforced(t *testing.T) {
	top := newTopology(t)
	d := testDatapath(t, 4096)
	l := top.listen(top.server, "tcp", "10.9.2.2:0")
	go echo(l)
	p := testPolicy()
	p.StatelessDefault = sluice.ActionPass
	apply(t, d, top.endpoint(p))
	c, err := top.dial(top.client, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	exchange(t, c, 1000)
	f := captureFrom(t, d, testEndpoint, onlyTCP...)
	if len(f) != 1 || f[0].Engine != sluice.EngineStateless || f[0].State != sluice.FlowEstablished {
		t.Fatalf("flows %v", f)
	}
	p.StatelessDefault, p.Generation = sluice.ActionDrop, 2
	apply(t, d, top.endpoint(p))
	before := verdicts(t, d)
	c.Write([]byte("x"))
	await(t, "the stateless engine drops", 3*time.Second, func() bool {
		return verdicts(t, d).DroppedStateless.Packets > before.DroppedStateless.Packets
	})
	if v := verdicts(t, d); v.PassedStateless != before.PassedStateless {
		t.Errorf("something passed: %+v, before %+v", v, before)
	}
}

func TestInterfaceThatComesBackIsAttachedAgain(t *testing.T) {
	top := newTopology(t)
	d := testDatapath(t, 4096)
	endpoint := top.endpoint(testPolicy())
	apply(t, d, endpoint)
	drain := func() {
		for {
			select {
			case <-d.Changed():
			default:
				return
			}
		}
	}
	awaitChange := func(what string) {
		t.Helper()
		select {
		case <-d.Changed():
		case <-time.After(3 * time.Second):
			t.Fatalf("no change was signalled after %s", what)
		}
	}
	drain()
	top.in(top.gateway, func() error {
		l, err := netlink.LinkByName("client0")
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	})
	awaitChange("a device went")
	if st := apply(t, d, endpoint); len(st[0].Missing) != 1 || st[0].Missing[0] != "eni-1" || len(st[0].Attached) != 1 {
		t.Fatalf("status %+v", st[0])
	}
	drain()
	top.wire(top.client, "eth0", top.gateway, "client0", 1)
	awaitChange("a device came")
	if st := apply(t, d, endpoint); len(st[0].Missing) != 0 || len(st[0].Attached) != 2 {
		t.Fatalf("status %+v", st[0])
	}
	datagrams(t, top, "10.9.2.2:0", 5)
	if f := captureFrom(t, d, testEndpoint, sluice.FlowFilter{SourceAddress: "10.9.1.2"}); len(f) != 1 || f[0].Packets != [2]uint64{5, 5} {
		t.Fatalf("flows %v, want one with each packet counted once", f)
	}
	drain()
	if err := testnet.RemoveNamespace(top.gateway); err != nil {
		t.Fatal(err)
	}
	awaitChange("a namespace went")
	if st := apply(t, d, endpoint); len(st[0].Missing) != 2 || len(st[0].Attached) != 0 {
		t.Fatalf("status %+v", st[0])
	}
}

func TestRestartKeepsFlowsCountersAndFilter(t *testing.T) {
	top := newTopology(t)
	dir := bpffs(t)
	endpoint := top.endpoint(testPolicy())
	first := openDatapath(t, dir, 4096)
	apply(t, first, endpoint)
	l := top.listen(top.server, "tcp", "10.9.2.2:0")
	go echo(l)
	c, err := top.dial(top.client, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	counter, err := testnet.Count(top.gateway, "client0")
	if err != nil {
		t.Fatal(err)
	}
	defer counter.Close()
	exchange(t, c, 1000)
	before := captureFrom(t, first, testEndpoint, onlyTCP...)[0]
	counted := verdicts(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := first.Capture(context.Background(), testEndpoint, selection(t), nil); err == nil {
		t.Error("a closed datapath captures")
	}
	exchange(t, c, 5000) // nobody has the table open

	second := openDatapath(t, dir, 4096)
	if f := captureFrom(t, second, testEndpoint, onlyTCP...); len(f) != 1 || f[0].Age < before.Age ||
		f[0].Bytes[0] < before.Bytes[0]+5000 {
		t.Errorf("after the restart %v, before %v", f, before)
	}
	apply(t, second, endpoint)
	if v := verdicts(t, second); v.PassedStateful.Packets <= counted.PassedStateful.Packets || v.DroppedStateful.Packets != 0 {
		t.Errorf("counters after the restart %+v, before %+v", v, counted)
	}
	exchange(t, c, 100)
	f := captureFrom(t, second, testEndpoint, onlyTCP...)
	if len(f) != 1 || f[0].Bytes[0] < 6100 {
		t.Fatalf("flows %v", f)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}

	// Another size: a new table, and programs that run on it without a gap.
	third := openDatapath(t, dir, 8192)
	apply(t, third, endpoint)
	if f := captureFrom(t, third, testEndpoint, onlyTCP...); len(f) != 0 {
		t.Errorf("flows in a new table: %v", f)
	}
	datagrams(t, top, "10.9.2.2:0", 3)
	if f := captureFrom(t, third, testEndpoint, sluice.FlowFilter{SourceAddress: "10.9.1.2", Protocols: []string{"17"}}); len(f) != 1 {
		t.Errorf("flows %v", f)
	}
	if n, err := tables(dir); err != nil || len(n) != 1 {
		t.Errorf("tables %v, %v; want the new one alone", n, err)
	}
	if err := third.Remove(); err != nil {
		t.Fatal(err)
	}
	exchangeFails := make([]byte, 1)
	c.SetDeadline(time.Now().Add(2 * time.Second))
	c.Write(exchangeFails)
	if _, err := c.Read(exchangeFails); err != nil {
		t.Errorf("after Remove nothing filters, but: %v", err)
	}
}

func TestEndpointWithAProblemKeepsWhatRuns(t *testing.T) {
	top := newTopology(t)
	d := testDatapath(t, 4096)
	endpoint := top.endpoint(testPolicy())
	apply(t, d, endpoint)
	broken := endpoint
	broken.Policy.StatelessDefault = "aws:unheard_of"
	if st := d.Apply(t.Context(), []sluice.Endpoint{broken}); st[0].Problem == "" {
		t.Fatalf("status %+v", st[0])
	}
	datagrams(t, top, "10.9.2.2:0", 3)
	f := captureFrom(t, d, testEndpoint, sluice.FlowFilter{SourceAddress: "10.9.1.2"})
	if len(f) != 1 || f[0].Packets != [2]uint64{3, 3} {
		t.Errorf("flows %v, want one with each packet counted once", f)
	}
}

func TestEndpointThatLeavesTakesItsFlowsAlong(t *testing.T) {
	top := newTopology(t)
	d := testDatapath(t, 4096)
	apply(t, d, top.endpoint(testPolicy()))
	datagrams(t, top, "10.9.2.2:0", 3)
	if c, err := d.Counters(); err != nil || c.Table.Flows == 0 {
		t.Fatalf("%+v, %v", c, err)
	}
	apply(t, d)
	c, err := d.Counters()
	if err != nil || c.Table.Flows != 0 || len(c.Endpoints) != 0 {
		t.Fatalf("%+v, %v", c, err)
	}
	other := top.endpoint(testPolicy())
	other.ID = "vpce-00000000000000002"
	apply(t, d, other)
	if f := captureFrom(t, d, other.ID, sluice.FlowFilter{SourceAddress: "10.9.1.2"}); len(f) != 0 {
		t.Errorf("the next endpoint has flows: %v", f)
	}
	if err := d.Capture(t.Context(), testEndpoint, selection(t), nil); err == nil {
		t.Error("the endpoint that left can be captured")
	}
}

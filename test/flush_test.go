package test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	nfw "github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"

	"sluice/internal/testserver"
)

// transfer keeps a TCP connection busy in both directions until it fails or is
// told to stop, and reports its end.
type transfer struct {
	conn net.Conn
	stop chan struct{}
	end  chan error
}

func startTransfer(c net.Conn) *transfer {
	tr := &transfer{conn: c, stop: make(chan struct{}), end: make(chan error, 1)}
	go func() {
		block := string(make([]byte, 32<<10))
		for {
			select {
			case <-tr.stop:
				tr.end <- nil
				return
			default:
			}
			if err := talk(c, block); err != nil {
				tr.end <- err
				return
			}
		}
	}()
	return tr
}

func TestFlushInMidTransferFollowsTheStreamExceptionPolicy(t *testing.T) {
	for _, c := range []struct {
		policy types.StreamExceptionPolicy
		check  func(t *testing.T, b *bed, cut *transfer)
	}{
		{types.StreamExceptionPolicyDrop, func(t *testing.T, b *bed, cut *transfer) {
			err := <-cut.end
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the cut connection ended with %v; DROP is silence", err)
			}
			if rows := b.capture(filter("src=10.77.1.2", "dport=7001")); len(rows) != 0 {
				t.Errorf("%d flows of the cut connection are back", len(rows))
			}
		}},
		{types.StreamExceptionPolicyReject, func(t *testing.T, b *bed, cut *transfer) {
			// Whoever sends is reset. Where that was the server alone, the client
			// learns it when it sends.
			err := <-cut.end
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = talk(cut.conn, "is anybody there?")
			}
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the cut connection ended with %v; REJECT is a RST", err)
			}
		}},
		{types.StreamExceptionPolicyContinue, func(t *testing.T, b *bed, cut *transfer) {
			// Whoever was the first to send again is the source.
			rows := b.awaitRows(1, filter("src=10.77.1.2", "dport=7001"), filter("dst=10.77.1.2", "sport=7001"))
			reversed := fmt.Sprintf("6 %s>%s", cut.conn.RemoteAddr(), cut.conn.LocalAddr())
			if tuple := tupleOf(rows[0]); *rows[0].Age > 2 || tuple != tupleOfConn(cut.conn) && tuple != reversed {
				t.Errorf("came back as %s with age %d", tuple, *rows[0].Age)
			}
			close(cut.stop)
			if err := <-cut.end; err != nil {
				t.Errorf("the connection ended with %v; CONTINUE lets it go on", err)
			}
		}},
	} {
		t.Run(string(c.policy), func(t *testing.T) {
			b := newBed(t, bedOptions{exception: c.policy})
			b.echo(7001)
			b.echo(7002)
			cut := startTransfer(b.dial("tcp", b.server4(7001)))
			kept := startTransfer(b.dial("tcp", b.server4(7002)))
			b.awaitRows(2, filter("src=10.77.1.2", "proto=6"))
			// Old enough that an age near zero after the flush says something.
			b.awaitAge(3, filter("src=10.77.1.2", "dport=7001"))

			rows := b.flush(filter("src=10.77.1.2", "dport=7001", "proto=6"))
			if len(rows) != 1 || tupleOf(rows[0]) != tupleOfConn(cut.conn) {
				t.Fatalf("the flush lists %d flows", len(rows))
			}
			if rows[0].ByteCount < 64<<10 || *rows[0].Age < 3 {
				t.Errorf("the flush lists %d bytes and age %d", rows[0].ByteCount, *rows[0].Age)
			}
			c.check(t, b, cut)
			close(kept.stop)
			if err := <-kept.end; err != nil {
				t.Errorf("the other connection ended: %v", err)
			}
			// Whoever connects anew begins a flow like any other.
			b.must(talk(b.dial("tcp", b.server4(7001)), "again"))
		})
	}
}

func TestAFlushedUDPExchangeBeginsANewFlow(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.echo(7001)
	c := b.dial("udp", b.server4(7001))
	for range 5 {
		b.must(talk(c, "before"))
	}
	b.awaitAge(2, filter("src=10.77.1.2", "proto=17"))
	cut := b.flush(filter("src=10.77.1.2", "proto=17"))
	if len(cut) != 1 || tupleOf(cut[0]) != tupleOfConn(c) || *cut[0].PacketCount != 10 {
		t.Fatalf("the flush lists %+v", cut)
	}
	b.must(talk(c, "after"))
	rows := b.capture(filter("src=10.77.1.2", "proto=17"))
	if len(rows) != 1 || *rows[0].PacketCount != 2 || *rows[0].Age > 1 {
		t.Fatalf("the exchange came back as %+v", rows)
	}
}

// TestAFlushOfANetworkTouchesNothingElse cuts a /24 of 256 flows among 10,000.
func TestAFlushOfANetworkTouchesNothingElse(t *testing.T) {
	b := newBed(t, bedOptions{maxFlows: 65536})
	b.routeNobody()
	f := b.flooder(b.Client)
	from := netip.AddrPortFrom(b.Hosts()[0].IPv4, 5000)
	const others = 10_000
	want := map[string]int64{} // by destination: packets
	for n := range others + 256 {
		to := nobodyAt(n, 53)
		for range 1 + n%3 {
			b.must(f.udp(from, to))
		}
		want[to.Addr().String()] = int64(1 + n%3)
	}
	cut := b.flush(filter("dst=10.78.7.99/24", "proto=17"))
	if len(cut) != 256 {
		t.Errorf("the flush cut %d flows", len(cut))
	}
	for _, row := range cut {
		if to := netip.MustParseAddr(*row.DestinationAddress.AddressDefinition); to.As4()[2] != 7 {
			t.Fatalf("the flush cut %s", to)
		}
		delete(want, *row.DestinationAddress.AddressDefinition)
	}
	left := b.capture(filter("dst=10.78.0.0/16"))
	if len(left) != others {
		t.Errorf("%d flows are left of %d", len(left), others)
	}
	for _, row := range left {
		to := *row.DestinationAddress.AddressDefinition
		if want[to] != int64(*row.PacketCount) {
			t.Fatalf("%s has %d packets, not %d", to, *row.PacketCount, want[to])
		}
		delete(want, to)
	}
	if len(want) != 0 {
		t.Errorf("%d flows are missing", len(want))
	}
}

// TestAFloodCannotPushOutEstablishedFlows sends new flows of ten times the table.
func TestAFloodCannotPushOutEstablishedFlows(t *testing.T) {
	const table = 8192
	b := newBed(t, bedOptions{maxFlows: table})
	b.routeNobody()
	b.echo(7001)
	var conns []net.Conn
	for range 200 {
		c := b.dial("tcp", b.server4(7001))
		b.must(talk(c, "before"))
		conns = append(conns, c)
	}
	f := b.flooder(b.Client)
	host := b.Hosts()[0].IPv4
	before := b.residentMiB()
	for n := range 10 * table {
		from := netip.AddrPortFrom(host, uint16(1024+n%60000))
		to := nobodyAt(n%65536, uint16(80+n>>16))
		if n%2 == 0 {
			b.must(f.syn(from, to))
		} else {
			b.must(f.udp(from, to))
		}
	}
	for _, c := range conns {
		if err := talk(c, "after"); err != nil {
			t.Fatalf("an established connection was lost: %v", err)
		}
	}
	found := map[string]bool{}
	for _, row := range b.capture(filter("src="+host.String(), "dport=7001", "proto=6")) {
		found[tupleOf(row)] = true
	}
	for _, c := range conns {
		if !found[tupleOfConn(c)] {
			t.Errorf("%s is gone from the table", tupleOfConn(c))
		}
	}
	refused := b.metric("sluice_flow_table_refused_total")
	if refused < 5*table {
		t.Errorf("%v refusals were counted for %d flows over the table", refused, 9*table)
	}
	if b.metric("sluice_flow_table_emergencies_total") < 1 {
		t.Error("no emergency was counted")
	}
	if grown := b.residentMiB() - before; grown > 100 {
		t.Errorf("the process grew by %d MiB", grown)
	}
}

// TestResultsPageInAStableOrderWhileTrafficGoesOn reads 1,050 flows in pages of 100.
func TestResultsPageInAStableOrderWhileTrafficGoesOn(t *testing.T) {
	b := newBed(t, bedOptions{maxFlows: 65536})
	b.routeNobody()
	f := b.flooder(b.Client)
	from := netip.AddrPortFrom(b.Hosts()[0].IPv4, 5000)
	for n := range 1050 {
		b.must(f.udp(from, nobodyAt(n, 53)))
	}
	op, err := b.client.StartFlowCapture(b.ctx, &nfw.StartFlowCaptureInput{
		FirewallArn: &b.firewall, FlowFilters: []types.FlowFilter{filter("dst=10.78.0.0/16")}})
	b.must(err)
	_, err = testserver.Finish(b.ctx, b.client, b.firewall, *op.FlowOperationId)
	b.must(err)

	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if err := f.udp(from, nobodyAt(n%20000, 53)); err != nil {
				stopped <- err
				return
			}
			time.Sleep(20 * time.Microsecond) // leaves a core to the server
		}
	}()
	var runs [2][]string
	for i := range runs {
		var in = nfw.ListFlowOperationResultsInput{FirewallArn: &b.firewall, FlowOperationId: op.FlowOperationId, MaxResults: new(int32)}
		*in.MaxResults = 100
		var sizes []int
		for {
			page, err := b.client.ListFlowOperationResults(b.ctx, &in)
			b.must(err)
			sizes = append(sizes, len(page.Flows))
			for _, row := range page.Flows {
				runs[i] = append(runs[i], fmt.Sprint(tupleOf(row), *row.PacketCount, row.ByteCount, *row.Age))
			}
			if in.NextToken = page.NextToken; in.NextToken == nil {
				break
			}
		}
		if fmt.Sprint(sizes) != "[100 100 100 100 100 100 100 100 100 100 50]" {
			t.Errorf("pages of %v", sizes)
		}
	}
	close(stop)
	b.must(<-stopped)
	seen := map[string]bool{}
	for n, row := range runs[0] {
		if seen[row] {
			t.Errorf("%s twice", row)
		}
		seen[row] = true
		if n < len(runs[1]) && runs[1][n] != row {
			t.Fatalf("row %d was %s and is %s", n, row, runs[1][n])
		}
	}
	if len(seen) != 1050 {
		t.Errorf("%d flows", len(seen))
	}
}

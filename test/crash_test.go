package test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	nfw "github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"

	"sluice/internal/testnet"
	"sluice/internal/testserver"
)

// crashes is how often the server is killed.
const crashes = 20

// stream sends numbered datagrams at a steady rate and checks that each arrives.
type stream struct {
	conn           net.Conn
	stop           chan struct{}
	sent, received atomic.Uint64
	failed         chan error
	done           chan struct{}
}

// startStream sends from the client to a sink of the server's.
func (b *bed) startStream(port uint16) *stream {
	b.t.Helper()
	sink, err := testnet.ListenPacket(b.Server, "udp", fmt.Sprintf("%s:%d", b.Hosts()[1].IPv4, port))
	b.must(err)
	b.must(sink.(*net.UDPConn).SetReadBuffer(8 << 20))
	b.t.Cleanup(func() { sink.Close() })
	s := &stream{conn: b.dial("udp", b.server4(port)), stop: make(chan struct{}), failed: make(chan error, 2), done: make(chan struct{})}
	go func() {
		buf := make([]byte, 64)
		for next := uint64(0); ; next++ {
			n, _, err := sink.ReadFrom(buf)
			if err != nil {
				return
			}
			if got := binary.BigEndian.Uint64(buf[:n]); got != next {
				s.failed <- fmt.Errorf("datagram %d came where %d was due", got, next)
				return
			}
			s.received.Add(1)
		}
	}()
	go func() {
		defer close(s.done)
		tick := time.NewTicker(500 * time.Microsecond)
		defer tick.Stop()
		buf := make([]byte, 8)
		for {
			select {
			case <-s.stop:
				return
			case <-tick.C:
			}
			binary.BigEndian.PutUint64(buf, s.sent.Load())
			if _, err := s.conn.Write(buf); err != nil {
				s.failed <- err
				return
			}
			s.sent.Add(1)
		}
	}()
	return s
}

// TestKillNineTwentyTimes kills the server under traffic and in the middle of
// captures. Packets, counters, ages, the filter and what was acknowledged go on.
func TestKillNineTwentyTimes(t *testing.T) {
	b := newBed(t, bedOptions{maxFlows: 65536, exception: types.StreamExceptionPolicyDrop})
	b.routeNobody()
	b.echo(7001)
	flood := b.flooder(b.Client)
	for n := range 20_000 {
		b.must(flood.udp(netip.AddrPortFrom(b.Hosts()[0].IPv4, 5000), nobodyAt(n, 53)))
	}
	held := b.dial("tcp", b.server4(7001))
	b.must(talk(held, "before"))
	s := b.startStream(7009)
	arrivals, err := testnet.Count(b.Server, "eth0")
	b.must(err)
	defer arrivals.Close()

	last := b.awaitRows(1, filter("src=10.77.1.2", "dport=7001"))[0]
	var acknowledged []string
	tags := map[string]string{}
	for n := range crashes {
		key := fmt.Sprintf("crash-%d", n)
		_, err := b.client.TagResource(b.ctx, &nfw.TagResourceInput{ResourceArn: &b.firewall,
			Tags: []types.Tag{{Key: &key, Value: aws.String("yes")}}})
		b.must(err)
		tags[key] = "yes"
		op, err := b.client.StartFlowCapture(b.ctx, &nfw.StartFlowCaptureInput{FirewallArn: &b.firewall,
			FlowFilters: []types.FlowFilter{filter("src=10.77.1.0/24")}})
		b.must(err)
		acknowledged = append(acknowledged, *op.FlowOperationId)
		time.Sleep(time.Duration(n) * time.Millisecond) // the kill meets another moment each time
		b.server.Kill()

		// Nobody is there, and the firewall still is.
		b.must(talk(held, "while nobody is there"))
		stray := netip.AddrPortFrom(b.Hosts()[0].IPv4, uint16(30000+n))
		b.must(flood.ack(stray, b.server4(7001)))
		b.must(b.server.Start(b.ctx))

		row := b.awaitRows(1, filter("src=10.77.1.2", "dport=7001", fmt.Sprintf("sport=%d", addrOf(held).Port())))[0]
		if *row.Age < *last.Age || *row.PacketCount < *last.PacketCount+2 || row.ByteCount <= last.ByteCount {
			t.Fatalf("crash %d: age %d, %d packets, %d bytes after %d, %d, %d", n,
				*row.Age, *row.PacketCount, row.ByteCount, *last.Age, *last.PacketCount, last.ByteCount)
		}
		last = row
		b.checkAcknowledged(acknowledged, tags)
		if forward, _ := arrivals.Flow(testnet.Tuple{Source: stray.Addr(), SourcePort: stray.Port(),
			Destination: b.Hosts()[1].IPv4, DestinationPort: 7001, Protocol: 6}); forward.Packets != 0 {
			t.Fatalf("crash %d: a segment without a flow got through while nobody was there", n)
		}
	}
	close(s.stop)
	<-s.done
	b.awaitReceived(s)
}

// checkAcknowledged asks for everything that the server has ever confirmed.
func (b *bed) checkAcknowledged(operations []string, tags map[string]string) {
	b.t.Helper()
	d, err := b.client.DescribeFirewall(b.ctx, &nfw.DescribeFirewallInput{FirewallArn: &b.firewall})
	b.must(err)
	found := map[string]string{}
	for _, tag := range d.Firewall.Tags {
		found[*tag.Key] = *tag.Value
	}
	for k, v := range tags {
		if found[k] != v {
			b.t.Fatalf("tag %s was acknowledged and is %q", k, found[k])
		}
	}
	for _, id := range operations {
		end, err := testserver.Finish(b.ctx, b.client, b.firewall, id)
		b.must(err)
		page, err := b.client.ListFlowOperationResults(b.ctx, &nfw.ListFlowOperationResultsInput{FirewallArn: &b.firewall, FlowOperationId: &id})
		b.must(err)
		switch end.FlowOperationStatus {
		case types.FlowOperationStatusCompleted:
			if len(page.Flows) != 100 || end.StatusMessage != nil {
				b.t.Fatalf("operation %s is COMPLETED with a first page of %d", id, len(page.Flows))
			}
		case types.FlowOperationStatusFailed:
			if len(page.Flows) != 0 || aws.ToString(end.StatusMessage) != "Flow operation error" {
				b.t.Fatalf("operation %s is FAILED (%s) with %d flows", id, aws.ToString(end.StatusMessage), len(page.Flows))
			}
		case types.FlowOperationStatusCompletedWithErrors:
			// The rows were safe on disk; whether every host had been heard was not.
			if len(page.Flows) != 100 || aws.ToString(end.StatusMessage) != "Flow operation error" {
				b.t.Fatalf("operation %s is COMPLETED_WITH_ERRORS (%s) with a first page of %d", id, aws.ToString(end.StatusMessage), len(page.Flows))
			}
		default:
			b.t.Fatalf("operation %s ended %s", id, end.FlowOperationStatus)
		}
	}
}

func (b *bed) awaitReceived(s *stream) {
	b.t.Helper()
	for s.received.Load() != s.sent.Load() {
		select {
		case err := <-s.failed:
			b.t.Fatal(err)
		case <-b.ctx.Done():
			b.t.Fatalf("%d of %d datagrams arrived", s.received.Load(), s.sent.Load())
		case <-time.After(time.Millisecond):
		}
	}
	b.t.Logf("%d datagrams, none lost", s.sent.Load())
}

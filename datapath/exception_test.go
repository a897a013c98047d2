package datapath

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice"
)

// flushAll cuts every flow of the test's endpoint.
func flushAll(t testing.TB, d *Datapath, filters ...sluice.FlowFilter) []sluice.Flow {
	t.Helper()
	var cut []sluice.Flow
	err := d.Flush(context.Background(), testEndpoint, selection(t, filters...), func(b sluice.FlowBlock) error {
		cut = append(cut, b...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return cut
}

// onlyTCP leaves out what hosts send of themselves, such as multicast listener reports.
var onlyTCP = []sluice.FlowFilter{
	{SourceAddress: "0.0.0.0/0", Protocols: []string{"6"}}, {SourceAddress: "::/0", Protocols: []string{"6"}},
}

func verdicts(t testing.TB, d *Datapath) sluice.VerdictCounters {
	t.Helper()
	c, err := d.Counters()
	if err != nil {
		t.Fatal(err)
	}
	return c.Endpoints[testEndpoint]
}

// hookPositions are the ways through the hooks: forwarded packets meet the firewall at
// ingress, or at egress when only the device by which they leave carries it, and a
// connection of the gateway itself meets it at egress on its way out.
func (top *topology) hookPositions() map[string]struct {
	client     string
	interfaces []sluice.InterfaceRef
} {
	client0 := sluice.InterfaceRef{ID: "eni-1", Netns: top.gateway, Device: "client0"}
	server0 := sluice.InterfaceRef{ID: "eni-2", Netns: top.gateway, Device: "server0"}
	type position = struct {
		client     string
		interfaces []sluice.InterfaceRef
	}
	return map[string]position{
		"forwarded, seen at ingress": {top.client, []sluice.InterfaceRef{client0, server0}},
		"forwarded, seen at egress":  {top.client, []sluice.InterfaceRef{server0}},
		"local, seen at egress":      {top.gateway, []sluice.InterfaceRef{server0}},
	}
}

func TestFlushedConnectionMeetsStreamException(t *testing.T) {
	top := newTopology(t)
	d := testDatapath(t, 4096)
	generation := uint32(0)
	for name, at := range top.hookPositions() {
		for _, family := range []string{"10.9.2.2", "[fd09:2::2]"} {
			for _, exception := range []string{sluice.StreamExceptionDrop, sluice.StreamExceptionContinue, sluice.StreamExceptionReject} {
				t.Run(strings.Join([]string{name, family, exception}, "/"), func(t *testing.T) {
					generation++
					p := testPolicy()
					p.Generation, p.StreamException = generation, exception
					st := apply(t, d, sluice.Endpoint{ID: testEndpoint, Policy: p, Interfaces: at.interfaces})
					if st[0].PolicyGeneration != generation {
						t.Fatalf("policy generation %d", st[0].PolicyGeneration)
					}
					flushInMidTransfer(t, top, d, at.client, family, exception)
				})
			}
		}
	}
}

func flushInMidTransfer(t *testing.T, top *topology, d *Datapath, client, address, exception string) {
	l := top.listen(top.server, "tcp", address+":0")
	served := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			served <- c
		}
	}()
	c, err := top.dial(client, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := <-served
	defer s.Close()
	go io.Copy(io.Discard, s)
	stop := make(chan struct{})
	writing := writeUntil(stop, c)
	await(t, "data flows", 3*time.Second, func() bool {
		f := captureFrom(t, d, testEndpoint, onlyTCP...)
		return len(f) == 1 && f[0].Bytes[0] > 10<<20
	})
	before := verdicts(t, d)
	cut := flushAll(t, d, onlyTCP...)
	if len(cut) != 1 || cut[0].State != sluice.FlowEstablished || cut[0].Bytes[0] < 10<<20 {
		t.Fatalf("flush cut %v", cut)
	}
	switch exception {
	case sluice.StreamExceptionContinue:
		await(t, "the flow is there again", 3*time.Second, func() bool {
			f := captureFrom(t, d, testEndpoint, onlyTCP...)
			return len(f) == 1 && f[0].State == sluice.FlowEstablished && f[0].Bytes[0]+f[0].Bytes[1] > 10<<20
		})
		close(stop)
		if err := <-writing; err != nil {
			t.Errorf("writer: %v", err)
		}
	case sluice.StreamExceptionReject:
		select {
		case err := <-writing:
			if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Errorf("writer got %v, want a reset", err)
			}
		case <-time.After(3 * time.Second):
			t.Error("the writer got no reset")
		}
		if v := verdicts(t, d); v.RejectedPackets.Packets == before.RejectedPackets.Packets {
			t.Error("no packet was counted as rejected")
		}
	case sluice.StreamExceptionDrop:
		await(t, "packets are dropped", 3*time.Second, func() bool {
			return verdicts(t, d).DroppedStateful.Packets > before.DroppedStateful.Packets
		})
		select {
		case err := <-writing:
			t.Errorf("the writer ended with %v, want it to hang", err)
		case <-time.After(300 * time.Millisecond):
		}
		if f := captureFrom(t, d, testEndpoint, onlyTCP...); len(f) != 0 {
			t.Errorf("flow came back: %v", short(f[0]))
		}
	}
	v := verdicts(t, d)
	if v.StreamExceptionPolicyPackets.Packets == before.StreamExceptionPolicyPackets.Packets {
		t.Error("no packet was counted under the stream exception policy")
	}
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
	s.(*net.TCPConn).SetLinger(0)
	s.Close()
	flushAll(t, d, onlyTCP...)
}

// writeUntil writes as fast as it can and tells how that ended.
func writeUntil(stop <-chan struct{}, c net.Conn) <-chan error {
	ended := make(chan error, 1)
	go func() {
		b := make([]byte, 64<<10)
		for {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			if _, err := c.Write(b); err != nil {
				ended <- err
				return
			}
		}
	}()
	return ended
}

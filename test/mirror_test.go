package test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"sluice/internal/testnet"
	"sluice/receive"
)

// mirroredPort is the port of the stream that is mirrored.
const mirroredPort = 7007

// copies is a sink that counts the copies of each datagram of a stream.
type copies struct {
	mu   sync.Mutex
	seen map[uint64]int
	ipv4 int // of all: those that came over IPv4
}

// Write reads the number of a datagram: Ethernet 14, IPv4 20, UDP 8 bytes before it.
func (c *copies) Write(p receive.Packet) error {
	f := p.Frame
	if len(f) < 50 || f[23] != 17 || binary.BigEndian.Uint16(f[36:]) != mirroredPort {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[binary.BigEndian.Uint64(f[42:])]++
	if p.From.Addr().Is4() {
		c.ipv4++
	}
	return nil
}

func (c *copies) Flush() error { return nil }

// arrived is how many copies came over IPv4 or IPv6.
func (c *copies) arrived(ipv4 bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ipv4 {
		return c.ipv4
	}
	return len(c.seen) - c.ipv4
}

func (c *copies) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen)
}

// compare tells how many of the first n datagrams have no copy, or several.
func (c *copies) compare(n uint64) (lost, twice int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range n {
		switch c.seen[i] {
		case 0:
			lost++
		case 1:
		default:
			twice++
		}
	}
	return lost, twice
}

// receive lets the sensor receive until the test ends.
func (b *bed) receive(sink receive.Sink) *receive.Receiver {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.ctx)
	var r *receive.Receiver
	b.must(testnet.Do(b.Sensor, func() (err error) {
		r, err = receive.Listen(ctx, "[::]:4789", sink)
		return err
	}))
	end := make(chan error, 1)
	go func() { end <- r.Run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-end; err != nil {
			b.t.Error(err)
		}
	})
	return r
}

// mirror makes a session from the gateway's device towards the client to the
// sensor, for UDP alone, and waits until packets meet it.
func (b *bed) mirror() (sessionID string) {
	b.t.Helper()
	return *b.mirrorWith(&ec2.CreateTrafficMirrorFilterRuleInput{
		TrafficDirection: types.TrafficDirectionIngress, RuleNumber: aws.Int32(1), Protocol: aws.Int32(17),
		SourceCidrBlock: aws.String("0.0.0.0/0"), DestinationCidrBlock: aws.String("0.0.0.0/0"),
	}).TrafficMirrorSessionId
}

// mirrorWith is mirror with rules that accept.
func (b *bed) mirrorWith(rules ...*ec2.CreateTrafficMirrorFilterRuleInput) *types.TrafficMirrorSession {
	b.t.Helper()
	cfg, err := b.server.AWSConfig(b.ctx)
	b.must(err)
	c := ec2.NewFromConfig(cfg)
	nics, err := c.DescribeNetworkInterfaces(b.ctx, &ec2.DescribeNetworkInterfacesInput{})
	b.must(err)
	var source, target *string
	for _, n := range nics.NetworkInterfaces {
		if aws.ToString(n.PrivateIpAddress) == b.Hosts()[2].IPv4.String() {
			target = n.NetworkInterfaceId
		} else {
			source = n.NetworkInterfaceId
		}
	}
	t, err := c.CreateTrafficMirrorTarget(b.ctx, &ec2.CreateTrafficMirrorTargetInput{NetworkInterfaceId: target})
	b.must(err)
	f, err := c.CreateTrafficMirrorFilter(b.ctx, &ec2.CreateTrafficMirrorFilterInput{})
	b.must(err)
	for _, r := range rules {
		r.TrafficMirrorFilterId, r.RuleAction = f.TrafficMirrorFilter.TrafficMirrorFilterId, types.TrafficMirrorRuleActionAccept
		_, err = c.CreateTrafficMirrorFilterRule(b.ctx, r)
		b.must(err)
	}
	s, err := c.CreateTrafficMirrorSession(b.ctx, &ec2.CreateTrafficMirrorSessionInput{
		NetworkInterfaceId: source, TrafficMirrorTargetId: t.TrafficMirrorTarget.TrafficMirrorTargetId,
		TrafficMirrorFilterId: f.TrafficMirrorFilter.TrafficMirrorFilterId, SessionNumber: aws.Int32(1),
	})
	b.must(err)
	b.awaitMetric(fmt.Sprintf("network_interface=%q} 1", *source), "sluice_traffic_mirror_source_attached")
	return s.TrafficMirrorSession
}

// awaitMetric waits until a scrape has a line that begins with a name and ends as
// given.
func (b *bed) awaitMetric(ending, name string) {
	b.t.Helper()
	for {
		text, err := b.server.Metrics(b.ctx)
		b.must(err)
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, name+"{") && strings.HasSuffix(line, ending+"\n") {
				return
			}
		}
		select {
		case <-b.ctx.Done():
			b.t.Fatalf("no metric %s ends with %s", name, ending)
		case <-time.After(time.Millisecond):
		}
	}
}

// TestMirroringOutlivesKillNineTwentyTimes kills the server under a stream that is
// mirrored. Every datagram arrives, and the sensor gets exactly one copy of each:
// there is no moment at which nothing is attached.
func TestMirroringOutlivesKillNineTwentyTimes(t *testing.T) {
	b := newBed(t, bedOptions{maxFlows: 65536, sensor: true})
	sink := &copies{seen: map[uint64]int{}}
	receiver := b.receive(sink)
	session := b.mirror()
	s := b.startStream(mirroredPort)
	for range crashes {
		b.server.Kill()
		b.must(b.server.Start(b.ctx))
	}
	close(s.stop)
	<-s.done
	sent := s.sent.Load()
	for s.received.Load() < sent || sink.count() < int(sent) {
		select {
		case err := <-s.failed:
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
			continue
		case <-b.ctx.Done():
		}
		break
	}
	counts, err := receiver.Counts()
	b.must(err)
	if got := s.received.Load(); got != sent {
		t.Errorf("%d of %d datagrams arrived", got, sent)
	}
	lost, twice := sink.compare(sent)
	t.Logf("%d datagrams through %d crashes: %d without a copy, %d with several; %+v", sent, crashes, lost, twice, counts)
	if lost > 0 || twice > 0 || counts.Dropped > 0 || len(counts.Faults) > 0 {
		t.Errorf("%d datagrams without a copy, %d with several, %d copies lost at the socket, faults %v", lost, twice, counts.Dropped, counts.Faults)
	}
	b.awaitMetric(fmt.Sprintf("session=%q} %d", session, sent), "sluice_network_packets_mirror_in_total")
}

// awaitCopies sends datagrams until the sensor gets copies of them, over IPv4 or
// IPv6.
func (b *bed) awaitCopies(sink *copies, ipv4 bool) {
	b.t.Helper()
	conn := b.dial("udp", b.server4(mirroredPort))
	before, begin := sink.arrived(ipv4), uint64(time.Now().UnixNano())
	deadline := time.Now().Add(20 * time.Second)
	for n := begin; sink.arrived(ipv4) == before; n++ {
		conn.Write(binary.BigEndian.AppendUint64(nil, n)) // what is lost on the way is sent again
		if time.Now().After(deadline) {
			text, err := b.server.Metrics(b.ctx)
			b.must(err)
			for line := range strings.Lines(text) {
				if strings.Contains(line, "_mirror_") && !strings.HasPrefix(line, "#") {
					b.t.Log(strings.TrimSpace(line))
				}
			}
			b.t.Fatal("no copies arrive")
		}
		time.Sleep(2 * time.Millisecond) // between datagrams
	}
}

// ip runs ip(8) in a namespace.
func (b *bed) ip(netns, args string) {
	b.t.Helper()
	b.must(testnet.Do(netns, func() error {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
		return nil
	}))
}

func TestMirroringFollowsDevicesAddressesAndRoutes(t *testing.T) {
	b := newBed(t, bedOptions{maxFlows: 65536, sensor: true})
	sink := &copies{seen: map[uint64]int{}}
	b.receive(sink)
	b.mirror()
	b.awaitCopies(sink, true)

	t.Log("the target's address changes")
	b.ip(b.Sensor, "addr del 10.77.3.2/24 dev eth0")
	b.awaitCopies(sink, false)
	b.ip(b.Sensor, "addr add 10.77.3.9/24 dev eth0")
	b.awaitCopies(sink, true)

	t.Log("the route to the target goes and returns")
	b.must(testnet.SetLinkDown(b.Gateway, "sensor0"))
	b.must(testnet.SetLinkUp(b.Gateway, "sensor0"))
	b.awaitCopies(sink, true)

	t.Log("the source goes and comes back")
	link := b.Links[0]
	b.must(testnet.RemoveLink(b.Gateway, link.B.Device))
	b.awaitMetric("} 0", "sluice_traffic_mirror_source_attached")
	b.must(testnet.AddLink(link))
	for _, gateway := range b.Nodes[1].Gateways {
		all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if gateway.Is6() {
			all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		b.must(testnet.AddRoute(b.Client, all, gateway))
	}
	b.awaitMetric("} 1", "sluice_traffic_mirror_source_attached")
	b.awaitCopies(sink, true)
}

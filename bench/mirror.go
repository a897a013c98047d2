package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"sluice/internal/testnet"
	"sluice/internal/testserver"
)

// The windows of the mirror comparison. The ways to copy take turns, so that
// whatever else the machine does meets them alike.
const (
	mirrorRounds = 9
	sliceRounds  = 30
	mirrorWindow = 600 * time.Millisecond
	idleRounds   = 48
	idleWindow   = 400 * time.Millisecond
	mirrorSettle = 300 * time.Millisecond // after a change, for the server, the kernel and TCP to be done with it
)

// sliceLength is the PacketLength of the slicing comparison, bytes.
const sliceLength = 128

// mirrored is a lab whose gateway copies what arrives from the client.
type mirrored struct {
	testnet.LabNetwork
	server         *testserver.Server
	ec2            *ec2.Client
	source, target string // interface ids
	targetID       string
	everything     string // filter ids
	nothing        string
	uplink         *uplink
}

// way is one way to copy the traffic, or not to.
type way struct {
	name  string
	begin func(context.Context) (end func() error, err error)
	count func() (delivery, error) // copies so far; nil where there are none

	rates  []float64 // Gbit/s of the traffic itself
	copies []float64 // per second
	bulk   []float64 // Gbit/s of copies
}

// benchMirror measures what mirroring costs its source, and how fast slices are
// made, in a lab and with a server of its own.
func benchMirror(ctx context.Context, binary string) (results []Result, err error) {
	m := &mirrored{LabNetwork: testnet.Lab("bench-mirror-")}
	if err := m.Remove(); err != nil { // of a run that crashed
		return nil, err
	}
	if err := m.Create(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Remove()) }()
	dir, err := os.MkdirTemp("", "sluice-bench-mirror-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	server, err := newMirrorServer(binary, dir, m)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Detach()) }()
	if err := server.Start(ctx); err != nil {
		return nil, err
	}
	if err := m.prepare(ctx, server); err != nil {
		return nil, err
	}
	if m.uplink, err = newUplink(m.Gateway, "sensor0"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.uplink.close()) }()
	return m.measure(ctx)
}

func (m *mirrored) measure(ctx context.Context) ([]Result, error) {
	plain := &way{name: "not mirrored", begin: func(context.Context) (func() error, error) { return func() error { return nil }, nil }}
	beside := &way{name: plain.name, begin: plain.begin}
	idle := &way{name: "session matches nothing", begin: m.session(0, &m.nothing)}
	whole := &way{name: "mirrored whole", begin: m.session(0, &m.everything), count: m.uplink.read}
	tc := &way{name: "tc mirred into a VXLAN device", begin: m.mirred, count: m.uplink.read}
	sliced := &way{name: "slices", begin: m.session(sliceLength, &m.everything), count: m.uplink.read}
	segment := &way{name: "copy and segment, to nowhere", begin: m.segmented, count: m.atSegments}
	path := &way{name: "copy, segment, tc mirred into a VXLAN device", begin: m.segmentedVXLAN, count: m.uplink.read}
	truncated := &way{name: "truncated", begin: m.narrowed(whole.begin), count: m.uplink.read}
	fragments := &way{name: "tc mirred into a VXLAN device, which fragments", begin: m.narrowed(tc.begin), count: m.uplink.read}
	slow := *sliced // beside what is not mirrored
	if err := m.race(ctx, runtime.NumCPU(), mirrorRounds, mirrorWindow, plain, whole, tc, truncated, fragments, &slow); err != nil {
		return nil, err
	}
	if err := m.race(ctx, runtime.NumCPU(), sliceRounds, mirrorWindow, segment, sliced, path); err != nil {
		return nil, err
	}
	// A small difference takes many turns, each right after the other.
	if err := m.race(ctx, runtime.NumCPU(), idleRounds, idleWindow, beside, idle); err != nil {
		return nil, err
	}
	one, onePath := *sliced, *path
	one.rates, one.copies, onePath.rates, onePath.copies = nil, nil, nil, nil
	if err := m.race(ctx, 1, mirrorRounds, mirrorWindow, &one, &onePath); err != nil {
		return nil, err
	}
	for _, w := range []*way{whole, tc, sliced, segment, path, truncated} {
		if middle(w.copies) == 0 {
			return nil, fmt.Errorf("mirror: %s made no copies", w.name)
		}
	}
	return []Result{
		paired("TCP, mirrored whole", "Gbit/s", whole.rates, plain.rates, plain.name, 0.8),
		paired("TCP, mirrored whole", "Gbit/s", whole.rates, tc.rates, tc.name, 0),
		paired("copies that leave, mirrored whole", "Gbit/s", whole.bulk, tc.bulk, tc.name, 0),
		paired("TCP, session matches nothing", "Gbit/s", idle.rates, beside.rates, plain.name, 0.97),
		paired("slices of 128 bytes", "copies/s", sliced.copies, path.copies, path.name, 1.5),
		paired("slices of 128 bytes", "copies/s", sliced.copies, segment.copies, segment.name, 0),
		paired("slices of 128 bytes, one stream", "copies/s", one.copies, onePath.copies, path.name, 0),
		paired("TCP, copies truncated to a path of 1500 bytes", "Gbit/s", truncated.rates, plain.rates, plain.name, 0.8),
		paired("TCP, copies truncated to a path of 1500 bytes", "Gbit/s", truncated.rates, fragments.rates, fragments.name, 0),
		paired("TCP, sliced to 128 bytes", "Gbit/s", slow.rates, plain.rates, plain.name, 0),
	}, nil
}

// race measures each way in turn while TCP flows, in as many streams as are asked for:
// with one for each CPU none of them has time to spare, which would hide what copying
// costs. Every other round goes backwards, so that none always comes first.
func (m *mirrored) race(ctx context.Context, n, rounds int, window time.Duration, ways ...*way) (err error) {
	s, err := startStreams(ctx, m.LabNetwork, n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for range rounds {
		for _, w := range ways {
			if err := w.measure(ctx, s, window); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
		slices.Reverse(ways)
	}
	return nil
}

func (w *way) measure(ctx context.Context, s *streams, window time.Duration) (err error) {
	end, err := w.begin(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	time.Sleep(mirrorSettle)
	copies := func() (delivery, error) { return delivery{}, nil }
	if w.count != nil {
		copies = w.count
	}
	before, err := copies()
	if err != nil {
		return err
	}
	received, began := s.received.Load(), time.Now()
	time.Sleep(window)
	took := time.Since(began).Seconds()
	bytes := s.received.Load() - received
	after, err := copies()
	if err != nil {
		return err
	}
	w.rates = append(w.rates, float64(bytes)*8/1e9/took)
	w.copies = append(w.copies, float64(after.packets-before.packets)/took)
	w.bulk = append(w.bulk, float64(after.bytes-before.bytes)*8/1e9/took)
	return s.failure()
}

func newMirrorServer(binary, dir string, m *mirrored) (*testserver.Server, error) {
	path, err := absolute(binary)
	if err != nil {
		return nil, err
	}
	return testserver.New(testserver.Options{Binary: path, Dir: dir, Interfaces: []testserver.Interface{
		{Netns: m.Gateway, Device: "client0"}, {Netns: m.Sensor, Device: "eth0"},
	}})
}

// prepare makes the target and both filters.
func (m *mirrored) prepare(ctx context.Context, s *testserver.Server) error {
	m.server = s
	cfg, err := s.AWSConfig(ctx)
	if err != nil {
		return err
	}
	m.ec2 = ec2.NewFromConfig(cfg)
	all, err := m.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{})
	if err != nil {
		return err
	}
	for _, n := range all.NetworkInterfaces {
		switch hosts := m.Hosts(); aws.ToString(n.PrivateIpAddress) {
		case hosts[2].IPv4.String():
			m.target = *n.NetworkInterfaceId
		default:
			m.source = *n.NetworkInterfaceId
		}
	}
	target, err := m.ec2.CreateTrafficMirrorTarget(ctx, &ec2.CreateTrafficMirrorTargetInput{NetworkInterfaceId: &m.target})
	if err != nil {
		return err
	}
	m.targetID = *target.TrafficMirrorTarget.TrafficMirrorTargetId
	if m.everything, err = m.filter(ctx, "0.0.0.0/0"); err != nil {
		return err
	}
	m.nothing, err = m.filter(ctx, "203.0.113.0/24")
	return err
}

// filter makes a filter that accepts what comes from a block, in both directions.
func (m *mirrored) filter(ctx context.Context, from string) (string, error) {
	made, err := m.ec2.CreateTrafficMirrorFilter(ctx, &ec2.CreateTrafficMirrorFilterInput{})
	if err != nil {
		return "", err
	}
	id := made.TrafficMirrorFilter.TrafficMirrorFilterId
	for _, direction := range []types.TrafficDirection{types.TrafficDirectionIngress, types.TrafficDirectionEgress} {
		_, err := m.ec2.CreateTrafficMirrorFilterRule(ctx, &ec2.CreateTrafficMirrorFilterRuleInput{
			TrafficMirrorFilterId: id, TrafficDirection: direction, RuleNumber: aws.Int32(1), RuleAction: types.TrafficMirrorRuleActionAccept,
			SourceCidrBlock: aws.String(from), DestinationCidrBlock: aws.String("0.0.0.0/0"),
		})
		if err != nil {
			return "", err
		}
	}
	return *id, nil
}

// session is a way that copies through a session of the product.
func (m *mirrored) session(packetLength int32, filter *string) func(context.Context) (func() error, error) {
	return func(ctx context.Context) (func() error, error) {
		in := &ec2.CreateTrafficMirrorSessionInput{NetworkInterfaceId: &m.source, TrafficMirrorTargetId: &m.targetID,
			TrafficMirrorFilterId: filter, SessionNumber: aws.Int32(1), VirtualNetworkId: aws.Int32(1)}
		if packetLength > 0 {
			in.PacketLength = &packetLength
		}
		made, err := m.ec2.CreateTrafficMirrorSession(ctx, in)
		if err != nil {
			return nil, err
		}
		if err := m.awaitAttached(ctx, true); err != nil {
			return nil, err
		}
		return func() error {
			_, err := m.ec2.DeleteTrafficMirrorSession(ctx, &ec2.DeleteTrafficMirrorSessionInput{TrafficMirrorSessionId: made.TrafficMirrorSession.TrafficMirrorSessionId})
			// Or the next session would be taken for this one.
			return errors.Join(err, m.awaitAttached(ctx, false))
		}, nil
	}
}

// awaitAttached waits until packets of the source meet its session, or none any more.
func (m *mirrored) awaitAttached(ctx context.Context, attached bool) error {
	line := fmt.Sprintf("network_interface=%q} 1\n", m.source)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		text, err := m.server.Metrics(ctx)
		if err != nil {
			return err
		}
		if strings.Contains(text, line) == attached {
			return nil
		}
	}
	return fmt.Errorf("ten seconds after a change, the source is not as it should be: mirrored %t", attached)
}

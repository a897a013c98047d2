package main

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	mirrorWindow = 600 * time.Millisecond
	mirrorSettle = 100 * time.Millisecond // after a change, for TCP to find its rate again
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
	sink, err := testnet.ListenPacket(m.Sensor, "udp", "[::]:4789")
	if err != nil {
		return nil, err
	}
	defer sink.Close()
	return m.measure(ctx)
}

func (m *mirrored) measure(ctx context.Context) ([]Result, error) {
	plain := &way{name: "not mirrored", begin: func(context.Context) (func() error, error) { return func() error { return nil }, nil }}
	whole := &way{name: "mirrored whole", begin: m.session(0, &m.everything), count: m.atSensor}
	idle := &way{name: "session matches nothing", begin: m.session(0, &m.nothing)}
	tc := &way{name: "tc mirred into a VXLAN device", begin: m.mirred, count: m.atSensor}
	sliced := &way{name: "slices", begin: m.session(sliceLength, &m.everything), count: m.atSensor}
	segment := &way{name: "copy and segment, to nowhere", begin: m.segmented, count: m.atSegments}
	path := &way{name: "copy, segment, tc mirred into a VXLAN device", begin: m.segmentedVXLAN, count: m.atSensor}
	if err := m.race(ctx, plain, idle, whole, tc, sliced, segment, path); err != nil {
		return nil, err
	}
	for _, w := range []*way{whole, tc, sliced, segment, path} {
		if medianOf(w.copies) == 0 {
			return nil, fmt.Errorf("mirror: %s made no copies", w.name)
		}
	}
	return []Result{
		more("TCP, mirrored whole", "Gbit/s", medianOf(whole.rates), medianOf(plain.rates), "not mirrored", 0.8),
		more("TCP, mirrored whole", "Gbit/s", medianOf(whole.rates), medianOf(tc.rates), tc.name, 0),
		more("copies that arrive, mirrored whole", "Gbit/s", medianOf(whole.bulk), medianOf(tc.bulk), tc.name, 0),
		more("TCP, session matches nothing", "Gbit/s", medianOf(idle.rates), medianOf(plain.rates), "not mirrored", 0.97),
		more("slices of 128 bytes", "copies/s", medianOf(sliced.copies), medianOf(path.copies), path.name, 1.5),
		more("slices of 128 bytes", "copies/s", medianOf(sliced.copies), medianOf(segment.copies), segment.name, 0),
		more("TCP, sliced to 128 bytes", "Gbit/s", medianOf(sliced.rates), medianOf(plain.rates), "not mirrored", 0),
	}, nil
}

// race lets TCP flow, and measures each way in turn.
func (m *mirrored) race(ctx context.Context, ways ...*way) error {
	stream, err := startStream(ctx, m.LabNetwork)
	if err != nil {
		return err
	}
	defer stream.close()
	for range mirrorRounds {
		for _, w := range ways {
			if err := w.measure(ctx, stream); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	return nil
}

func (w *way) measure(ctx context.Context, s *stream) (err error) {
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
	time.Sleep(mirrorWindow)
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

func medianOf(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
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
		if err := m.awaitAttached(ctx); err != nil {
			return nil, err
		}
		return func() error {
			_, err := m.ec2.DeleteTrafficMirrorSession(ctx, &ec2.DeleteTrafficMirrorSessionInput{TrafficMirrorSessionId: made.TrafficMirrorSession.TrafficMirrorSessionId})
			return err
		}, nil
	}
}

// awaitAttached waits until packets of the source meet its session.
func (m *mirrored) awaitAttached(ctx context.Context) error {
	line := fmt.Sprintf("network_interface=%q} 1\n", m.source)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		text, err := m.server.Metrics(ctx)
		if err != nil {
			return err
		}
		if strings.Contains(text, line) {
			return nil
		}
	}
	return errors.New("the source was not mirrored within ten seconds")
}

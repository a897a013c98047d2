package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"sluice/internal/testnet"
)

// absolute is the path of a binary for processes that run elsewhere.
func absolute(binary string) (string, error) {
	path, err := filepath.Abs(binary)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", binary, err)
	}
	return path, nil
}

// inGateway runs commands in the gateway's namespace, one a line.
func (m *mirrored) inGateway(lines ...string) error {
	return testnet.Do(m.Gateway, func() error {
		for _, line := range lines {
			fields := strings.Fields(line)
			if out, err := exec.Command(fields[0], fields[1:]...).CombinedOutput(); err != nil {
				return fmt.Errorf("run %s: %w: %s", line, err, out)
			}
		}
		return nil
	})
}

// intoVXLAN are the commands that make a VXLAN device towards the sensor.
func (m *mirrored) intoVXLAN() []string {
	return []string{
		fmt.Sprintf("ip link add mirror0 mtu 8900 type vxlan id 1 remote %s dstport 4789 dev sensor0", m.Hosts()[2].IPv4),
		"ip link set mirror0 up",
	}
}

// intoSegments are the commands that make a pair of devices which carries only what
// fits a wire: the plain way to get each packet of a super-packet.
func intoSegments() []string {
	return []string{
		"ip link add segment0 type veth peer name segment1",
		"ip link set segment0 up", "ip link set segment1 up",
		"ethtool -K segment0 tso off gso off tx off",
	}
}

// copyTo are the commands that copy what enters and leaves the source to a device.
// The classifier is u32, which any kernel with tc has.
func copyTo(device string) []string {
	return []string{
		"tc qdisc add dev client0 clsact",
		"tc filter add dev client0 ingress protocol ip u32 match u32 0 0 action mirred egress mirror dev " + device,
		"tc filter add dev client0 egress protocol ip u32 match u32 0 0 action mirred egress mirror dev " + device,
	}
}

// narrowed lets a way begin with a path to the sensor that is as narrow as that of the
// traffic, so that no whole frame fits it in an envelope.
func (m *mirrored) narrowed(begin func(context.Context) (func() error, error)) func(context.Context) (func() error, error) {
	return func(ctx context.Context) (func() error, error) {
		if err := m.inGateway("ip link set sensor0 mtu 1500"); err != nil {
			return nil, err
		}
		widen := func() error { return m.inGateway("ip link set sensor0 mtu 9000") }
		end, err := begin(ctx)
		if err != nil {
			return nil, errors.Join(err, widen())
		}
		return func() error { return errors.Join(end(), widen()) }, nil
	}
}

// mirred copies with what every Linux has: tc's mirred action into a VXLAN device.
func (m *mirrored) mirred(context.Context) (func() error, error) {
	return m.tc("mirror0", m.intoVXLAN(), copyTo("mirror0"))
}

// segmented copies into the pair, and ends there.
func (m *mirrored) segmented(context.Context) (func() error, error) {
	return m.tc("segment0", intoSegments(), copyTo("segment0"))
}

// segmentedVXLAN copies through the pair into a VXLAN device, so that each packet of
// the wire reaches the sensor by itself.
func (m *mirrored) segmentedVXLAN(context.Context) (func() error, error) {
	end, err := m.tc("segment0", m.intoVXLAN(), intoSegments(), []string{
		"tc qdisc add dev segment1 clsact",
		"tc filter add dev segment1 ingress protocol ip u32 match u32 0 0 action mirred egress redirect dev mirror0",
	}, copyTo("segment0"))
	return func() error { return errors.Join(end(), m.inGateway("ip link del mirror0")) }, err
}

// tc runs the commands; end undoes the copying and removes a device.
func (m *mirrored) tc(device string, commands ...[]string) (end func() error, err error) {
	return func() error {
		return errors.Join(m.inGateway("tc qdisc del dev client0 clsact"), m.inGateway("ip link del "+device))
	}, m.inGateway(slices.Concat(commands...)...)
}

// delivery is what has come of copying.
type delivery struct{ packets, bytes uint64 }

// atSegments is what came out of the pair.
func (m *mirrored) atSegments() (delivery, error) { return received(m.Gateway, "segment1") }

func received(netns, device string) (d delivery, err error) {
	err = testnet.Do(netns, func() error {
		if d.packets, err = linkCounter(device, "rx_packets"); err != nil {
			return err
		}
		d.bytes, err = linkCounter(device, "rx_bytes")
		return err
	})
	return d, err
}

package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"sluice/internal/testnet"
)

// nowhere is the link address of hosts that don't exist: what the gateway forwards
// to them is delivered and dropped there, with nothing sent in answer.
const nowhere = "02:00:00:00:de:ad"

// The senders of the flood: addresses of the client's network with 10,000 ports
// each, so that one address is one percent of a million flows.
const (
	senders        = 100
	firstSender    = 100 // 10.77.1.100
	portsPerSender = 10000
	firstPort      = 10000
	receiverPort   = 9000
)

var receiver = netip.AddrFrom4([4]byte{10, 77, 2, 200})

// sender is the i-th sending address.
func sender(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 1, byte(firstSender + i)}) }

// flow is the tuple of the n-th flow of the flood.
func flow(n int) tuple {
	return tuple{sender(n / portsPerSender), receiver, uint16(firstPort + n%portsPerSender), receiverPort}
}

// gateway is a lab with a packet generator on both sides.
type gateway struct {
	testnet.LabNetwork
	fromClient, fromServer *generator
}

// newGateway builds a lab under a prefix and teaches its gateway where the flood
// goes.
func newGateway(prefix string) (*gateway, error) {
	g := &gateway{LabNetwork: testnet.Lab(prefix)}
	if err := g.Remove(); err != nil { // of a run that crashed
		return nil, err
	}
	if err := g.Create(); err != nil {
		return nil, err
	}
	var err error
	if g.fromClient, err = g.generator(g.Client, "client0"); err == nil {
		g.fromServer, err = g.generator(g.Server, "server0")
	}
	if err == nil {
		err = g.teachNeighbours()
	}
	if err != nil {
		g.Remove()
		return nil, fmt.Errorf("build gateway %s: %w", prefix, err)
	}
	return g, nil
}

func (g *gateway) close() {
	if g.fromClient != nil {
		g.fromClient.close()
	}
	if g.fromServer != nil {
		g.fromServer.close()
	}
	if err := g.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}

// generator opens a generator in a host's namespace towards the gateway's device.
func (g *gateway) generator(netns, link string) (gen *generator, err error) {
	var mac net.HardwareAddr
	err = testnet.Do(g.Gateway, func() error {
		i, err := net.InterfaceByName(link)
		if err == nil {
			mac = i.HardwareAddr
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = testnet.Do(netns, func() error {
		gen, err = openGenerator("eth0", mac)
		return err
	})
	return gen, err
}

func (g *gateway) teachNeighbours() error {
	var b strings.Builder
	fmt.Fprintf(&b, "neigh replace %s lladdr %s dev server0 nud permanent\n", receiver, nowhere)
	for i := range senders {
		fmt.Fprintf(&b, "neigh replace %s lladdr %s dev client0 nud permanent\n", sender(i), nowhere)
	}
	return g.run(context.Background(), b.String(), "ip", "-batch", "-")
}

// run runs a command in the gateway's namespace with a text as its input.
func (g *gateway) run(ctx context.Context, input, name string, args ...string) error {
	return testnet.Do(g.Gateway, func() error {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Stdin = strings.NewReader(input)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("run %s: %w: %s", name, err, out)
		}
		return nil
	})
}

// output runs a command in the gateway's namespace and returns what it printed.
func (g *gateway) output(ctx context.Context, name string, args ...string) (string, error) {
	var out []byte
	err := testnet.Do(g.Gateway, func() (err error) {
		out, err = exec.CommandContext(ctx, name, args...).Output()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("run %s: %w", name, err)
	}
	return string(out), nil
}

// establish sends one packet each way for flows 0 to n-1.
func (g *gateway) establish(n int) error {
	for i := range n {
		if err := g.fromClient.send(flow(i)); err != nil {
			return err
		}
	}
	if err := g.fromClient.flush(); err != nil {
		return err
	}
	for i := range n {
		if err := g.fromServer.send(flow(i).reversed()); err != nil {
			return err
		}
	}
	return g.fromServer.flush()
}

// delivered is how many packets have reached the server.
func (g *gateway) delivered() (n uint64, err error) {
	err = testnet.Do(g.Server, func() error {
		n, err = linkCounter("eth0", "rx_packets")
		return err
	})
	return n, err
}

// linkCounter reads a counter of a device of this thread's namespace from
// /proc/thread-self/net/dev, which follows the thread where sysfs follows the mount.
func linkCounter(device, counter string) (uint64, error) {
	text, err := os.ReadFile("/proc/thread-self/net/dev")
	if err != nil {
		return 0, fmt.Errorf("read device counters: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		name, rest, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) != device {
			continue
		}
		fields := strings.Fields(rest)
		column := map[string]int{"rx_bytes": 0, "rx_packets": 1, "tx_packets": 9}[counter]
		return strconv.ParseUint(fields[column], 10, 64)
	}
	return 0, fmt.Errorf("read device counters: no device %s", device)
}

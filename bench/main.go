package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"

	"sluice/internal/testserver"
)

// maxFlows is the size of the table: the default, with room above the flood so
// that emergency mode (from nine tenths on) stays away.
const maxFlows = 1 << 20 * 5 / 4

// flood is how many flows stand in the table while it is searched.
const flood = senders * portsPerSender

func main() {
	binary := flag.String("binary", "bin/sluice", "the sluice to measure")
	only := flag.String("only", "", "firewall or mirror: measure nothing else")
	out := flag.String("out", "bench/out/results.json", "where the results go")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	results, err := run(ctx, *binary, *only)
	printTable(os.Stdout, results)
	if werr := writeResults(*out, results); err == nil {
		err = werr
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures everything, or only a part; after an error it returns what it had
// until then.
func run(ctx context.Context, binary, only string) (results []Result, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("needs root: it makes network namespaces and loads programs")
	}
	if only != "" && only != "firewall" && only != "mirror" {
		return nil, fmt.Errorf("-only %s: want firewall or mirror", only)
	}
	lock, err := lockBench()
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if only != "mirror" {
		if results, err = benchFirewall(ctx, binary); err != nil {
			return results, err
		}
	}
	if only == "firewall" {
		return results, nil
	}
	mirror, err := benchMirror(ctx, binary)
	return append(results, mirror...), err
}

// benchFirewall measures the flow table and the firewall.
func benchFirewall(ctx context.Context, binary string) (results []Result, err error) {
	restore, err := tuneConntrack(flood)
	if err != nil {
		return nil, err
	}
	defer restore()
	var gateways []*gateway
	for _, prefix := range []string{"bench-sluice-", "bench-nft-", "bench-plain-"} {
		g, err := newGateway(prefix)
		if err != nil {
			return nil, err
		}
		defer g.close()
		gateways = append(gateways, g)
	}
	mine, nftables, plain := gateways[0], gateways[1], gateways[2]
	if err := enableConntrack(ctx, nftables); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	server, err := newServer(binary, dir, mine)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Detach()) }()
	if results, err = benchStart(ctx, server); err != nil {
		return results, err
	}
	p, err := startProduct(ctx, server, mine)
	if err != nil {
		return results, err
	}
	defer server.Stop()
	return measure(ctx, results, p, nftables, plain)
}

func measure(ctx context.Context, results []Result, p *product, nftables, plain *gateway) ([]Result, error) {
	const few = 1000
	for _, g := range []*gateway{p.gateway, nftables} {
		if err := g.establish(few); err != nil {
			return results, err
		}
	}
	more, err := benchForwarding("forwarding, 1,000 flows", p.gateway, nftables, plain, few)
	if results = append(results, more...); err != nil {
		return results, err
	}
	more, err = benchFlows(ctx, p, nftables, flood)
	if results = append(results, more...); err != nil {
		return results, err
	}
	more, err = benchForwarding("forwarding, 1,000,000 flows", p.gateway, nftables, plain, flood)
	return append(results, more...), err
}

func newServer(binary, dir string, g *gateway) (*testserver.Server, error) {
	path, err := absolute(binary)
	if err != nil {
		return nil, err
	}
	return testserver.New(testserver.Options{
		Binary: path, Dir: dir, MaxFlows: maxFlows,
		Interfaces: []testserver.Interface{{Netns: g.Gateway, Device: "client0"}},
	})
}

// startProduct starts the server and puts a firewall on the client's network.
func startProduct(ctx context.Context, s *testserver.Server, g *gateway) (*product, error) {
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	p := &product{gateway: g, server: s}
	var err error
	if p.client, err = s.Client(ctx); err != nil {
		return nil, err
	}
	policy, err := testserver.Policy(ctx, p.client, "bench", types.StreamExceptionPolicyReject)
	if err != nil {
		return nil, err
	}
	subnet, vpc, err := s.Subnet(ctx, "client")
	if err != nil {
		return nil, err
	}
	p.firewall, err = testserver.Firewall(ctx, p.client, "bench", policy, vpc, subnet)
	return p, err
}

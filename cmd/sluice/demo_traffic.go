package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"time"

	"sluice/internal/testnet"
)

// quietTime is how long no packet may pass before a capture is compared: longer
// than a delayed acknowledgement (Linux: TCP_DELACK_MAX, 200 ms).
const quietTime = 250 * time.Millisecond

// quietTries bounds how often a capture is repeated because packets passed.
const quietTries = 5

// startTraffic lets the clients connect and talk.
func (d *demoRun) startTraffic(ctx context.Context) error {
	hosts := d.config.Network.Hosts()
	client, server := hosts[0], hosts[1]
	servers, err := startEchoServers(server.Netns)
	if err != nil {
		return err
	}
	d.cleanups.add("servers", func(context.Context) error { return servers.close() })
	tcp4 := netip.AddrPortFrom(server.IPv4, demoTCPPort)
	tcp6 := netip.AddrPortFrom(server.IPv6, demoTCPPort)
	udp4 := netip.AddrPortFrom(server.IPv4, demoUDPPort)
	udp6 := netip.AddrPortFrom(server.IPv6, demoUDPPort)
	for _, plan := range []struct {
		network     string
		to          netip.AddrPort
		what        string
		turns, size int
	}{
		{"tcp", tcp4, "a megabyte each way", 16, 65536},
		{"tcp", tcp4, "a chat", 12, 80},
		{"tcp", tcp6, "a chat over IPv6", 8, 4000},
		{"udp", udp4, "questions and answers", 5, 120},
		{"udp", udp6, "the same over IPv6", 5, 1200},
	} {
		t, err := startTalk(ctx, client.Netns, plan.network, plan.to, plan.what, plan.turns, plan.size)
		if err != nil {
			return err
		}
		d.hold(t)
	}
	ping4, err := startPing(ctx, client.Netns, client.IPv4, server.IPv4, "four pings", 4, 56)
	if err != nil {
		return err
	}
	ping6, err := startPing(ctx, client.Netns, client.IPv6, server.IPv6, "three pings", 3, 1000)
	if err != nil {
		return err
	}
	d.hold(ping4)
	d.hold(ping6)
	closed, err := startTalk(ctx, client.Netns, "tcp", tcp4, "closed again", 3, 500)
	if err != nil {
		return err
	}
	return closed.conn.Close()
}

// hold keeps a connection open until the demo ends.
func (d *demoRun) hold(t *talk) {
	d.held = append(d.held, t)
	if t.conn != nil {
		d.cleanups.add("connection", func(context.Context) error { return t.conn.Close() })
	}
}

// tallies are the packet socket's counts of the connections that are held; other
// packets, such as neighbour discovery, need not be quiet.
func (d *demoRun) tallies() map[testnet.Tuple]testnet.Tally {
	all := d.counter.Tallies()
	held := make(map[testnet.Tuple]testnet.Tally, 2*len(d.held))
	for _, t := range d.held {
		held[t.tuple] = all[t.tuple]
		held[t.tuple.Reverse()] = all[t.tuple.Reverse()]
	}
	return held
}

// awaitQuiet waits until no packet of the connections has passed for quietTime.
func (d *demoRun) awaitQuiet(ctx context.Context) (map[testnet.Tuple]testnet.Tally, error) {
	last, since := d.tallies(), time.Now()
	for time.Since(since) < quietTime {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(quietTime / 10):
		}
		if now := d.tallies(); !maps.Equal(now, last) {
			last, since = now, time.Now()
		}
	}
	return last, nil
}

// errAgain is what a capture returns that has to be made once more.
var errAgain = errors.New("the host is too busy to compare")

// whileQuiet runs a capture, and returns the packet socket's counts that held
// before and after it. When packets passed meanwhile it captures again.
func (d *demoRun) whileQuiet(ctx context.Context, capture func() error) (map[testnet.Tuple]testnet.Tally, error) {
	for range quietTries {
		before, err := d.awaitQuiet(ctx)
		if err != nil {
			return nil, err
		}
		err = capture()
		if errors.Is(err, errAgain) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if maps.Equal(before, d.tallies()) {
			return before, d.checkCounter()
		}
	}
	return nil, errors.New("packets passed during each of the captures, or the host is too busy, so that counts can't be compared")
}

// checkCounter makes sure that the packet socket has missed nothing.
func (d *demoRun) checkCounter() error {
	stats, err := d.counter.Stats()
	if err != nil {
		return err
	}
	if stats.Drops > 0 {
		return fmt.Errorf("the packet socket missed %d packets, so that counts can't be compared", stats.Drops)
	}
	return nil
}

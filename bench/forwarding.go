package main

import (
	"fmt"
	"slices"
	"time"
)

// The windows of the forwarding comparison. The three gateways take turns, so that
// whatever else the machine does meets them alike.
const (
	forwardingRounds = 15
	forwardingWindow = 400 * time.Millisecond
)

// benchForwarding compares the packet rates of gateways whose first n flows are
// established.
func benchForwarding(name string, p, nftables, plain *gateway, n int) ([]Result, error) {
	tuples := make([]tuple, n)
	for i := range tuples {
		// A stride that is prime to n spreads neighbours over the table.
		tuples[i] = flow(i * 7919 % n)
	}
	gateways := []*gateway{p, nftables, plain}
	rates := make([][]float64, len(gateways))
	for range forwardingRounds {
		for i, g := range gateways {
			r, err := g.rate(tuples)
			if err != nil {
				return nil, err
			}
			rates[i] = append(rates[i], r)
		}
	}
	return []Result{
		paired(name, "packets/s", rates[0], rates[1], "nftables ct state established accept", 1),
		paired(name, "packets/s", rates[0], rates[2], "no firewall at all", 0),
	}, nil
}

// paired compares the rates of two that took turns: the ratio is the median
// of the turns' ratios, since the machine's mood differs from turn to turn.
func paired(name, unit string, mine, theirs []float64, rival string, budget float64) Result {
	ratios := make([]float64, len(mine))
	for i := range mine {
		ratios[i] = mine[i] / theirs[i]
	}
	r := more(name, unit, middle(mine), middle(theirs), rival, budget)
	r.Ratio = middle(ratios)
	r.OK = r.Ratio >= budget
	return r
}

// middle is the median.
func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// rate sends for a window and returns the packets per second that arrived.
func (g *gateway) rate(tuples []tuple) (float64, error) {
	before, err := g.delivered()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	sent, err := g.fromClient.sendFor(forwardingWindow, tuples)
	if err != nil {
		return 0, err
	}
	took := time.Since(begin)
	after, err := g.delivered()
	if err != nil {
		return 0, err
	}
	if after-before < sent/2 {
		return 0, fmt.Errorf("gateway %s delivered %d of %d packets", g.Gateway, after-before, sent)
	}
	return float64(after-before) / took.Seconds(), nil
}

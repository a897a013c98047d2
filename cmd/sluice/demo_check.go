package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"

	"sluice"
	"sluice/internal/testnet"
)

// ageTolerance is how far a flow's age may lie from the client's own watch: both
// are cut to whole seconds, and the client looks before it connects.
const ageTolerance = time.Second

// checkedFlow is a captured flow and what is known of it otherwise.
type checkedFlow struct {
	flow    types.Flow
	what    string         // the client's connection
	counted sluice.Counter // by the packet socket, both directions
}

// compareFlows matches captured flows with the connections that the clients hold
// and with the packet socket's counts. What it returns as problems is empty when
// every connection is captured once, every flow is a connection, and all numbers
// are equal.
func compareFlows(flows []types.Flow, held []*talk, tallies map[testnet.Tuple]testnet.Tally, now time.Time) (checked []checkedFlow, problems []string) {
	complain := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	byTuple := make(map[testnet.Tuple]*talk, len(held))
	for _, t := range held {
		byTuple[t.tuple] = t
	}
	seen := map[testnet.Tuple]bool{}
	for _, f := range flows {
		tuple, err := tupleOf(f)
		if err != nil {
			complain("%s", err)
			continue
		}
		t := byTuple[tuple]
		if t == nil {
			complain("captured %s, which no client holds", tupleText(tuple))
			continue
		}
		if seen[tuple] {
			complain("captured %s twice", tupleText(tuple))
		}
		seen[tuple] = true
		c := checkedFlow{flow: f, what: t.what, counted: bothWays(tallies, tuple)}
		checked = append(checked, c)
		if got := (sluice.Counter{Packets: uint64(aws.ToInt32(f.PacketCount)), Bytes: uint64(f.ByteCount)}); got != c.counted {
			complain("%s: the flow says %d packets and %d bytes, the packet socket %d and %d",
				tupleText(tuple), got.Packets, got.Bytes, c.counted.Packets, c.counted.Bytes)
		}
		age := time.Duration(aws.ToInt32(f.Age)) * time.Second
		if held := now.Sub(t.began); age > held+ageTolerance || age < held-2*ageTolerance {
			complain("%s: the flow is %s old, its client began %s ago", tupleText(tuple), age, held.Round(time.Millisecond))
		}
	}
	for _, t := range held {
		if !seen[t.tuple] {
			complain("%s is held by a client and was not captured", tupleText(t.tuple))
		}
	}
	return checked, problems
}

func bothWays(tallies map[testnet.Tuple]testnet.Tally, t testnet.Tuple) sluice.Counter {
	var sum sluice.Counter
	for _, way := range []testnet.Tally{tallies[t], tallies[t.Reverse()]} {
		for _, c := range []sluice.Counter{way.In, way.Out} {
			sum.Packets += c.Packets
			sum.Bytes += c.Bytes
		}
	}
	return sum
}

// tupleOf reads the 5-tuple of a captured flow.
func tupleOf(f types.Flow) (testnet.Tuple, error) {
	var t testnet.Tuple
	if f.SourceAddress == nil || f.DestinationAddress == nil {
		return t, fmt.Errorf("captured a flow without addresses")
	}
	source, err := netip.ParseAddr(aws.ToString(f.SourceAddress.AddressDefinition))
	if err != nil {
		return t, fmt.Errorf("read source of a captured flow: %w", err)
	}
	destination, err := netip.ParseAddr(aws.ToString(f.DestinationAddress.AddressDefinition))
	if err != nil {
		return t, fmt.Errorf("read destination of a captured flow: %w", err)
	}
	sourcePort, err := strconv.ParseUint(aws.ToString(f.SourcePort), 10, 16)
	if err != nil {
		return t, fmt.Errorf("read source port of a captured flow: %w", err)
	}
	destinationPort, err := strconv.ParseUint(aws.ToString(f.DestinationPort), 10, 16)
	if err != nil {
		return t, fmt.Errorf("read destination port of a captured flow: %w", err)
	}
	protocol, err := strconv.ParseUint(aws.ToString(f.Protocol), 10, 8)
	if err != nil {
		return t, fmt.Errorf("read protocol of a captured flow: %w", err)
	}
	return testnet.Tuple{Source: source, Destination: destination, SourcePort: uint16(sourcePort),
		DestinationPort: uint16(destinationPort), Protocol: uint8(protocol)}, nil
}

// tupleText writes a 5-tuple for people.
func tupleText(t testnet.Tuple) string {
	end := func(a netip.Addr, port uint16) string {
		if port == 0 {
			return a.String()
		}
		return netip.AddrPortFrom(a, port).String()
	}
	return protocolName(strconv.Itoa(int(t.Protocol))) + " " + end(t.Source, t.SourcePort) + " → " + end(t.Destination, t.DestinationPort)
}

// checkedTable is the table of flows with the packet socket's counts beside them.
func checkedTable(checked []checkedFlow) *table {
	t := flowTable(nil)
	t.columns = append(t.columns, column{heading: "COUNTED BESIDE", right: true}, column{heading: "CONNECTION"})
	for _, c := range checked {
		t.add(append(flowCells(c.flow), grouped(int64(c.counted.Packets))+" / "+grouped(int64(c.counted.Bytes)), c.what)...)
	}
	return t
}

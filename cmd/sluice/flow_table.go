package main

import (
	"cmp"
	"net"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"
)

// The orders of --sort; the largest comes first.
const (
	sortAge     = "age"
	sortPackets = "packets"
	sortBytes   = "bytes"
)

// sortFlows puts the largest first. Equal ones keep the order of the results.
func sortFlows(flows []types.Flow, by string) {
	var key func(types.Flow) int64
	switch by {
	case sortAge:
		key = func(f types.Flow) int64 { return int64(aws.ToInt32(f.Age)) }
	case sortPackets:
		key = func(f types.Flow) int64 { return int64(aws.ToInt32(f.PacketCount)) }
	case sortBytes:
		key = func(f types.Flow) int64 { return f.ByteCount }
	default:
		return
	}
	slices.SortStableFunc(flows, func(a, b types.Flow) int { return cmp.Compare(key(b), key(a)) })
}

// flowTable makes the table of flows that people read.
func flowTable(flows []types.Flow) *table {
	t := &table{columns: []column{{heading: "PROTOCOL"}, {heading: "SOURCE"}, {heading: "DESTINATION"},
		{heading: "AGE", right: true}, {heading: "PACKETS", right: true}, {heading: "BYTES", right: true}}}
	for _, f := range flows {
		t.add(flowCells(f)...)
	}
	return t
}

func flowCells(f types.Flow) []string {
	return []string{
		protocolName(aws.ToString(f.Protocol)),
		joinPort(f.SourceAddress, f.SourcePort),
		joinPort(f.DestinationAddress, f.DestinationPort),
		shortAge(int64(aws.ToInt32(f.Age))),
		grouped(int64(aws.ToInt32(f.PacketCount))),
		grouped(f.ByteCount),
	}
}

// joinPort writes an address with its port; protocols without ports have port 0,
// which is left out.
func joinPort(a *types.Address, port *string) string {
	if a == nil {
		return "-"
	}
	addr := strings.TrimSuffix(strings.TrimSuffix(aws.ToString(a.AddressDefinition), "/32"), "/128")
	if p := aws.ToString(port); p != "" && p != "0" {
		return net.JoinHostPort(addr, p)
	}
	return addr
}

// describeFilters writes filters in the words of --filter, one string each.
func describeFilters(filters []types.FlowFilter) []string {
	var out []string
	for _, f := range filters {
		var parts []string
		add := func(key string, value *string) {
			if aws.ToString(value) != "" {
				parts = append(parts, key+"="+*value)
			}
		}
		if f.SourceAddress != nil {
			add("source", f.SourceAddress.AddressDefinition)
		}
		add("source-port", f.SourcePort)
		if f.DestinationAddress != nil {
			add("destination", f.DestinationAddress.AddressDefinition)
		}
		add("destination-port", f.DestinationPort)
		for _, p := range f.Protocols {
			parts = append(parts, "protocol="+protocolName(p))
		}
		out = append(out, strings.Join(parts, ","))
	}
	return out
}

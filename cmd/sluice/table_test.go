package main

import (
	"bytes"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"
	"github.com/google/go-cmp/cmp"
)

func testFlow(protocol, source, sourcePort, destination, destinationPort string, age, packets int32, bytes int64) types.Flow {
	return types.Flow{Protocol: &protocol, SourceAddress: &types.Address{AddressDefinition: &source}, SourcePort: &sourcePort,
		DestinationAddress: &types.Address{AddressDefinition: &destination}, DestinationPort: &destinationPort,
		Age: &age, PacketCount: &packets, ByteCount: bytes}
}

func TestFlowsAreAnAlignedTable(t *testing.T) {
	flows := []types.Flow{
		testFlow("6", "10.77.1.2", "41234", "10.77.2.2", "8080", 3, 1234567, 98765432101),
		testFlow("58", "fd77:1::2", "0", "fd77:2::2", "0", 4000, 6, 624),
		testFlow("17", "fd77:1::2", "5000", "fd77:2::2/128", "53", 200, 1, 28),
		testFlow("253", "10.0.0.1", "0", "10.0.0.2/32", "0", 200000, 1, 28),
	}
	var b bytes.Buffer
	if err := flowTable(flows).write(&b, "  "); err != nil {
		t.Fatal(err)
	}
	want := `  PROTOCOL  SOURCE            DESTINATION       AGE    PACKETS           BYTES
  tcp       10.77.1.2:41234   10.77.2.2:8080     3s  1,234,567  98,765,432,101
  icmpv6    fd77:1::2         fd77:2::2       1h06m          6             624
  udp       [fd77:1::2]:5000  [fd77:2::2]:53  3m20s          1              28
  253       10.0.0.1          10.0.0.2        2d07h          1              28
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestTableLinesHaveNoTrailingSpaces(t *testing.T) {
	tab := &table{columns: []column{{heading: "A"}, {heading: "LONG HEADING"}}}
	tab.add("naïve → ok", "x")
	tab.add("y", "")
	var b bytes.Buffer
	if err := tab.write(&b, ""); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("A           LONG HEADING\nnaïve → ok  x\ny\n", b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestSortPutsTheLargestFirstAndKeepsEqualOnesInOrder(t *testing.T) {
	flows := func() []types.Flow {
		return []types.Flow{
			testFlow("6", "10.0.0.1", "1", "10.0.0.9", "80", 5, 10, 300),
			testFlow("6", "10.0.0.2", "1", "10.0.0.9", "80", 9, 10, 200),
			testFlow("6", "10.0.0.3", "1", "10.0.0.9", "80", 7, 90, 300),
		}
	}
	for by, want := range map[string][]string{
		"":          {"10.0.0.1", "10.0.0.2", "10.0.0.3"},
		sortAge:     {"10.0.0.2", "10.0.0.3", "10.0.0.1"},
		sortPackets: {"10.0.0.3", "10.0.0.1", "10.0.0.2"},
		sortBytes:   {"10.0.0.1", "10.0.0.3", "10.0.0.2"},
	} {
		f := flows()
		sortFlows(f, by)
		var got []string
		for _, flow := range f {
			got = append(got, aws.ToString(flow.SourceAddress.AddressDefinition))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sorted by %q: %s", by, diff)
		}
	}
}

func TestNumbersAreGroupedByThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", 100000: "100,000"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestAgesAreShort(t *testing.T) {
	for seconds, want := range map[int64]string{0: "0s", 59: "59s", 60: "1m00s", 3599: "59m59s", 3600: "1h00m", 86399: "23h59m", 86400: "1d00h"} {
		if got := shortAge(seconds); got != want {
			t.Errorf("shortAge(%d) = %q, want %q", seconds, got, want)
		}
	}
}

package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"

	"sluice"
	"sluice/internal/testnet"
)

// TestTheDemoFailsWhenACaptureIsWrong makes sure that the demo's proof can fail.
func TestTheDemoFailsWhenACaptureIsWrong(t *testing.T) {
	now := time.Now()
	tuple := testnet.Tuple{Source: netip.MustParseAddr("10.77.1.2"), Destination: netip.MustParseAddr("10.77.2.2"),
		SourcePort: 4000, DestinationPort: 8080, Protocol: sluice.ProtocolTCP}
	held := []*talk{{what: "a chat", tuple: tuple, began: now.Add(-5500 * time.Millisecond)}}
	tallies := map[testnet.Tuple]testnet.Tally{
		tuple:           {In: sluice.Counter{Packets: 6, Bytes: 600}},
		tuple.Reverse(): {Out: sluice.Counter{Packets: 4, Bytes: 200}},
	}
	right := testFlow("6", "10.77.1.2", "4000", "10.77.2.2", "8080", 5, 10, 800)
	for _, c := range []struct {
		name  string
		flows []types.Flow
		want  string // "" is no problem
	}{
		{"right", []types.Flow{right}, ""},
		{"missing", nil, "was not captured"},
		{"twice", []types.Flow{right, right}, "twice"},
		{"one more", []types.Flow{right, testFlow("6", "10.77.1.2", "4001", "10.77.2.2", "8080", 5, 10, 800)}, "which no client holds"},
		{"turned around", []types.Flow{testFlow("6", "10.77.2.2", "8080", "10.77.1.2", "4000", 5, 10, 800)}, "which no client holds"},
		{"other packets", []types.Flow{testFlow("6", "10.77.1.2", "4000", "10.77.2.2", "8080", 5, 11, 800)}, "the packet socket 10"},
		{"other bytes", []types.Flow{testFlow("6", "10.77.1.2", "4000", "10.77.2.2", "8080", 5, 10, 801)}, "801 bytes"},
		{"too old", []types.Flow{testFlow("6", "10.77.1.2", "4000", "10.77.2.2", "8080", 7, 10, 800)}, "old"},
		{"too young", []types.Flow{testFlow("6", "10.77.1.2", "4000", "10.77.2.2", "8080", 3, 10, 800)}, "old"},
		{"nonsense", []types.Flow{testFlow("6", "x", "4000", "10.77.2.2", "8080", 3, 10, 800)}, "read source"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := compareFlows(c.flows, held, tallies, now)
			got := strings.Join(problems, "; ")
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("problems %q, want %q", got, c.want)
			}
		})
	}
}

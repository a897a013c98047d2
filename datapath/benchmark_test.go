package datapath

import (
	"context"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"sluice"
)

// manyFlows makes n established TCP flows from 10.0.0.0/8, half a /16 each.
func manyFlows(n int) []sluice.Flow {
	out := make([]sluice.Flow, n)
	server := netip.MustParseAddr("192.0.2.44")
	for i := range out {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 10<<24|uint32(i/8))
		out[i] = sluice.Flow{
			Source: netip.AddrFrom4(a), Destination: server, SourcePort: uint16(1024 + i%8), DestinationPort: 443,
			Protocol: sluice.ProtocolTCP, State: sluice.FlowEstablished, Engine: sluice.EngineStateful,
			Age: time.Minute, Packets: [2]uint64{10, 8}, Bytes: [2]uint64{1000, 8000},
		}
	}
	return out
}

func millionFlows(b *testing.B) *rig {
	r := newRig(b, 1<<20, testPolicy())
	start := time.Now()
	n, err := r.Seed(testEndpoint, manyFlows(1000000))
	if err != nil || n != 1000000 {
		b.Fatalf("seeded %d: %v", n, err)
	}
	b.Logf("seeding took %v", time.Since(start))
	return r
}

func BenchmarkCapture(b *testing.B) {
	r := millionFlows(b)
	filters := map[string][]sluice.FlowFilter{
		"narrow": {{SourceAddress: "10.1.2.0/27", DestinationPort: "443", Protocols: []string{"6"}}},
		"all":    {{SourceAddress: "0.0.0.0/0"}},
	}
	for i := range 20 {
		filters["narrow x20"] = append(filters["narrow x20"], sluice.FlowFilter{
			SourceAddress: netip.AddrFrom4([4]byte{10, 1, byte(i), 0}).String() + "/27", DestinationPort: "443"})
	}
	for name, f := range filters {
		b.Run(name, func(b *testing.B) {
			s := selection(b, f...)
			for b.Loop() {
				n := 0
				err := r.Capture(context.Background(), testEndpoint, s, func(x sluice.FlowBlock) error {
					n += len(x)
					return nil
				})
				if err != nil || n == 0 {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func BenchmarkFlushOnePercent(b *testing.B) {
	r := millionFlows(b)
	s := selection(b, sluice.FlowFilter{SourceAddress: "10.0.0.0/21"}) // 16384 flows
	for b.Loop() {
		var cut []sluice.Flow
		err := r.Flush(context.Background(), testEndpoint, s, func(x sluice.FlowBlock) error {
			cut = append(cut, x...)
			return nil
		})
		if err != nil || len(cut) != 16384 {
			b.Fatal(len(cut), err)
		}
		b.StopTimer()
		if n, err := r.Seed(testEndpoint, cut); err != nil || n != len(cut) {
			b.Fatal(n, err)
		}
		b.StartTimer()
	}
}

// BenchmarkPacket runs the program on packets of established flows, without the rest
// of the network stack.
func BenchmarkPacket(b *testing.B) {
	r := millionFlows(b)
	for _, c := range []struct {
		name  string
		frame []byte
	}{
		{"established IPv4", ether(ipv4("10.1.1.1", "192.0.2.44", 6, tcp(1024, 443, 1, 1, flagACK, nil)))},
	} {
		b.Run(c.name, func(b *testing.B) {
			opts := &ebpf.RunOptions{Data: c.frame, Repeat: uint32(b.N)}
			if _, err := r.ingress.Run(opts); err != nil {
				b.Fatal(err)
			}
		})
	}
}

package results_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"sluice"
	"sluice/results"
)

// flows makes n flows as a busy gateway has them: many clients of a few servers,
// most of them TCP, some IPv6.
func flows(seed uint64, n int) sluice.FlowBlock {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make(sluice.FlowBlock, n)
	for i := range out {
		src := netip.AddrFrom4([4]byte{10, 77, byte(r.UintN(256)), byte(r.UintN(256))})
		dst := netip.AddrFrom4([4]byte{192, 0, 2, byte(r.UintN(16))})
		if r.UintN(4) == 0 {
			var a [16]byte
			a[0], a[1] = 0xfd, 0x77
			binary.BigEndian.PutUint16(a[14:], uint16(r.UintN(65536)))
			src = netip.AddrFrom16(a)
			a[14], a[15] = 0, byte(r.UintN(16))
			dst = netip.AddrFrom16(a)
		}
		age := time.Duration(r.Int64N(int64(time.Hour)))
		packets := r.Uint64N(1000)
		out[i] = sluice.Flow{
			Source: src, Destination: dst, SourcePort: uint16(r.UintN(65536)), DestinationPort: 443,
			Protocol: sluice.ProtocolTCP, State: sluice.FlowState(r.UintN(2)), Engine: sluice.EngineStateful,
			Age: age, Idle: age / time.Duration(r.Int64N(9)+1), Packets: [2]uint64{packets, packets / 2},
			Bytes: [2]uint64{packets * 77, packets * 1400},
		}
	}
	return out
}

func BenchmarkCommitOfAMillionRows(b *testing.B) {
	all := flows(1, 1_000_000)
	d := results.New(b.TempDir())
	for b.Loop() {
		if err := d.Begin("a"); err != nil {
			b.Fatal(err)
		}
		for i := 0; i < len(all); i += 512 {
			if err := d.Append("a", all[i:min(i+512, len(all))]); err != nil {
				b.Fatal(err)
			}
		}
		if n, err := d.Commit("a"); err != nil || n != int64(len(all)) {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkFirstPageOfAMillionRows(b *testing.B) {
	d := results.New(b.TempDir())
	if err := d.Begin("a"); err != nil {
		b.Fatal(err)
	}
	if err := d.Append("a", flows(1, 1_000_000)); err != nil {
		b.Fatal(err)
	}
	if _, err := d.Commit("a"); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if rows, err := d.Read("a", 0, 100); err != nil || len(rows) != 100 {
			b.Fatal(len(rows), err)
		}
	}
}

package receive_test

import (
	"io"
	"net"
	"testing"
	"time"

	"sluice/receive"
)

// BenchmarkPcapng writes full frames.
func BenchmarkPcapng(b *testing.B) {
	w := receive.NewPcapngWriter(io.Discard, 0)
	p := receive.Packet{VNI: 5, Time: time.Unix(1, 0), Frame: echoRequest(1, 1472)}
	b.SetBytes(int64(len(p.Frame)))
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Write(p); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReceiver takes datagrams from a loopback socket; the sender's half of the
// work is in the number.
func BenchmarkReceiver(b *testing.B) {
	r, err := receive.Listen(b.Context(), "127.0.0.1:0", receive.NewPcapngWriter(io.Discard, 0))
	if err != nil {
		b.Fatal(err)
	}
	go r.Run(b.Context())
	c, err := net.Dial("udp", r.Address().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	datagram := receive.Encapsulate(nil, 5, echoRequest(1, 1472))
	b.SetBytes(int64(len(datagram)))
	b.ReportAllocs()
	sent := uint64(0)
	for b.Loop() {
		if _, err := c.Write(datagram); err != nil {
			b.Fatal(err)
		}
		sent++
	}
	for {
		n, err := r.Counts()
		if err != nil {
			b.Fatal(err)
		}
		if n.Packets()+n.Dropped >= sent {
			b.ReportMetric(100*float64(n.Dropped)/float64(sent), "%lost")
			return
		}
		time.Sleep(time.Millisecond)
	}
}

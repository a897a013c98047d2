package datapath

import (
	"testing"

	"sluice"
)

func TestCopiesOfBulkTCPAreTheFramesOfTheWire(t *testing.T) {
	l := newMirrorLab(t, 1500, 9000)
	d := testDatapath(t, 1024)
	t.Cleanup(func() { d.Remove() })
	s := l.session(1)
	applyMirrors(t, d, l.mirrorSource(s))
	wire, sensor, super := openTap(t, l.peer, "eth0"), openTap(t, l.sensor, "eth0"), openTap(t, l.source, "eth0")
	l.bulk(l.source, l.peer, peerIPv4, 4<<20)
	l.bulk(l.peer, l.source, sourceIPv4, 4<<20)
	l.bulk(l.source, l.peer, peerIPv6, 1<<20)
	l.bulk(l.peer, l.source, sourceIPv6, 1<<20)
	settle(wire, sensor)
	frames := wire.take(isIP)
	copies := decapsulate(t, sensor.take(isIP))
	compare(t, frames, copies, 0)
	largest := 0
	for _, f := range super.take(isIP) {
		largest = max(largest, len(f))
	}
	c, err := d.Counters()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d frames, the largest packet at the source has %d bytes; %+v", len(frames), largest, c.Sessions[s.ID])
	var bytes uint64
	for _, f := range frames {
		bytes += uint64(len(f))
	}
	e, i := c.Sessions[s.ID].Egress, c.Sessions[s.ID].Ingress
	total := sluice.Counter{Packets: e.Mirrored.Packets + i.Mirrored.Packets, Bytes: e.Mirrored.Bytes + i.Mirrored.Bytes}
	if total.Packets != uint64(len(frames)) || total.Bytes != bytes {
		t.Errorf("counted %+v, want %d packets, %d bytes", total, len(frames), bytes)
	}
	if e.Matched != e.Mirrored || i.Matched != i.Mirrored {
		t.Errorf("matched %+v and %+v, mirrored %+v and %+v", e.Matched, i.Matched, e.Mirrored, i.Mirrored)
	}
}

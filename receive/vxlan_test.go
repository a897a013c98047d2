package receive_test

import (
	"bytes"
	"testing"

	"sluice/receive"
)

func TestOnlyCleanVXLANIsTaken(t *testing.T) {
	frame := make([]byte, 14)
	good := receive.Encapsulate(nil, 0xabcdef, frame)
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	for _, c := range []struct {
		name     string
		datagram []byte
		want     receive.Fault
	}{
		{"clean", good, receive.NoFault},
		{"empty", nil, receive.FaultShort},
		{"no whole Ethernet header", good[:21], receive.FaultShort},
		{"no VNI", change(0, 0), receive.FaultFlags},
		{"reserved flag", change(0, 0x0c), receive.FaultFlags},
		{"reserved bits 8 to 15", change(1, 1), receive.FaultReserved},
		{"reserved bits 16 to 23", change(2, 0x80), receive.FaultReserved},
		{"reserved bits 24 to 31", change(3, 1), receive.FaultReserved},
		{"reserved last byte", change(7, 1), receive.FaultReserved},
	} {
		vni, inner, fault := receive.Decapsulate(c.datagram)
		if fault != c.want {
			t.Errorf("%s: %s, want %s", c.name, fault, c.want)
		}
		if fault == receive.NoFault && (vni != 0xabcdef || len(inner) != 14) {
			t.Errorf("%s: VNI %#x, %d bytes", c.name, vni, len(inner))
		}
	}
}

func TestOriginalLengthComesFromTheIPHeader(t *testing.T) {
	v4 := append(make([]byte, 12), 0x08, 0, 0x45, 0, 0x05, 0xdc)
	vlan := append(make([]byte, 12), 0x81, 0, 0, 7, 0x08, 0, 0x45, 0, 0x05, 0xdc)
	v6 := append(make([]byte, 12), 0x86, 0xdd, 0x60, 0, 0, 0, 0x00, 0x64)
	arp := append(make([]byte, 12), 0x08, 0x06, 0, 1)
	for _, c := range []struct {
		name  string
		frame []byte
		want  int
	}{
		{"IPv4", v4, 1514}, {"IPv4 with a tag", vlan, 1518}, {"IPv6", v6, 154}, {"ARP", arp, 16},
		{"header cut off", v4[:16], 16}, {"padded beyond its IP length", append(v6[:20:20], make([]byte, 200)...), 220},
	} {
		if got := (receive.Packet{Frame: c.frame}).OriginalLength(); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func FuzzDecapsulate(f *testing.F) {
	f.Add(receive.Encapsulate(nil, 1, make([]byte, 60)))
	f.Add([]byte{8, 0, 0, 0, 0xff, 0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, datagram []byte) {
		vni, frame, fault := receive.Decapsulate(datagram)
		if fault != receive.NoFault {
			return
		}
		if back := receive.Encapsulate(nil, vni, frame); !bytes.Equal(back, datagram) {
			t.Errorf("taken %x apart and put together: %x", datagram, back)
		}
		if n := (receive.Packet{Frame: frame}).OriginalLength(); n < len(frame) {
			t.Errorf("a frame of %d bytes was %d long", len(frame), n)
		}
	})
}

func FuzzPcapngReader(f *testing.F) {
	var b bytes.Buffer
	w := receive.NewPcapngWriter(&b, 0)
	if err := w.Write(receive.Packet{VNI: 7, Frame: make([]byte, 61)}); err != nil {
		f.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		r := receive.NewPcapngReader(bytes.NewReader(file))
		for {
			if _, _, err := r.Next(); err != nil {
				return
			}
		}
	})
}

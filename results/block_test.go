package results

import (
	"hash/crc32"
	"net/netip"
	"testing"

	"github.com/klauspost/compress/s2"

	"sluice"
)

// FuzzBlock gives the decoder blocks whose checksum is right: an error or as many
// rows as the index says, never a panic.
func FuzzBlock(f *testing.F) {
	row, err := appendRow(nil, &sluice.Flow{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("::1")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s2.Encode(nil, row), uint32(len(row)), uint32(1))
	f.Add([]byte{}, uint32(0), uint32(0))
	f.Fuzz(func(t *testing.T, stored []byte, raw, count uint32) {
		e := entry{stored: uint32(len(stored)), raw: raw, rows: count % (blockRows + 1), sum: crc32.Checksum(stored, castagnoli)}
		rows, err := decodeBlock(stored, e, 0, blockRows)
		if err == nil && len(rows) != int(e.rows) {
			t.Errorf("%d rows of %d", len(rows), e.rows)
		}
	})
}

func TestARowThatCannotBeStoredIsRefused(t *testing.T) {
	ok := sluice.Flow{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.2")}
	for name, spoil := range map[string]func(*sluice.Flow){
		"no source":      func(f *sluice.Flow) { f.Source = netip.Addr{} },
		"no destination": func(f *sluice.Flow) { f.Destination = netip.Addr{} },
		"zone":           func(f *sluice.Flow) { f.Source = netip.MustParseAddr("fe80::1%eth0") },
		"state":          func(f *sluice.Flow) { f.State = 4 },
		"engine":         func(f *sluice.Flow) { f.Engine = 2 },
	} {
		f := ok
		spoil(&f)
		if _, err := appendRow(nil, &f); err == nil {
			t.Errorf("%s: stored", name)
		}
	}
	if b, err := appendRow(nil, &ok); err != nil || len(b) > maxRowBytes {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

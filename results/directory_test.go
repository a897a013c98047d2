package results_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

func begun(t *testing.T, d *results.Directory, id string, blocks ...sluice.FlowBlock) {
	t.Helper()
	if err := d.Begin(id); err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if err := d.Append(id, b); err != nil {
			t.Fatal(err)
		}
	}
}

func committed(t *testing.T, d *results.Directory, id string, blocks ...sluice.FlowBlock) int64 {
	t.Helper()
	begun(t, d, id, blocks...)
	n, err := d.Commit(id)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var byAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestRowsComeBackAsTheyWereAppended(t *testing.T) {
	dir := t.TempDir()
	want := flows(2, 9000) // three blocks, the last one not full
	want[0] = sluice.Flow{Source: netip.MustParseAddr("::ffff:1.2.3.4"), Destination: netip.MustParseAddr("ff02::1"),
		Protocol: 255, State: sluice.FlowClosed, Age: 1<<63 - 1, Idle: -1,
		Packets: [2]uint64{1<<64 - 1, 0}, Bytes: [2]uint64{0, 1<<64 - 1}, SourcePort: 65535}
	if n := committed(t, results.New(dir), "op", want[:100], nil, want[100:]); n != 9000 {
		t.Fatalf("committed %d rows", n)
	}
	d := results.New(dir) // another process
	byKey := func(all []sluice.Flow) map[sluice.Flow]int {
		m := map[sluice.Flow]int{}
		for _, f := range all {
			m[f]++
		}
		return m
	}
	all, err := d.Read("op", 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(byKey(want), byKey(all), byAddr); diff != "" {
		t.Fatal(diff)
	}
	var paged []sluice.Flow
	for offset := int64(0); ; {
		page, err := d.Read("op", offset, 97)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		paged = append(paged, page...)
		offset += int64(len(page))
	}
	if diff := cmp.Diff(all, paged, byAddr); diff != "" {
		t.Errorf("pages differ from the whole:\n%s", diff)
	}
	if n, err := d.Commit("op"); n != 9000 || err != nil {
		t.Errorf("commit of what is committed: %d, %v", n, err)
	}
}

func TestAnEmptyResultIsAResult(t *testing.T) {
	d := results.New(t.TempDir())
	if n := committed(t, d, "op"); n != 0 {
		t.Fatalf("%d rows", n)
	}
	if rows, err := d.Read("op", 0, 10); len(rows) != 0 || err != nil {
		t.Fatalf("%v, %v", rows, err)
	}
}

func TestSeveralHostsAppendAtOnce(t *testing.T) {
	d := results.New(t.TempDir())
	begun(t, d, "op")
	const hosts, blocks, rows = 8, 40, 137
	var wg sync.WaitGroup
	for h := range hosts {
		wg.Go(func() {
			for b := range blocks {
				block := flows(uint64(h*1000+b), rows)
				for i := range block {
					block[i].Packets[0] = uint64(h)<<32 | uint64(b)<<16 | uint64(i)
				}
				if err := d.Append("op", block); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, err := d.Commit("op"); n != hosts*blocks*rows || err != nil {
		t.Fatalf("%d rows, %v", n, err)
	}
	all, err := d.Read("op", 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]bool{}
	for _, f := range all {
		seen[f.Packets[0]] = true
	}
	if len(seen) != hosts*blocks*rows {
		t.Errorf("%d different rows of %d", len(seen), hosts*blocks*rows)
	}
}

func TestWhatIsNotCommittedCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	d := results.New(dir)
	begun(t, d, "op", flows(1, 10))
	if rows, err := d.Read("op", 0, 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read of an open result: %v, %v", rows, err)
	}
	after := results.New(dir) // the process died here
	if _, err := after.Commit("op"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("commit of what another process left: %v", err)
	}
	if ids, err := after.List(); len(ids) != 1 || ids[0] != "op" || err != nil {
		t.Errorf("list: %v, %v", ids, err)
	}
	if n := committed(t, after, "op", flows(2, 3)); n != 3 {
		t.Errorf("begun anew: %d rows", n)
	}
}

func TestDeleteRemovesWhateverThereIs(t *testing.T) {
	d := results.New(t.TempDir())
	committed(t, d, "a", flows(1, 5000))
	begun(t, d, "b", flows(1, 5000))
	for _, id := range []string{"a", "b", "c"} {
		if err := d.Delete(id); err != nil {
			t.Errorf("delete %s: %v", id, err)
		}
	}
	if ids, err := d.List(); len(ids) != 0 || err != nil {
		t.Errorf("left: %v, %v", ids, err)
	}
	if err := d.Append("b", flows(1, 1)); err == nil {
		t.Error("a deleted result takes rows")
	}
}

func TestAnIdCannotLeaveTheDirectory(t *testing.T) {
	d := results.New(t.TempDir())
	for _, id := range []string{"", "..", "../x", "a/b", "a.b", "a\x00"} {
		if err := d.Begin(id); err == nil {
			t.Errorf("%q was accepted", id)
		}
		if _, err := d.Read(id, 0, 1); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("read of %q: %v", id, err)
		}
	}
}

func TestACommittedResultTakesNoMoreRows(t *testing.T) {
	d := results.New(t.TempDir())
	committed(t, d, "op", flows(1, 10))
	if err := d.Append("op", flows(1, 1)); err == nil {
		t.Error("rows were appended after the commit")
	}
}

// TestADamagedSegmentIsAnErrorAndNeverWrongRows flips every byte of a segment, in
// two ways, and cuts it at every length.
func TestADamagedSegmentIsAnErrorAndNeverWrongRows(t *testing.T) {
	dir := t.TempDir()
	d := results.New(dir)
	committed(t, d, "op", flows(3, 40))
	path := filepath.Join(dir, "op.flows")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if rows, err := d.Read("op", 0, 100); !errors.Is(err, results.ErrCorrupt) {
			t.Errorf("%s: %d rows, %v", what, len(rows), err)
		}
	}
	for i := range whole {
		for _, flip := range []byte{0x01, 0xff} {
			b := bytes.Clone(whole)
			b[i] ^= flip
			refused(fmt.Sprintf("byte %d ^ %#x", i, flip), b)
		}
		refused(fmt.Sprintf("cut at %d", i), whole[:i])
	}
	refused("a byte too many", append(bytes.Clone(whole), 0))
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if rows, err := d.Read("op", 0, 100); len(rows) != 40 || err != nil {
		t.Errorf("the whole segment: %d rows, %v", len(rows), err)
	}
}

// FuzzSegment reads arbitrary files: an error or rows, never a panic.
func FuzzSegment(f *testing.F) {
	dir := f.TempDir()
	d := results.New(dir)
	for i, n := range []int{0, 1, 40} {
		id := fmt.Sprint("seed-", i)
		if err := d.Begin(id); err != nil {
			f.Fatal(err)
		}
		if err := d.Append(id, flows(1, n)); err != nil {
			f.Fatal(err)
		}
		if _, err := d.Commit(id); err != nil {
			f.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, id+".flows"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "op.flows"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		rows, err := results.New(dir).Read("op", 0, 10_000)
		if err == nil && len(rows) > 0 && !rows[0].Source.IsValid() {
			t.Errorf("a row without addresses: %+v", rows[0])
		}
	})
}

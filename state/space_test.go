package state_test

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice"
	"sluice/state"
)

// smallQuota is sixty-four times the largest value of these tests.
const smallQuota = 16 << 20

func small(t testing.TB, dir string) *state.Store {
	t.Helper()
	s, err := state.Open(t.Context(), state.Options{Dir: dir, QuotaBytes: smallQuota, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// large is a value of 256 KiB that differs for each n.
func large(n int) string { return strings.Repeat(strconv.Itoa(n)+" ", 256<<10)[:256<<10] }

// fill writes bytes that nothing of the store knows, without its care for space, until
// etcd refuses. It returns the number of the last write that was acknowledged.
func fill(t testing.TB, s *state.Store, key func(n int) string) int {
	t.Helper()
	for n := range 1000 {
		if err := s.PutRaw(t.Context(), key(n), large(n)); err != nil {
			if n == 0 || s.Writable() == nil {
				t.Fatalf("write %d: %v; writable: %v", n, err, s.Writable())
			}
			return n - 1
		}
	}
	t.Fatal("the store is never full")
	return 0
}

func same(int) string { return "/other/same" }

func TestAStoreThatIsWrittenWithoutEndStaysSmall(t *testing.T) {
	s := small(t, t.TempDir())
	defer s.Close()
	ctx := t.Context()
	must(t, s.CreateSandbox(ctx, sandbox("b1"), sandboxQuotas(1)))
	q := sandboxQuotas(1)
	q.DataBytes = 300 << 10
	var most int64
	for n := range 100 { // without compaction it ends at the 63rd
		must(t, s.SetSandboxData(ctx, "b1", map[string]string{"k": large(n)}, false, q, admitted))
		most = max(most, s.FileBytes())
	}
	line := strings.Repeat("<", 2<<10)
	for range 800 { // with all lines in one record each writes up to 400 KiB
		must(t, s.AddSandboxMessage(ctx, "b1", line, q, admitted))
		most = max(most, s.FileBytes())
	}
	data, err := s.SandboxData(ctx, "b1")
	must(t, err)
	if data["k"] != large(99) {
		t.Error("the last value that was acknowledged is not there")
	}
	lines, err := s.SandboxOutput(ctx, "b1")
	must(t, err)
	if len(lines) != 32 || lines[31] != line {
		t.Errorf("%d lines of the output, 64 KiB are 32", len(lines))
	}
	if most > smallQuota/2 {
		t.Errorf("the file had %d bytes", most)
	}
	t.Logf("the file had at most %d bytes", most)
}

func TestAStoreThatWasFullWritesAgainWhenItIsOpened(t *testing.T) {
	dir := t.TempDir()
	s := small(t, dir)
	must(t, s.CreateSandbox(t.Context(), sandbox("b1"), sandboxQuotas(10)))
	last := fill(t, s, same)
	must(t, s.Close())
	s = small(t, dir)
	defer s.Close()
	must(t, s.Writable())
	must(t, s.CreateSandbox(t.Context(), sandbox("b2"), sandboxQuotas(10)))
	if _, err := s.Sandbox(t.Context(), "b1"); err != nil {
		t.Error(err)
	}
	if got, err := s.Raw(t.Context(), same(0)); err != nil || got != large(last) {
		t.Errorf("what was acknowledged before is not there: %v", err)
	}
	if n := s.FileBytes(); n > smallQuota/4 {
		t.Errorf("the file has %d bytes", n)
	}
}

func TestAWriteToAFullStoreMakesRoom(t *testing.T) {
	s := small(t, t.TempDir())
	defer s.Close()
	last := fill(t, s, same)
	must(t, s.CreateSandbox(t.Context(), sandbox("b1"), sandboxQuotas(10)))
	must(t, s.Writable())
	if got, err := s.Raw(t.Context(), same(0)); err != nil || got != large(last) {
		t.Errorf("what was acknowledged before is not there: %v", err)
	}
}

func TestAStoreFullOfLiveDataSaysSo(t *testing.T) {
	dir := t.TempDir()
	s := small(t, dir)
	ctx := t.Context()
	must(t, s.CreateSandbox(ctx, sandbox("b1"), sandboxQuotas(10)))
	key := func(n int) string { return "/other/" + strconv.Itoa(n) }
	rounds := 0
	last := fill(t, s, key)
	for ; s.CreateSandbox(ctx, sandbox("c"+strconv.Itoa(rounds)), sandboxQuotas(100)) == nil; rounds++ { // it packs its pages better
		if rounds > 50 {
			t.Fatal("it always finds room")
		}
		fill(t, s, func(n int) string { return key(n) + key(rounds) })
	}
	for range 2 {
		if err := s.CreateSandbox(ctx, sandbox("b2"), sandboxQuotas(10)); err == nil || sluice.KindOf(err) != sluice.KindInternal || !strings.Contains(err.Error(), "the store is full") {
			t.Errorf("a write: %v", err)
		}
	}
	if err := s.Writable(); err == nil || err.Error() != "the store is full and refuses writes" {
		t.Errorf("writable: %v", err)
	}
	must(t, s.Close())
	s = small(t, dir) // it opens all the same
	if s.Writable() == nil {
		t.Error("it is writable after a restart")
	}
	if _, err := s.Sandbox(ctx, "b1"); err != nil {
		t.Errorf("a read: %v", err)
	}
	for _, n := range []int{0, last} {
		if got, err := s.Raw(ctx, key(n)); err != nil || got != large(n) {
			t.Errorf("value %d: %v", n, err)
		}
	}
	must(t, s.DeleteRaw(ctx, "/other/"))
	must(t, s.Close())
	s = small(t, dir)
	defer s.Close()
	must(t, s.Writable())
	must(t, s.CreateSandbox(ctx, sandbox("b2"), sandboxQuotas(10)))
}

func TestSandboxDataIsBoundedInBytesAndKeys(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	must(t, s.CreateSandbox(ctx, sandbox("b1"), sandboxQuotas(1)))
	q := sluice.SandboxQuotas{DataBytes: 20, DataKeys: 3}
	set := func(clear bool, pairs ...string) error {
		data := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			data[pairs[i]] = pairs[i+1]
		}
		return s.SetSandboxData(ctx, "b1", data, clear, q, admitted)
	}
	expect := func(want map[string]string) {
		t.Helper()
		got, err := s.SandboxData(ctx, "b1")
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	must(t, set(false, "a/b", "1", "é\x00", "\xff"))
	expect(map[string]string{"a/b": "1", "é\x00": "\xff"})
	must(t, set(false, "a/b", "2", "c", ""))
	for what, err := range map[string]error{"bytes": set(false, "c", strings.Repeat("x", 20)), "keys": set(false, "d", "")} {
		if sluice.KindOf(err) != sluice.KindLimitExceeded || !strings.Contains(err.Error(), what) {
			t.Errorf("too many %s: %v", what, err)
		}
	}
	expect(map[string]string{"a/b": "2", "c": "", "é\x00": "\xff"})
	must(t, set(true, "c", "3", "d", "4"))
	expect(map[string]string{"c": "3", "d": "4"})
	must(t, set(true))
	expect(map[string]string{})
}

package datapath

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

func TestTheDigestOfALayoutTellsItsChanges(t *testing.T) {
	digest := func(change func(*ebpf.CollectionSpec)) string {
		t.Helper()
		spec, err := loadMirror()
		if err != nil {
			t.Fatal(err)
		}
		change(spec)
		d, err := mirrorDigest(spec)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	ours := digest(func(*ebpf.CollectionSpec) {})
	if again := digest(func(*ebpf.CollectionSpec) {}); again != ours {
		t.Errorf("digests %s and %s of one object", ours, again)
	}
	for name, change := range map[string]func(*ebpf.CollectionSpec){
		"size":     func(s *ebpf.CollectionSpec) { s.Maps[mirrorMapFates].ValueSize = 112 },
		"entries":  func(s *ebpf.CollectionSpec) { s.Maps[mirrorMapSessionSlots].MaxEntries *= 2 },
		"inner":    func(s *ebpf.CollectionSpec) { s.Maps[mirrorMapSources].InnerMap.ValueSize += 8 },
		"type":     func(s *ebpf.CollectionSpec) { s.Maps[mirrorMapPaths].Type = ebpf.LRUHash },
		"order":    func(s *ebpf.CollectionSpec) { swapMembers(t, s, "delivery", "vni", "packet_length") },
		"rule":     func(s *ebpf.CollectionSpec) { swapMembers(t, s, "rule", "family", "accept") },
		"gate":     func(s *ebpf.CollectionSpec) { swapMembers(t, s, "gate", "src", "dst") },
		"counters": func(s *ebpf.CollectionSpec) { swapMembers(t, s, "session_counters", "packets", "bytes") },
	} {
		if digest(change) == ours {
			t.Errorf("%s: the digest is the same", name)
		}
	}
}

// swapMembers exchanges the places of two members of one size.
func swapMembers(t *testing.T, spec *ebpf.CollectionSpec, name, one, two string) {
	t.Helper()
	find := func(t btf.Type) (found *btf.Struct) {
		for _, m := range spec.Maps {
			if s := structIn(m.Value, name); s != nil {
				return s
			}
		}
		return structIn(t, name)
	}
	var source *btf.Struct
	if err := spec.Types.TypeByName("source", &source); err != nil {
		t.Fatal(err)
	}
	s := find(source)
	if s == nil {
		t.Fatalf("no struct %s", name)
	}
	at := func(member string) int {
		return slices.IndexFunc(s.Members, func(m btf.Member) bool { return m.Name == member })
	}
	s.Members[at(one)].Name, s.Members[at(two)].Name = two, one
}

// structIn finds a struct in a type.
func structIn(t btf.Type, name string) *btf.Struct {
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Array:
		return structIn(t.Type, name)
	case *btf.Struct:
		if t.Name == name {
			return t
		}
		for _, m := range t.Members {
			if s := structIn(m.Type, name); s != nil {
				return s
			}
		}
	}
	return nil
}

// What two builds agree on beyond the layout of their maps. Where this test fails on
// purpose, mirrorMeaning grows.
func TestWhatMarksAndFatesMean(t *testing.T) {
	words := func(file, from, to string) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join("bpf", file))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, found := strings.Cut(string(b), from)
		text, _, ended := strings.Cut(rest, to)
		if !found || !ended {
			t.Fatalf("%s has no %q before %q", file, from, to)
		}
		return strings.Join(strings.Fields(text), " ")
	}
	got := fmt.Sprint(mirrorMeaning, " ", words("plan.h", "#define MARK_COPY", "/*"), " ", words("mirror_maps.h", "enum fate {", "};"))
	want := "2 (1U << 31) #define MARK_INGRESS (1U << 30) #define MARK_FLOW_SHIFT 16 #define MARK_FLOW_MASK 0x3fff " +
		"#define MARK_DELIVERY_MASK 0xffff " +
		"FATE_MATCHED, FATE_MIRRORED, FATE_SLICED, /* of the mirrored ones */ FATE_TRUNCATED, /* of the mirrored ones */ " +
		"FATE_CAPPED, FATE_NO_ROUTE, FATE_ERROR, FATES,"
	if got != want {
		t.Errorf("meaning\n%s, want\n%s", got, want)
	}
}

// Every build removes the helper devices of every other by this map.
func TestHelperRecordsAreThoseOfEveryBuild(t *testing.T) {
	spec, err := loadMirror()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	m := spec.Maps[mirrorMapHelpers]
	describe(&b, m.Key)
	describe(&b, m.Value)
	want := "int 4 unsigned\nstruct helper 272 2\nnetns 0 0\narray 256\nint 1 signed\ndevice 2048 0\narray 16\nint 1 signed\n"
	if b.String() != want || m.Type != ebpf.Hash {
		t.Errorf("%v of\n%s, want a hash of\n%s", m.Type, b.String(), want)
	}
}

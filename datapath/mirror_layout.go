package datapath

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// A set of mirror maps lies in a directory of its own, "mirror-" and a number and a
// digest of their layout, and has helper devices of its own. Programs of another build,
// whose maps are laid out otherwise, or whose slots are others, go on with their maps and
// their helper devices until their link is updated: what they say to each other is never
// read by ours. The number is a new one for each set that is made.
const (
	mirrorPrefix   = "mirror-"
	mirrorLinksDir = "mirror-links"
)

// mirrorMeaning counts what two builds have to agree on and maps don't show: what the mark
// of a clone tells, and the order of enum fate.
const mirrorMeaning = 2

// mirrorDigest is the same for builds whose programs and processes read each other's maps.
func mirrorDigest(spec *ebpf.CollectionSpec) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, mirrorMeaning)
	var names []string
	if err := (&mirrorTable{}).eachMap(func(name string, _ **ebpf.Map) error {
		names = append(names, name)
		return nil
	}); err != nil {
		return "", err
	}
	slices.Sort(names)
	for _, name := range names {
		m := spec.Maps[name]
		if m == nil {
			return "", fmt.Errorf("digest layout: the object has no map %s", name)
		}
		for ; m != nil; m = m.InnerMap {
			fmt.Fprintln(h, name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries, m.Flags)
			describe(h, m.Key)
			describe(h, m.Value)
		}
	}
	// The maps of generations tell the size of their values alone.
	var source *btf.Struct
	if err := spec.Types.TypeByName("source", &source); err != nil {
		return "", fmt.Errorf("digest layout: %w", err)
	}
	describe(h, source)
	return fmt.Sprintf("%x", h.Sum(nil)[:6]), nil
}

// describe writes what a type looks like in memory and what its members are called: one
// of another name is another thing, wherever it lies.
func describe(w io.Writer, t btf.Type) {
	members := func(kind, name string, size uint32, all []btf.Member) {
		fmt.Fprintln(w, kind, name, size, len(all))
		for _, m := range all {
			fmt.Fprintln(w, m.Name, m.Offset, m.BitfieldSize)
			describe(w, m.Type)
		}
	}
	if t == nil {
		fmt.Fprintln(w, "none")
		return
	}
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		members("struct", t.Name, t.Size, t.Members)
	case *btf.Union:
		members("union", t.Name, t.Size, t.Members)
	case *btf.Array:
		fmt.Fprintln(w, "array", t.Nelems)
		describe(w, t.Type)
	case *btf.Int:
		fmt.Fprintln(w, "int", t.Size, t.Encoding)
	case *btf.Enum:
		fmt.Fprintln(w, "enum", t.Name, t.Size, t.Signed, t.Values)
	default: // of which maps have none
		fmt.Fprintf(w, "%T %s\n", t, t.TypeName())
	}
}

// mirrorSet is a directory of mirror maps.
type mirrorSet struct {
	name   string // of the directory
	number int
	digest string // empty in the name of the first version's
}

// mirrorSets lists the directories of mirror maps, by number.
func mirrorSets(dir string) ([]mirrorSet, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list mirror maps: %w", err)
	}
	var sets []mirrorSet
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), mirrorPrefix)
		if !ok || e.Name() == mirrorLinksDir {
			continue
		}
		number, digest, _ := strings.Cut(rest, "-")
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("list mirror maps: %s is not ours: %w", filepath.Join(dir, e.Name()), err)
		}
		sets = append(sets, mirrorSet{name: e.Name(), number: n, digest: digest})
	}
	slices.SortFunc(sets, func(a, b mirrorSet) int { return a.number - b.number })
	return sets, nil
}

// removeMirrorSet removes the helper devices of a set of maps and then the maps. No
// program may run on them.
func removeMirrorSet(dir string) error {
	helpers, err := ebpf.LoadPinnedMap(filepath.Join(dir, mirrorMapHelpers), nil)
	switch {
	case errors.Is(err, fs.ErrNotExist): // of one that was never completed, or is half removed
	case err != nil:
		return fmt.Errorf("open helper devices: %w", err)
	default:
		none := func(uint32) bool { return false }
		if err := errors.Join(removeHelpers(helpers, none), helpers.Close()); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove mirror maps: %w", err)
	}
	return nil
}

// otherSets lists the sets of maps but for this one.
func (t *mirrorTable) otherSets() ([]mirrorSet, error) {
	sets, err := mirrorSets(t.dir)
	return slices.DeleteFunc(sets, func(s mirrorSet) bool { return s.name == t.set }), err
}

// removeSets removes sets of maps whose programs have all been replaced.
func (t *mirrorTable) removeSets(sets []mirrorSet) error {
	for _, s := range sets {
		dir := filepath.Join(t.dir, s.name)
		if err := removeMirrorSet(dir); err != nil {
			return fmt.Errorf("remove what nothing uses: %w", err)
		}
		t.log.Info("removed mirror maps that were replaced", "dir", dir)
	}
	return nil
}

// awaitPrograms returns when no program runs any more that began before. The kernel waits
// for them whenever an entry of a map of maps has been exchanged.
func (t *mirrorTable) awaitPrograms() error {
	for _, slot := range t.sources {
		g, err := t.generation(slot)
		if err != nil {
			return err
		}
		if g != nil {
			return t.setGeneration(slot, g)
		}
	}
	return nil // no source: no copies
}

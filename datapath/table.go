package datapath

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
)

// layoutVersion grows with each change of a map that an older program, or an older
// process, would misread.
const layoutVersion = 1

const (
	mapsPrefix = "maps-" // Dir/maps-1: the pinned maps of the first table
	linksDir   = "links" // Dir/links: the pinned links
)

// table is one set of pinned maps.
type table struct {
	dir    string // of the pins of this table
	maps   firewallMaps
	mem    *memory
	layout firewallTableLayout
	// current says that the programs that run are those of this binary.
	current bool
}

// bucketsFor is how many buckets hold max flows. There are 23 places for 16 flows, so
// that with two buckets to choose from, about one flow in a million finds both full
// before the table is (docs/adr/0001-flow-table.md has the measurement).
func bucketsFor(maxFlows uint64) uint32 {
	return uint32((maxFlows*23/16 + flowsPerBucket - 1) / flowsPerBucket)
}

// programDigest tells the programs of one build from those of another.
func programDigest() uint64 {
	sum := sha256.Sum256(_FirewallBytes)
	return binary.LittleEndian.Uint64(sum[:])
}

// tables lists the numbers of the tables under dir, oldest first.
func tables(dir string) ([]int, error) {
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	var numbers []int
	for _, e := range names {
		if s, ok := strings.CutPrefix(e.Name(), mapsPrefix); ok {
			n, err := strconv.Atoi(s)
			if err != nil {
				return nil, fmt.Errorf("list tables: %s is not ours: %w", filepath.Join(dir, e.Name()), err)
			}
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func tableDir(dir string, n int) string { return filepath.Join(dir, mapsPrefix+strconv.Itoa(n)) }

// createTable makes and pins the maps of an empty table.
func createTable(dir string, maxFlows uint64) (*table, error) {
	if err := removeTable(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make pin directory: %w", err)
	}
	t := &table{dir: dir, layout: newLayout(maxFlows)}
	spec, err := t.spec()
	if err != nil {
		return nil, err
	}
	err = t.eachMap(func(name string, m **ebpf.Map) (err error) {
		if *m, err = ebpf.NewMap(spec.Maps[name]); err != nil {
			return fmt.Errorf("create map %s: %w", name, err)
		}
		return (*m).Pin(filepath.Join(dir, name))
	})
	if err == nil {
		t.mem, err = mapMemory(&t.maps)
	}
	if err == nil {
		err = t.writeLayout()
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// removeTable deletes the pins of a table, and first the one without which nobody takes
// the rest for a table: it may be cut off anywhere.
func removeTable(dir string) error {
	if err := os.Remove(filepath.Join(dir, firewallMapLayout)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove layout of table: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove table: %w", err)
	}
	return nil
}

func newLayout(maxFlows uint64) firewallTableLayout {
	var b [20]byte
	rand.Read(b[:]) // never fails since Go 1.24
	return firewallTableLayout{
		Version:  layoutVersion,
		Buckets:  bucketsFor(maxFlows),
		MaxFlows: maxFlows,
		Seed:     [2]uint64{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])},
		// Program stays 0 until every link runs a program on this table.
		// Never 0, which is the mark of all other packets.
		ResetMark: binary.LittleEndian.Uint32(b[16:]) | 1,
		Complete:  1,
	}
}

func (t *table) writeLayout() error {
	if err := t.maps.Layout.Put(uint32(0), &t.layout); err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	return nil
}

// spec is the object with the sizes of this table.
func (t *table) spec() (*ebpf.CollectionSpec, error) {
	spec, err := loadFirewall()
	if err != nil {
		return nil, fmt.Errorf("read firewall object: %w", err)
	}
	spec.Maps[firewallMapFlowTags].MaxEntries = t.layout.Buckets
	spec.Maps[firewallMapFlows].MaxEntries = t.layout.Buckets
	return spec, nil
}

// eachMap visits all maps that are pinned, layout last: it tells that all is there.
func (t *table) eachMap(visit func(name string, m **ebpf.Map) error) error {
	m := &t.maps
	all := []struct {
		name string
		m    **ebpf.Map
	}{
		{firewallMapFlowTags, &m.FlowTags}, {firewallMapFlows, &m.Flows}, {firewallMapFlowLocks, &m.FlowLocks},
		{firewallMapTable, &m.Table}, {firewallMapEndpoints, &m.Endpoints}, {firewallMapPolicies, &m.Policies},
		{firewallMapVerdicts, &m.Verdicts}, {firewallMapFragments, &m.Fragments}, {firewallMapCovered, &m.Covered},
		{firewallMapCleaner, &m.Cleaner}, {firewallMapLayout, &m.Layout},
	}
	for _, e := range all {
		if err := visit(e.name, e.m); err != nil {
			return fmt.Errorf("map %s: %w", e.name, err)
		}
	}
	return nil
}

func (t *table) close() error {
	if t.mem != nil {
		t.mem.unmap()
	}
	t.mem = nil
	return t.maps.Close()
}

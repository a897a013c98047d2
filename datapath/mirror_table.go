package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cilium/ebpf"

	"sluice"
)

// The numbers below are the #defines of the same words in bpf/mirror_maps.h.
const (
	maxSources           = 1024
	maxSessions          = 1024
	rulesPerDirection    = 64
	resolversPerSession  = 8
	targetsPerSession    = 16
	deliveriesPerSession = 4
	sessionsPerSource    = 3
	anyProtocol          = 0x100
)

// The fates of a packet, as enum fate in bpf/mirror_maps.h has them.
const (
	fateMatched = iota
	fateMirrored
	fateSliced
	fateTruncated
	fateCapped
	fateNoRoute
	fateError
)

// mirrorTable is the pinned maps of mirroring, and who has which slot in them.
type mirrorTable struct {
	dir      string
	set      string               // name of the directory of its maps, see mirror_layout.go
	spec     *ebpf.CollectionSpec // never changed
	maps     mirrorMaps
	mark     uint32                    // skb->mark of copies on their way out
	prices   copyPrices                // of a processor's time
	sources  map[string]uint32         // by interface id
	mu       sync.Mutex                // of what follows, which Counters reads at any time
	sessions map[string]uint32         // by session id
	offered  map[uint32]sluice.Counter // what had matched when counters were last read, by key
	lost     map[uint32]sluice.Counter // that of it which has not come to anything known
	// adopted holds the pins of the links that run a program of this process's binary.
	adopted map[string]bool
	log     *slog.Logger
}

// copyMark is the mark of copies, which the firewall programs of the same table know.
func copyMark(l *firewallTableLayout) uint32 { return ^l.ResetMark | 1<<31 }

// openMirrors takes up the maps under dir that fit this build, or makes new ones. Other
// ones stay for the programs that run on them.
func openMirrors(dir string, mark uint32, log *slog.Logger) (*mirrorTable, error) {
	spec, err := loadMirror()
	if err != nil {
		return nil, fmt.Errorf("read mirror object: %w", err)
	}
	return openMirrorsOf(spec, dir, mark, log)
}

func openMirrorsOf(spec *ebpf.CollectionSpec, dir string, mark uint32, log *slog.Logger) (*mirrorTable, error) {
	t := &mirrorTable{dir: dir, spec: spec, mark: mark, log: log, offered: map[uint32]sluice.Counter{},
		lost: map[uint32]sluice.Counter{}, adopted: map[string]bool{}}
	digest, err := mirrorDigest(spec)
	if err != nil {
		return nil, err
	}
	sets, err := mirrorSets(dir)
	if err != nil {
		return nil, err
	}
	next := 1
	for _, s := range slices.Backward(sets) {
		next = max(next, s.number+1)
		why := "its layout is of another version"
		if s.digest == digest {
			t.set = s.name
			if why, err = t.takeUp(); err != nil {
				return nil, fmt.Errorf("take up mirrors: %w", err)
			}
		}
		if why == "" {
			return t, nil
		}
		log.Info("mirror maps are not taken up", "dir", filepath.Join(dir, s.name), "reason", why)
	}
	t.set = fmt.Sprintf("%s%d-%s", mirrorPrefix, next, digest)
	if len(sets) > 0 {
		log.Warn("making new mirror maps; counters of sessions begin anew", "dir", t.mapsDir())
	}
	if err := t.create(); err != nil {
		return nil, fmt.Errorf("create mirrors: %w", errors.Join(err, t.close(), os.RemoveAll(t.mapsDir())))
	}
	return t, nil
}

func (t *mirrorTable) mapsDir() string  { return filepath.Join(t.dir, t.set) }
func (t *mirrorTable) linksDir() string { return filepath.Join(t.dir, mirrorLinksDir) }

// takeUp opens what is pinned, or says why it doesn't do.
func (t *mirrorTable) takeUp() (why string, err error) {
	err = t.eachMap(func(name string, m **ebpf.Map) error {
		var err error
		if *m, err = ebpf.LoadPinnedMap(filepath.Join(t.mapsDir(), name), nil); err != nil {
			return err
		}
		return t.spec.Maps[name].Compatible(*m)
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		why = "there are none, or not all"
	case errors.Is(err, ebpf.ErrMapIncompatible):
		why = err.Error()
	case err != nil:
		return "", errors.Join(err, t.close())
	default:
		why, err = t.readSlots()
		if err != nil {
			return "", errors.Join(err, t.close())
		}
	}
	if why != "" {
		return why, t.close()
	}
	return "", nil
}

// readSlots finds out who has which slot.
func (t *mirrorTable) readSlots() (why string, err error) {
	t.sources, t.sessions = map[string]uint32{}, map[string]uint32{}
	for slot := range uint32(maxSources) {
		g, err := t.generation(slot)
		if errors.Is(err, errOtherLayout) {
			return err.Error(), nil
		}
		if err != nil {
			return "", err
		}
		if g != nil {
			t.sources[text(g.Id[:])] = slot
		}
	}
	for slot := range uint32(maxSessions) {
		var s mirrorSessionSlot
		if err := t.maps.SessionSlots.Lookup(slot, &s); err != nil {
			return "", fmt.Errorf("read session slot: %w", err)
		}
		if s.Id[0] != 0 {
			t.sessions[text(s.Id[:])] = slot
		}
	}
	return "", nil
}

var errOtherLayout = errors.New("its sources have another layout")

// generation reads what packets of a source meet; nil when the slot is free.
func (t *mirrorTable) generation(slot uint32) (*mirrorSource, error) {
	var inner *ebpf.Map
	err := t.maps.Sources.Lookup(slot, &inner)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up source: %w", err)
	}
	defer inner.Close()
	if inner.ValueSize() != t.spec.Maps[mirrorMapSources].InnerMap.ValueSize {
		return nil, errOtherLayout
	}
	var g mirrorSource
	if err := inner.Lookup(uint32(0), &g); err != nil {
		return nil, fmt.Errorf("read source: %w", err)
	}
	return &g, nil
}

// setGeneration makes a generation complete and then puts it in the place of the one
// before it, in between two packets.
func (t *mirrorTable) setGeneration(slot uint32, g *mirrorSource) error {
	inner, err := ebpf.NewMap(t.spec.Maps[mirrorMapSources].InnerMap)
	if err != nil {
		return fmt.Errorf("make generation: %w", err)
	}
	defer inner.Close()
	if err := inner.Put(uint32(0), g); err != nil {
		return fmt.Errorf("fill generation: %w", err)
	}
	if err := t.maps.Sources.Put(slot, inner); err != nil {
		return fmt.Errorf("swap generation: %w", err)
	}
	return nil
}

// create makes and pins empty maps.
func (t *mirrorTable) create() error {
	t.sources, t.sessions = map[string]uint32{}, map[string]uint32{}
	if err := os.MkdirAll(t.mapsDir(), 0o700); err != nil {
		return fmt.Errorf("make pin directory: %w", err)
	}
	return t.eachMap(func(name string, m **ebpf.Map) (err error) {
		if *m, err = ebpf.NewMap(t.spec.Maps[name]); err != nil {
			return err
		}
		return (*m).Pin(filepath.Join(t.mapsDir(), name))
	})
}

func (t *mirrorTable) eachMap(visit func(name string, m **ebpf.Map) error) error {
	m := &t.maps
	for _, e := range []struct {
		name string
		m    **ebpf.Map
	}{
		{mirrorMapSources, &m.Sources}, {mirrorMapDeliveries, &m.Deliveries}, {mirrorMapFates, &m.Fates},
		{mirrorMapRates, &m.Rates}, {mirrorMapSessionSlots, &m.SessionSlots}, {mirrorMapPaths, &m.Paths},
		{mirrorMapHelpers, &m.Helpers}, {mirrorMapChunk, &m.Chunk}, {mirrorMapPlans, &m.Plans}, {mirrorMapCosts, &m.Costs},
	} {
		if err := visit(e.name, e.m); err != nil {
			return fmt.Errorf("map %s: %w", e.name, err)
		}
	}
	return nil
}

func (t *mirrorTable) close() error {
	err := t.maps.Close()
	t.maps = mirrorMaps{}
	return err
}

// load loads a program of the mirror object onto the maps.
func (t *mirrorTable) load(name string, variables map[string]any) (*ebpf.Program, error) {
	spec := t.spec.Copy()
	for other := range spec.Programs {
		if other != name {
			delete(spec.Programs, other)
		}
	}
	for variable, value := range variables {
		if err := spec.Variables[variable].Set(value); err != nil {
			return nil, fmt.Errorf("load program %s: set %s: %w", name, variable, err)
		}
	}
	shared := map[string]*ebpf.Map{}
	if err := t.eachMap(func(name string, m **ebpf.Map) error {
		shared[name] = *m
		return nil
	}); err != nil {
		return nil, err
	}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared})
	if err != nil {
		return nil, fmt.Errorf("load program %s: %w", name, err)
	}
	defer c.Close()
	return c.DetachProgram(name), nil
}

// counters reads the counters of all sessions.
func (t *mirrorTable) counters() (map[string]sluice.SessionCounters, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[string]sluice.SessionCounters, len(t.sessions))
	for id, slot := range t.sessions {
		var c sluice.SessionCounters
		var egress, ingress uint64
		var err error
		if c.Egress, egress, err = t.direction(slot * 2); err == nil {
			c.Ingress, ingress, err = t.direction(slot*2 + 1)
		}
		if err != nil {
			return nil, fmt.Errorf("read counters of session %s: %w", id, err)
		}
		t.addLost(slot*2, &c.Egress, egress)
		t.addLost(slot*2+1, &c.Ingress, ingress)
		out[id] = c
	}
	return out, nil
}

// addLost counts copies as errors that the kernel has dropped between the two programs,
// for want of memory or by a rule of somebody's for bridges. Those that had matched when
// the counters were read the last time have come to something by now. cut is the bytes of
// the mirrored frames that their copies lack.
func (t *mirrorTable) addLost(key uint32, c *sluice.MirrorCounters, cut uint64) {
	lost, before := t.lost[key], t.offered[key]
	packets := c.Mirrored.Packets + c.Capped.Packets + c.NoRoute.Packets + c.Errors.Packets
	bytes := c.Mirrored.Bytes + cut + c.Capped.Bytes + c.NoRoute.Bytes + c.Errors.Bytes
	if before.Packets > packets+lost.Packets {
		lost.Packets = before.Packets - packets
	}
	if lost.Packets > 0 && before.Bytes > bytes+lost.Bytes {
		lost.Bytes = before.Bytes - bytes
	}
	t.lost[key], t.offered[key] = lost, c.Matched
	c.Errors.Packets += lost.Packets
	c.Errors.Bytes += lost.Bytes
}

// direction reads the counters of a session's direction, and how many bytes of the
// mirrored frames their copies lack.
func (t *mirrorTable) direction(key uint32) (_ sluice.MirrorCounters, cut uint64, err error) {
	var perCPU []mirrorSessionCounters
	if err := t.maps.Fates.Lookup(key, &perCPU); err != nil {
		return sluice.MirrorCounters{}, 0, err
	}
	for i := range perCPU {
		cut += perCPU[i].Cut
	}
	sum := func(fate int) (c sluice.Counter) {
		for i := range perCPU {
			c.Packets += perCPU[i].Packets[fate]
			c.Bytes += perCPU[i].Bytes[fate]
		}
		return c
	}
	return sluice.MirrorCounters{
		Matched: sum(fateMatched), Mirrored: sum(fateMirrored), Sliced: sum(fateSliced), Truncated: sum(fateTruncated),
		Capped: sum(fateCapped), NoRoute: sum(fateNoRoute), Errors: sum(fateError),
	}, cut, nil
}

// text reads a C string.
func text(b []int8) string {
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c == 0 {
			break
		}
		out = append(out, byte(c))
	}
	return string(out)
}

// setText writes a C string, or tells that it is empty, too long, or has a zero in it.
func setText(to []int8, s string) bool {
	if len(s) == 0 || len(s) >= len(to) {
		return false
	}
	for i := range len(s) {
		if s[i] == 0 {
			return false
		}
		to[i] = int8(s[i])
	}
	return true
}

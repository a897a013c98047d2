package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// openTable takes up a table that is complete and of our layout and size: the newest that
// programs run on, else the newest. It makes one after all others where there is none. The
// others stay until their programs have been replaced, and go at once where they have none.
func openTable(dir string, maxFlows uint64, log *slog.Logger) (*table, error) {
	numbers, err := tables(dir)
	if err != nil {
		return nil, err
	}
	uses, err := linkMaps(dir)
	if err != nil {
		return nil, err
	}
	t, used, err := choose(dir, numbers, uses, maxFlows, log)
	if err != nil {
		return nil, err
	}
	for _, n := range numbers {
		if used[n] || t != nil && t.dir == tableDir(dir, n) {
			continue
		}
		if err := removeTable(tableDir(dir, n)); err != nil {
			if t != nil {
				err = errors.Join(err, t.close())
			}
			return nil, fmt.Errorf("remove table %d, which nothing uses: %w", n, err)
		}
	}
	if t != nil {
		log.Info("took up flow table", "dir", t.dir, "flows", t.mem.state.Used, "max_flows", maxFlows)
		return t, nil
	}
	next := 1
	if len(numbers) > 0 {
		next = numbers[len(numbers)-1] + 1
		log.Warn("making a new flow table; flows are lost")
	}
	t, err = createTable(tableDir(dir, next), maxFlows)
	if err != nil {
		return nil, fmt.Errorf("create table %d: %w", next, errors.Join(err, removeTable(tableDir(dir, next))))
	}
	log.Info("made flow table", "dir", t.dir, "max_flows", maxFlows, "buckets", t.layout.Buckets)
	return t, nil
}

// choose opens the table to take up, nil where none does, and tells which of them programs
// run on. uses has the maps of each program that runs.
func choose(dir string, numbers []int, uses []map[ebpf.MapID]bool, maxFlows uint64, log *slog.Logger) (chosen *table, used map[int]bool, err error) {
	used = map[int]bool{}
	defer func() {
		if err != nil && chosen != nil {
			err = errors.Join(err, chosen.close())
			chosen = nil
		}
	}()
	chosenUsed := false
	for i := len(numbers) - 1; i >= 0; i-- {
		n := numbers[i]
		users, err := usersOf(tableDir(dir, n), uses)
		if err != nil {
			return chosen, used, fmt.Errorf("look at table %d: %w", n, err)
		}
		used[n] = users > 0
		if chosen != nil && (chosenUsed || users == 0) {
			continue
		}
		t, why, err := takeUp(tableDir(dir, n), maxFlows)
		if err != nil {
			return chosen, used, fmt.Errorf("take up table %d: %w", n, err)
		}
		if t == nil {
			log.Warn("a flow table is not taken up", "dir", tableDir(dir, n), "reason", why)
			continue
		}
		// A take-over may have been cut off when some programs ran on another one.
		t.current = t.current && users == len(uses)
		if chosen != nil {
			if err := chosen.close(); err != nil {
				return t, used, fmt.Errorf("close table: %w", err)
			}
		}
		chosen, chosenUsed = t, users > 0
	}
	return chosen, used, nil
}

// linkMaps returns the maps of the program of each pinned link whose device is there.
func linkMaps(dir string) ([]map[ebpf.MapID]bool, error) {
	pins, err := os.ReadDir(filepath.Join(dir, linksDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list links: %w", err)
	}
	known := map[ebpf.ProgramID]map[ebpf.MapID]bool{}
	var all []map[ebpf.MapID]bool
	for _, pin := range pins {
		id, err := runBy(filepath.Join(dir, linksDir, pin.Name()))
		if err != nil {
			return nil, fmt.Errorf("read link %s: %w", pin.Name(), err)
		}
		if id == 0 {
			continue
		}
		if known[id] == nil {
			if known[id], err = mapsOf(id); err != nil {
				return nil, fmt.Errorf("read program of link %s: %w", pin.Name(), err)
			}
		}
		all = append(all, known[id])
	}
	return all, nil
}

// runBy returns the program that a pinned link runs, 0 where its device has gone.
func runBy(path string) (id ebpf.ProgramID, err error) {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	info, err := l.Info()
	if err != nil {
		return 0, err
	}
	if tcx := info.TCX(); tcx == nil || tcx.Ifindex == 0 {
		return 0, nil
	}
	return info.Program, nil
}

func mapsOf(id ebpf.ProgramID) (out map[ebpf.MapID]bool, err error) {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	info, err := p.Info()
	if err != nil {
		return nil, err
	}
	ids, ok := info.MapIDs()
	if !ok {
		return nil, errors.New("the kernel doesn't tell its maps")
	}
	out = map[ebpf.MapID]bool{}
	for _, id := range ids {
		out[id] = true
	}
	return out, nil
}

// usersOf counts the programs that run on the table of a directory.
func usersOf(dir string, uses []map[ebpf.MapID]bool) (n int, err error) {
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, firewallMapFlows), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	info, err := m.Info()
	if err != nil {
		return 0, err
	}
	id, ok := info.ID()
	if !ok {
		return 0, errors.New("the kernel doesn't tell the numbers of maps")
	}
	for _, u := range uses {
		if u[id] {
			n++
		}
	}
	return n, nil
}

// takeUp opens the pinned maps of a table, or says why it doesn't do.
func takeUp(dir string, maxFlows uint64) (t *table, why string, err error) {
	const unfinished = "it was never completed, or is half removed"
	t = &table{dir: dir}
	layout, err := ebpf.LoadPinnedMap(filepath.Join(dir, firewallMapLayout), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unfinished, nil
	}
	if err != nil {
		return nil, "", err
	}
	defer layout.Close()
	if layout.ValueSize() != uint32(binary.Size(t.layout)) {
		return nil, "its layout is of another version", nil
	}
	if err := layout.Lookup(uint32(0), &t.layout); err != nil {
		return nil, "", fmt.Errorf("read layout: %w", err)
	}
	switch {
	case t.layout.Version != layoutVersion:
		return nil, fmt.Sprintf("its layout has version %d, ours is %d", t.layout.Version, layoutVersion), nil
	case t.layout.Complete == 0:
		return nil, unfinished, nil
	case t.layout.MaxFlows != maxFlows:
		return nil, fmt.Sprintf("it was made for %d flows, not for %d", t.layout.MaxFlows, maxFlows), nil
	}
	t.current = t.layout.Program == programDigest()
	err = t.eachMap(func(name string, m **ebpf.Map) (err error) {
		*m, err = ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unfinished, t.close()
	}
	if err == nil {
		t.mem, err = mapMemory(&t.maps)
	}
	if err != nil {
		return nil, "", errors.Join(err, t.close())
	}
	return t, "", nil
}

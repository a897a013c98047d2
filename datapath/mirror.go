package datapath

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"sluice"
)

// mirroring is one run of ApplyMirrors.
type mirroring struct {
	*building
	t       *mirrorTable
	links   map[string]bool          // pins that are wanted
	helpers map[uint32]uint32        // ifindex of the bridge by inode of its namespace
	loaded  map[string]*ebpf.Program // of the helper devices, by name
	paths   map[mirrorPath]bool
	wanted  map[string]bool // sessions
	failed  map[string]bool // sources with a problem: what runs for them stays
}

// ApplyMirrors makes the kernel mirror exactly these sources. What is right already is
// not touched, and where something fails what was in place stays. A packet meets the
// old sessions of a source or the new ones, never a mixture.
func (d *Datapath) ApplyMirrors(ctx context.Context, sources []sluice.MirrorSource) []sluice.MirrorSourceStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open.RLock()
	defer d.open.RUnlock()
	out := make([]sluice.MirrorSourceStatus, len(sources))
	for i, s := range sources {
		out[i].InterfaceID = s.Interface.ID
	}
	if d.mem == nil {
		return mirrorProblem(out, errClosed)
	}
	if err := os.MkdirAll(d.mirrors.linksDir(), 0o700); err != nil {
		return mirrorProblem(out, fmt.Errorf("make link directory: %w", err))
	}
	m := &mirroring{
		building: &building{d: d, namespaces: map[string]*namespace{}}, t: d.mirrors,
		links: map[string]bool{}, helpers: map[uint32]uint32{}, paths: map[mirrorPath]bool{},
		wanted: map[string]bool{}, failed: map[string]bool{}, loaded: map[string]*ebpf.Program{},
	}
	defer m.close()
	var names []string
	for _, s := range sources {
		names = append(names, s.Interface.Netns)
	}
	d.follow(followMirrors, names)
	m.addPaths(sources)
	for i, s := range sources {
		for _, e := range s.Sessions {
			m.wanted[e.ID] = true
		}
		attached, err := m.source(ctx, s)
		out[i].Attached = attached
		if err != nil {
			m.failed[s.Interface.ID] = true
			out[i].Problem = err.Error()
			d.log.Error("mirror source has a problem", "interface", s.Interface.ID, "error", err)
		}
	}
	if err := m.cleanUp(sources); err != nil {
		d.log.Error("clean up behind mirror sources", "error", err)
		return mirrorProblem(out, err)
	}
	return out
}

func mirrorProblem(out []sluice.MirrorSourceStatus, err error) []sluice.MirrorSourceStatus {
	for i := range out {
		if out[i].Problem == "" {
			out[i].Problem = err.Error()
		}
	}
	return out
}

func (m *mirroring) close() {
	for _, p := range m.loaded { // the links keep what they run
		if err := p.Close(); err != nil {
			m.d.log.Warn("close program", "error", err)
		}
	}
	m.building.close()
}

// source builds one source: its sessions, then the helper devices, then the generation
// that packets meet, then the programs that look it up.
func (m *mirroring) source(ctx context.Context, s sluice.MirrorSource) (attached bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	g, err := m.encode(s)
	if err != nil {
		return false, err
	}
	slot, err := m.t.claimSource(s.Interface.ID)
	if err != nil {
		return false, err
	}
	p, err := m.find(s.Interface)
	if err != nil || p.link == nil {
		return false, err
	}
	if p.header == 0 {
		return false, fmt.Errorf("mirror %s: its packets have no Ethernet header, which copies need", s.Interface.Device)
	}
	if g.Helper, err = m.helper(p.ns); err != nil {
		return false, err
	}
	now, err := m.t.generation(slot)
	if err != nil {
		return false, err
	}
	// From here on nothing can fail but the swap itself: what is in force is still whole.
	if err := m.deliver(s, g, now); err != nil {
		return false, err
	}
	if now == nil || *now != *g {
		if err := m.t.setGeneration(slot, g); err != nil {
			return false, err
		}
	}
	for _, ingress := range []bool{true, false} {
		if err := m.attachMirror(p, s.Interface.ID, slot, ingress); err != nil {
			return false, err
		}
	}
	return true, nil
}

// encode is the generation of a source but for its helper device and its deliveries. Its
// sessions have slots afterwards.
func (m *mirroring) encode(s sluice.MirrorSource) (*mirrorSource, error) {
	g := &mirrorSource{}
	if !setText(g.Id[:], s.Interface.ID) || strings.ContainsAny(s.Interface.ID, "./_") {
		return nil, fmt.Errorf("mirror interface %q: not an id", s.Interface.ID)
	}
	if len(s.Sessions) > sessionsPerSource {
		return nil, fmt.Errorf("mirror %s: %d sessions, at most %d are possible", s.Interface.ID, len(s.Sessions), sessionsPerSource)
	}
	// All of it first, so that a mistake leaves everything as it is.
	for i, e := range s.Sessions {
		var err error
		if g.Session[i], err = encodeSession(e); err != nil {
			return nil, err
		}
		if _, err = encodeDelivery(s, e, 0); err != nil {
			return nil, err
		}
	}
	for i, e := range s.Sessions {
		slot, err := m.t.claimSession(e.ID)
		if err != nil {
			return nil, err
		}
		g.Session[i].Slot = slot
	}
	g.Sessions = uint32(len(s.Sessions))
	g.Gate = encodeGates(s.Sessions)
	return g, nil
}

// deliver writes where the copies of a generation go, beside what the one in force names.
func (m *mirroring) deliver(s sluice.MirrorSource, g, now *mirrorSource) error {
	for i, e := range s.Sessions {
		slot := g.Session[i].Slot
		wanted, err := encodeDelivery(s, e, slot)
		if err != nil {
			return err
		}
		if g.Session[i].Delivery, err = m.t.setDelivery(slot, wanted, now); err != nil {
			return err
		}
	}
	return nil
}

func (m *mirroring) attachMirror(p place, id string, slot uint32, ingress bool) error {
	a := attachment{endpoint: id, device: p.link.Attrs().Name, ifindex: p.link.Attrs().Index,
		key: programKey{netns: p.ns.inode, ingress: ingress}}
	in := uint8(0)
	if ingress {
		in = 1
	}
	var loaded *ebpf.Program
	err := m.put(p.ns, a, func() (_ *ebpf.Program, err error) {
		loaded, err = m.t.load(mirrorProgMirror, map[string]any{
			mirrorVarSourceSlot: slot, mirrorVarAtIngress: in, mirrorVarLinkHeader: p.header, mirrorVarCopyMark: m.t.mark,
			mirrorVarCopyPrice: m.t.prices.copies, mirrorVarTruncatedPrice: m.t.prices.truncated,
		})
		return loaded, err
	})
	if loaded != nil {
		err = errors.Join(err, loaded.Close())
	}
	return err
}

// put makes sure of a pinned link of a device that runs one of this process's programs.
// A new one goes behind all that are there: what they drop is not mirrored.
func (m *mirroring) put(ns *namespace, a attachment, load func() (*ebpf.Program, error)) error {
	pin := a.pin()
	m.links[pin] = true
	path := filepath.Join(m.t.linksDir(), pin)
	old, at, err := m.inPlace(ns, path, a)
	if err != nil {
		return err
	}
	if old != nil {
		defer old.Close()
		m.tellOfOthers(ns, a, at)
		if m.t.adopted[pin] {
			return nil
		}
	}
	p, err := load()
	if err != nil {
		return err
	}
	if old != nil {
		if err := old.Update(p); err != nil {
			return fmt.Errorf("update program on %s: %w", a.device, err)
		}
	} else if err := ns.do(func() error { return attachLast(path, a, p) }); err != nil {
		return err
	}
	m.t.adopted[pin] = true
	return nil
}

// tellOfOthers warns of programs that come where they make copies wrong.
func (m *mirroring) tellOfOthers(ns *namespace, a attachment, at position) {
	switch {
	case a.endpoint == helperOwner && at.before > 0:
		m.d.log.Warn("other programs meet copies first", "netns", ns.name, "device", a.device, "programs", at.before)
	case a.endpoint != helperOwner && at.behind > 0:
		// What they drop has been mirrored, and what they change was mirrored without.
		m.d.log.Warn("other programs run behind the mirror", "interface", a.endpoint, "netns", ns.name,
			"device", a.device, "ingress", a.key.ingress, "programs", at.behind)
	}
}

func attachLast(path string, a attachment, p *ebpf.Program) error {
	l, err := link.AttachTCX(link.TCXOptions{Interface: a.ifindex, Program: p, Attach: a.direction(), Anchor: link.Tail()})
	if err != nil {
		return fmt.Errorf("attach program to %s: %w", a.device, err)
	}
	if err := l.Pin(path); err != nil {
		return errors.Join(fmt.Errorf("pin link of %s: %w", a.device, err), l.Close())
	}
	return l.Close()
}

// addPaths notes the outer addresses of all copies before any of them is made.
func (m *mirroring) addPaths(sources []sluice.MirrorSource) {
	for _, s := range sources {
		for _, e := range s.Sessions {
			for _, t := range e.Targets {
				from := s.IPv6
				if t = t.Unmap(); t.Is4() {
					from = s.IPv4
				}
				switch {
				case t.IsValid() && from.IsValid():
					m.paths[mirrorPath{Src: words(from), Dst: words(t)}] = true
				case t.IsValid(): // the route chooses the source
					m.paths[mirrorPath{Dst: words(t)}] = true
				}
			}
		}
	}
	for p := range m.paths {
		if err := m.t.maps.Paths.Put(&p, uint8(1)); err != nil {
			m.d.log.Error("note path of copies", "error", err)
		}
	}
}

// cleanUp removes what is not wanted: links, then generations and slots, then helper
// devices, then the maps of other builds with theirs, then the notes of paths. Where a
// source has a problem, what its programs may need stays.
func (m *mirroring) cleanUp(sources []sluice.MirrorSource) error {
	ids := map[string]bool{}
	for _, s := range sources {
		ids[s.Interface.ID] = true
	}
	stays := func(pin string) bool {
		owner, _, _ := strings.Cut(pin, "_")
		return m.links[pin] || m.failed[owner] || (len(m.failed) > 0 && owner == helperOwner)
	}
	replaced, err := m.t.otherSets()
	if err != nil {
		return err
	}
	if len(replaced) > 0 && len(m.failed) == 0 {
		// Programs that ran when their link was updated still put clones on the old devices.
		if err := m.t.awaitPrograms(); err != nil {
			return err
		}
	}
	if err := removeLinks(m.t.linksDir(), stays); err != nil {
		return err
	}
	maps.DeleteFunc(m.t.adopted, func(pin string, _ bool) bool { return !stays(pin) })
	if err := m.t.releaseSources(ids); err != nil {
		return err
	}
	if len(m.failed) > 0 {
		return nil
	}
	if err := m.t.releaseSessions(m.wanted); err != nil {
		return err
	}
	if err := removeHelpers(m.t.maps.Helpers, func(inode uint32) bool { return m.helpers[inode] != 0 }); err != nil {
		return err
	}
	if err := m.t.removeSets(replaced); err != nil {
		return err
	}
	return m.removePaths()
}

// removePaths removes the notes of the outer addresses that no copy has any more.
func (m *mirroring) removePaths() error {
	var p mirrorPath
	var one uint8
	var stale []mirrorPath
	it := m.t.maps.Paths.Iterate()
	for it.Next(&p, &one) {
		if !m.paths[p] {
			stale = append(stale, p)
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("list paths: %w", err)
	}
	for _, p := range stale {
		if err := m.t.maps.Paths.Delete(&p); err != nil {
			return fmt.Errorf("forget path: %w", err)
		}
	}
	return nil
}

// removeLinks detaches all programs of mirroring whose pins are not wanted.
func removeLinks(dir string, wanted func(pin string) bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, e := range entries {
		if wanted(e.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("remove link: %w", err)
		}
	}
	return nil
}

// removeMirrors detaches all programs of mirroring under a pin directory and removes
// maps and helper devices, whichever build has made them.
func removeMirrors(dir string) error {
	nothing := func(string) bool { return false }
	if err := removeLinks(filepath.Join(dir, mirrorLinksDir), nothing); err != nil {
		return err
	}
	sets, err := mirrorSets(dir)
	if err != nil {
		return err
	}
	for _, set := range sets {
		if err := removeMirrorSet(filepath.Join(dir, set.name)); err != nil {
			return err
		}
	}
	return nil
}

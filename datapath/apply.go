package datapath

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"sluice"
)

// building is one run of Apply.
type building struct {
	d          *Datapath
	namespaces map[string]*namespace        // nil where there is none of that name
	links      map[string]bool              // pins that are wanted
	covered    map[firewallCoveredKey]bool  // as this run finds it
	noted      map[firewallCoveredKey]bool  // as it was noted before
	programs   map[programKey]*ebpf.Program // loaded in this run
	failed     map[string]bool              // endpoints with a problem: what runs for them stays
}

// Apply makes the kernel carry exactly these endpoints. What is right already is not
// touched, and where something fails, what was in place for that endpoint stays.
// Interfaces are looked up anew each time; one whose device or namespace is absent is
// reported as missing. The order is such that a packet may be counted twice for a
// moment, but never passes without having been filtered.
func (d *Datapath) Apply(ctx context.Context, endpoints []sluice.Endpoint) []sluice.EndpointStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open.RLock()
	defer d.open.RUnlock()
	out := make([]sluice.EndpointStatus, len(endpoints))
	for i, e := range endpoints {
		out[i].ID = e.ID
	}
	if d.mem == nil {
		return problem(out, errClosed)
	}
	if err := os.MkdirAll(filepath.Join(d.dir, linksDir), 0o700); err != nil {
		return problem(out, fmt.Errorf("make link directory: %w", err))
	}
	if err := d.takeOver(); err != nil {
		return problem(out, err)
	}
	b := &building{d: d, namespaces: map[string]*namespace{}, links: map[string]bool{},
		covered: map[firewallCoveredKey]bool{}, noted: map[firewallCoveredKey]bool{}, programs: map[programKey]*ebpf.Program{}, failed: map[string]bool{}}
	defer b.close()
	if err := b.notes(); err != nil {
		return problem(out, err)
	}
	d.follow(followEndpoints, namespaceNames(endpoints))
	wanted := map[string]bool{}
	for i, e := range endpoints {
		wanted[e.ID] = true
		if err := b.endpoint(ctx, e, &out[i]); err != nil {
			b.failed[e.ID] = true
			out[i].Problem = err.Error()
			d.log.Error("endpoint has a problem", "endpoint", e.ID, "error", err)
		}
	}
	if err := ctx.Err(); err != nil {
		// What was not looked at stays as it is.
		return problem(out, err)
	}
	if err := b.cleanUp(ctx, wanted); err != nil {
		d.log.Error("clean up behind endpoints", "error", err)
		return problem(out, err)
	}
	return out
}

func problem(out []sluice.EndpointStatus, err error) []sluice.EndpointStatus {
	for i := range out {
		if out[i].Problem == "" {
			out[i].Problem = err.Error()
		}
	}
	return out
}

func namespaceNames(endpoints []sluice.Endpoint) []string {
	names := map[string]bool{}
	for _, e := range endpoints {
		for _, i := range e.Interfaces {
			names[i.Netns] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func (b *building) close() {
	// A link keeps the program that it runs.
	for _, p := range b.programs {
		if err := p.Close(); err != nil {
			b.d.log.Warn("close program", "error", err)
		}
	}
	for _, n := range b.namespaces {
		if n == nil {
			continue
		}
		if err := n.close(); err != nil {
			b.d.log.Warn("close namespace", "netns", n.name, "error", err)
		}
	}
}

func (b *building) namespace(name string) (*namespace, error) {
	if n, ok := b.namespaces[name]; ok {
		return n, nil
	}
	n, err := openNamespace(name)
	if err == nil {
		b.namespaces[name] = n
	}
	return n, err
}

// place is a device of an endpoint as it was found.
type place struct {
	ns     *namespace
	link   netlink.Link
	header uint32
}

// endpoint builds one endpoint: policy, then ingress, then what is covered, then
// egress, so that no packet is taken for one that ingress has seen before it has.
func (b *building) endpoint(ctx context.Context, e sluice.Endpoint, st *sluice.EndpointStatus) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	slot, failed := b.d.claimSlot(e.ID, e.Policy)
	if failed != nil {
		// An endpoint that has a slot goes on with the policy that it had.
		var has bool
		if slot, has = b.d.slotOf(e.ID); !has {
			return failed
		}
	}
	st.PolicyGeneration = b.d.policyGeneration(slot)
	places := map[string]place{}
	for _, i := range e.Interfaces {
		p, err := b.find(i)
		switch {
		case err != nil:
			failed = errors.Join(failed, err)
		case p.link == nil:
			st.Missing = append(st.Missing, i.ID)
		default:
			places[i.ID] = p
		}
	}
	attached := map[string]bool{}
	for id, p := range places {
		err := b.attach(p, e.ID, slot, true)
		attached[id] = err == nil
		failed = errors.Join(failed, err)
	}
	own := map[*namespace]map[int]bool{}
	for id, p := range places {
		if !attached[id] {
			continue
		}
		if own[p.ns] == nil {
			own[p.ns] = map[int]bool{}
		}
		own[p.ns][p.link.Attrs().Index] = true
	}
	for ns, devices := range own {
		failed = errors.Join(failed, b.cover(ns, slot, devices))
	}
	if err := b.uncover(func(k firewallCoveredKey) bool { return k.Endpoint == slot }); err != nil {
		return errors.Join(failed, err)
	}
	for id, p := range places {
		err := b.attach(p, e.ID, slot, false)
		attached[id] = attached[id] && err == nil
		failed = errors.Join(failed, err)
	}
	for _, i := range e.Interfaces {
		if attached[i.ID] {
			st.Attached = append(st.Attached, i.ID)
		}
	}
	return failed
}

// find looks an interface up; place.link is nil where it is missing.
func (b *building) find(i sluice.InterfaceRef) (place, error) {
	ns, err := b.namespace(i.Netns)
	if err != nil || ns == nil {
		return place{}, err
	}
	l, err := ns.links.LinkByName(i.Device)
	var absent netlink.LinkNotFoundError
	if errors.As(err, &absent) {
		return place{}, nil
	}
	if err != nil {
		return place{}, fmt.Errorf("find device %s: %w", i.Device, err)
	}
	header, err := linkHeader(l)
	return place{ns: ns, link: l, header: header}, err
}

func (b *building) attach(p place, id string, slot uint32, ingress bool) error {
	a := attachment{
		endpoint: id, device: p.link.Attrs().Name, ifindex: p.link.Attrs().Index,
		key: programKey{slot: slot, netns: p.ns.inode, header: p.header, ingress: ingress},
	}
	b.links[a.pin()] = true
	return b.put(p.ns, a, !b.d.adopted && !b.d.current)
}

// program loads a program once for all devices that share it.
func (b *building) program(key programKey) (*ebpf.Program, error) {
	if p := b.programs[key]; p != nil {
		return p, nil
	}
	p, err := b.d.load(firewallProgFirewall, key)
	if err == nil {
		b.programs[key] = p
	}
	return p, err
}

// cover notes the devices of a namespace whose packets the endpoint sees at ingress, so
// that it does not count them again at egress.
func (b *building) cover(ns *namespace, slot uint32, own map[int]bool) error {
	all, err := ns.links.LinkList()
	if err != nil {
		return fmt.Errorf("list devices: %w", err)
	}
	for index := range seenThrough(all, own) {
		k := firewallCoveredKey{Netns: ns.inode, Ifindex: uint32(index), Endpoint: slot}
		b.covered[k] = true
		if err := b.d.maps.Covered.Put(&k, uint8(1)); err != nil {
			return fmt.Errorf("cover device %d: %w", index, err)
		}
	}
	return nil
}

// uncover deletes those notes of the ones chosen that this run has not made itself, also
// where an endpoint has a problem: what is not known to be seen must be looked at.
func (b *building) uncover(chosen func(firewallCoveredKey) bool) error {
	for k := range b.noted {
		if b.covered[k] || !chosen(k) {
			continue
		}
		if err := b.d.maps.Covered.Delete(&k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("uncover device %d: %w", k.Ifindex, err)
		}
		delete(b.noted, k)
	}
	return nil
}

// notes reads what is covered.
func (b *building) notes() error {
	var k firewallCoveredKey
	var one uint8
	it := b.d.maps.Covered.Iterate()
	for it.Next(&k, &one) {
		b.noted[k] = true
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("list covered devices: %w", err)
	}
	return nil
}

// seenThrough returns the devices whose packets all come in through the given ones: those
// themselves, and VLANs on them. A VLAN whose parent lies in another namespace is none,
// whatever the number of its parent. Neither is a bridge or a bond, which another member
// may join at any moment, nor a macvlan or an ipvlan, which also takes packets from its
// siblings: what comes in by one is counted on its way in and on its way out rather than
// not at all.
func seenThrough(all []netlink.Link, own map[int]bool) map[int]bool {
	seen := maps.Clone(own)
	for grown := true; grown; {
		grown = false
		for _, l := range all {
			a := l.Attrs()
			if l.Type() == "vlan" && a.NetNsID == sameNamespace && seen[a.ParentIndex] && !seen[a.Index] {
				seen[a.Index], grown = true, true
			}
		}
	}
	return seen
}

// sameNamespace is LinkAttrs.NetNsID of a device whose parent, if any, lies beside it.
const sameNamespace = -1

// cleanUp removes what is not wanted: the notes first, then the links, then slots, and
// older tables once no program uses them.
func (b *building) cleanUp(ctx context.Context, wanted map[string]bool) error {
	if err := b.uncover(func(firewallCoveredKey) bool { return true }); err != nil {
		return err
	}
	err := detach(b.d.dir, func(endpoint, pin string) bool { return !b.links[pin] && !b.failed[endpoint] })
	if err != nil {
		return err
	}
	if err := b.d.releaseSlots(ctx, wanted); err != nil {
		return err
	}
	if len(b.failed) > 0 || b.d.adopted {
		return nil
	}
	return b.adopt()
}

// takeOver notes that what runs is no longer of one build, before that becomes true: the
// other build, should it come back, is not to take our programs for its own.
func (d *Datapath) takeOver() error {
	if d.adopted || d.current || d.layout.Program == 0 {
		return nil
	}
	d.layout.Program = 0
	return d.writeLayout()
}

// adopt ends a take-over: all programs that run are those of this process's binary and
// use its table.
func (b *building) adopt() error {
	if !b.d.current {
		b.d.layout.Program = programDigest()
		if err := b.d.writeLayout(); err != nil {
			return err
		}
		b.d.current = true
	}
	numbers, err := tables(b.d.dir)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if dir := tableDir(b.d.dir, n); dir != b.d.table.dir {
			if err := removeTable(dir); err != nil {
				return fmt.Errorf("remove table %d: %w", n, err)
			}
		}
	}
	b.d.adopted = true
	return nil
}

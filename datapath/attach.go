package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// attachment is one program on one direction of one device.
type attachment struct {
	endpoint string // id
	device   string
	ifindex  int
	key      programKey
}

// pin is the attachment's name in Dir/links. It has all that makes it another one.
func (a attachment) pin() string {
	direction := "egress"
	if a.key.ingress {
		direction = "ingress"
	}
	return fmt.Sprintf("%s_%d_%d_%s", a.endpoint, a.key.netns, a.ifindex, direction)
}

func (a attachment) direction() ebpf.AttachType {
	if a.key.ingress {
		return ebpf.AttachTCXIngress
	}
	return ebpf.AttachTCXEgress
}

// linkHeader is how many bytes come before the IP header on a device.
func linkHeader(l netlink.Link) (uint32, error) {
	switch kind := l.Attrs().EncapType; kind {
	case "ether", "loopback":
		return 14, nil
	case "none", "rawip", "ppp", "ipip", "tunnel6", "sit", "gre", "ip6gre":
		return 0, nil
	default:
		return 0, fmt.Errorf("attach to %s: devices of kind %q can't carry a firewall", l.Attrs().Name, kind)
	}
}

// put makes the attachment real. A link that is in place keeps its program where
// that is ours already, and gets the new one by an update, in between two packets,
// where not. fresh says that the program must be one of this process's.
func (b *building) put(ns *namespace, a attachment, fresh bool) error {
	path := filepath.Join(b.d.dir, linksDir, a.pin())
	old, at, err := b.inPlace(ns, path, a)
	if err != nil {
		return err
	}
	if old != nil {
		defer old.Close()
		if at.before > 0 {
			// What comes first may pass packets on, or drop them, before we see them.
			b.d.log.Warn("other programs run before the firewall", "endpoint", a.endpoint, "netns", ns.name,
				"device", a.device, "ingress", a.key.ingress, "programs", at.before)
		}
		if !fresh {
			return nil
		}
	}
	p, err := b.program(a.key)
	if err != nil {
		return err
	}
	if old != nil {
		if err := old.Update(p); err != nil {
			return fmt.Errorf("update program on %s: %w", a.device, err)
		}
		return nil
	}
	return ns.do(func() error { return attachNew(path, a, p) })
}

// position is how many programs run before and behind one on its device.
type position struct{ before, behind int }

// inPlace opens the link of an attachment and tells its position, or returns nil where it
// has to be made. A link whose device has gone to another namespace, while another device
// has got its number, is removed.
func (b *building) inPlace(ns *namespace, path string, a attachment) (link.Link, position, error) {
	var at position
	l, err := openLink(path, a.ifindex)
	if l == nil || err != nil {
		return nil, at, err
	}
	runs := false
	err = ns.do(func() (err error) {
		at, runs, err = positionOf(l, a)
		return err
	})
	if err != nil {
		return nil, at, errors.Join(err, l.Close())
	}
	if !runs {
		return nil, at, errors.Join(l.Close(), detachOne(path))
	}
	return l, at, nil
}

// positionOf finds the position of a link's program on its device, in the namespace of
// the thread, or tells that it does not run there.
func positionOf(l link.Link, a attachment) (at position, runs bool, err error) {
	info, err := l.Info()
	if err != nil {
		return at, false, fmt.Errorf("read link of %s: %w", a.device, err)
	}
	q, err := link.QueryPrograms(link.QueryOptions{Target: a.ifindex, Attach: a.direction()})
	if err != nil {
		return at, false, fmt.Errorf("list programs on %s: %w", a.device, err)
	}
	i := slices.IndexFunc(q.Programs, func(p link.AttachedProgram) bool {
		id, ok := p.LinkID()
		return ok && id == info.ID
	})
	if i < 0 {
		return at, false, nil
	}
	return position{before: i, behind: len(q.Programs) - 1 - i}, true, nil
}

func attachNew(path string, a attachment, p *ebpf.Program) error {
	l, err := link.AttachTCX(link.TCXOptions{Interface: a.ifindex, Program: p, Attach: a.direction(), Anchor: link.Head()})
	if err != nil {
		return fmt.Errorf("attach program to %s: %w", a.device, err)
	}
	if err := l.Pin(path); err != nil {
		return errors.Join(fmt.Errorf("pin link of %s: %w", a.device, err), l.Close())
	}
	return l.Close()
}

// openLink opens a pinned link, or returns nil where there is none or its device has
// gone; then the pin is removed.
func openLink(path string, ifindex int) (link.Link, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open link: %w", err)
	}
	info, err := l.Info()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read link %s: %w", filepath.Base(path), err), l.Close())
	}
	if tcx := info.TCX(); tcx != nil && int(tcx.Ifindex) == ifindex {
		return l, nil
	}
	return nil, errors.Join(l.Close(), os.Remove(path))
}

// detach removes the links that are not wanted. When it returns, none of their programs
// runs any more.
func detach(dir string, unwanted func(endpoint, pin string) bool) error {
	entries, err := os.ReadDir(filepath.Join(dir, linksDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, e := range entries {
		endpoint, _, _ := strings.Cut(e.Name(), "_")
		if !unwanted(endpoint, e.Name()) {
			continue
		}
		if err := detachOne(filepath.Join(dir, linksDir, e.Name())); err != nil {
			return fmt.Errorf("remove link %s: %w", e.Name(), err)
		}
	}
	return nil
}

// detachOne detaches a pinned link and removes its pin. To remove the pin alone would
// detach as well, but at some time later. The kernel waits for what is running.
func detachOne(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(l.Detach(), l.Close()); err != nil {
		return err
	}
	return os.Remove(path)
}

// RemovePins detaches all programs under a pin directory and deletes the table. It
// needs no open Datapath, but nobody may have one.
func RemovePins(dir string) error {
	if err := detach(dir, func(string, string) bool { return true }); err != nil {
		return err
	}
	if err := removeMirrors(dir); err != nil {
		return err
	}
	numbers, err := tables(dir)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if err := removeTable(tableDir(dir, n)); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove pins: %w", err)
	}
	return nil
}

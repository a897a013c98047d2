package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	old, err := openLink(path, a.ifindex)
	if err != nil {
		return err
	}
	if old != nil {
		defer old.Close()
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

func attachNew(path string, a attachment, p *ebpf.Program) error {
	at := ebpf.AttachTCXEgress
	if a.key.ingress {
		at = ebpf.AttachTCXIngress
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: a.ifindex, Program: p, Attach: at, Anchor: link.Head()})
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

// detach removes the links that are not wanted. Removing the pin of a link that nobody
// has open detaches its program.
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
		if err := os.Remove(filepath.Join(dir, linksDir, e.Name())); err != nil {
			return fmt.Errorf("remove link: %w", err)
		}
	}
	return nil
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
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove pins: %w", err)
	}
	return nil
}

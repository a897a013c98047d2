package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sluice/daemon"
	"sluice/internal/testnet"
)

// mirrorTrace is what mirroring leaves in the kernel.
type mirrorTrace struct {
	Devices  []string // of the namespace
	Programs []string // direction, device and name of those attached there
	Pins     []string // of links
	Sessions []string // ids that have a slot
	Sources  int      // that have a generation
	Helpers  int      // namespaces that are noted to have helper devices
}

// trace looks at the kernel, past the server.
func (l mirrorLab) trace(netns string) mirrorTrace {
	l.t.Helper()
	pins := pinDir(daemon.DefaultBPFFS, l.StateDir())
	for {
		var found mirrorTrace
		err := testnet.Do(netns, func() error { return found.readNamespace() })
		if errors.Is(err, netlink.ErrDumpInterrupted) && l.t.Context().Err() == nil {
			continue // devices changed meanwhile
		}
		if err == nil {
			err = found.readPins(pins)
		}
		if err != nil {
			l.t.Fatal(err)
		}
		return found
	}
}

// readNamespace reads the devices of the namespace that the thread is in.
func (m *mirrorTrace) readNamespace() error {
	devices, err := netlink.LinkList()
	if err != nil {
		return err
	}
	for _, d := range devices {
		m.Devices = append(m.Devices, d.Attrs().Name)
		for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
			attached, err := link.QueryPrograms(link.QueryOptions{Target: d.Attrs().Index, Attach: at})
			if errors.Is(err, unix.ENODEV) {
				continue // it has gone since
			}
			if err != nil {
				return fmt.Errorf("list programs of %s: %w", d.Attrs().Name, err)
			}
			for _, p := range attached.Programs {
				name, err := programName(p.ID)
				if err != nil {
					return err
				}
				m.Programs = append(m.Programs, fmt.Sprintf("%s %s %s", at, d.Attrs().Name, name))
			}
		}
	}
	slices.Sort(m.Devices)
	slices.Sort(m.Programs)
	return nil
}

func programName(id ebpf.ProgramID) (string, error) {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return "", err
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return "", err
	}
	return info.Name, nil
}

// readPins reads the links and maps that are pinned. Before the first session there are
// none.
func (m *mirrorTrace) readPins(dir string) error {
	links, err := os.ReadDir(filepath.Join(dir, "mirror-links"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range links {
		m.Pins = append(m.Pins, e.Name())
	}
	session := regexp.MustCompile(`tms-[0-9a-f]{17}`)
	for name, see := range map[string]func(value []byte){
		"session_slots": func(value []byte) {
			if id := session.Find(value); id != nil {
				m.Sessions = append(m.Sessions, string(id))
			}
		},
		"sources": func([]byte) { m.Sources++ },
		"helpers": func([]byte) { m.Helpers++ },
	} {
		// The name of their directory follows from their layout.
		pins, err := filepath.Glob(filepath.Join(dir, "mirror-[0-9]*-*", name))
		if err != nil {
			return err
		}
		for _, pin := range pins {
			if err := eachValue(pin, see); err != nil {
				return fmt.Errorf("read map %s: %w", name, err)
			}
		}
	}
	return nil
}

// eachValue reads a pinned map; one that is not there has no values.
func eachValue(path string, see func(value []byte)) error {
	m, err := ebpf.LoadPinnedMap(path, &ebpf.LoadPinOptions{ReadOnly: true})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer m.Close()
	var key any // nil is before the first
	for {
		next, err := m.NextKeyBytes(key)
		if err != nil || next == nil {
			return err
		}
		value, err := m.LookupBytes(next)
		if err != nil {
			return err
		}
		if value != nil { // a place of an array of maps may be empty
			see(value)
		}
		key = next
	}
}

// mirrored checks that a session is whole in the kernel, where nothing else is mirrored.
func (m mirrorTrace) mirrored(t *testing.T, before mirrorTrace, session string) {
	t.Helper()
	if diff := cmp.Diff([]string{session}, m.Sessions); diff != "" {
		t.Errorf("sessions in the kernel (-want +got):\n%s", diff)
	}
	if len(m.Devices) != len(before.Devices)+3 || len(m.Pins) == 0 || m.Sources != 1 || m.Helpers != 1 {
		t.Errorf("beside %+v the kernel has %+v", before, m)
	}
	for _, direction := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
		if !slices.ContainsFunc(m.Programs, func(p string) bool {
			return regexp.MustCompile("^" + direction.String() + " eth0 mirror").MatchString(p)
		}) {
			t.Errorf("no program on %s of the source: %q", direction, m.Programs)
		}
	}
}

// same checks that the kernel is as it was.
func (m mirrorTrace) same(t *testing.T, before mirrorTrace) {
	t.Helper()
	if diff := cmp.Diff(before, m); diff != "" {
		t.Errorf("left in the kernel (-before +after):\n%s", diff)
	}
}

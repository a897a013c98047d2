package inventory

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sluice"
)

// namespaceState is one reading of a namespace.
type namespaceState struct {
	exists   bool
	forwards bool
	devices  []device // ordered by name; without loopback
}

// device is a network device as the kernel shows it.
type device struct {
	name      string
	index     int // 0: it was there once
	mac       string
	mtu       int
	up        bool
	addresses []netip.Prefix // with a scope beyond the link, IPv4 first
	// sharesMAC says that a device which was made earlier has the same hardware
	// address, as below a VLAN, a bridge or a bond.
	sharesMAC bool
}

// dumpAttempts bounds how often a dump that devices changed under is repeated.
const dumpAttempts = 5

// readNamespace reads the devices of a namespace. One that does not exist is no
// error.
func readNamespace(name string) (namespaceState, error) {
	state := namespaceState{exists: true}
	err := inside(name, func() (err error) {
		if state.forwards, err = forwards(); err != nil {
			return err
		}
		for range dumpAttempts {
			state.devices, err = readDevices()
			if !errors.Is(err, netlink.ErrDumpInterrupted) {
				return err
			}
		}
		return err
	})
	if errors.Is(err, errNoNamespace) {
		return namespaceState{}, nil
	}
	if err != nil {
		return namespaceState{}, fmt.Errorf("read devices of namespace %q: %w", name, err)
	}
	return state, nil
}

// readDevices reads the devices of the thread's namespace.
func readDevices() ([]device, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	addresses, err := readAddresses()
	if err != nil {
		return nil, err
	}
	sort.Slice(links, func(i, j int) bool { return links[i].Attrs().Index < links[j].Attrs().Index })
	var out []device
	owners := map[string]bool{}
	for _, l := range links {
		a := l.Attrs()
		if a.Flags&net.FlagLoopback != 0 {
			continue
		}
		// What the data plane makes for itself, for as long as it mirrors, is nobody's.
		if strings.HasPrefix(a.Name, sluice.MirrorDevicePrefix) {
			continue
		}
		mac := a.HardwareAddr.String()
		out = append(out, device{
			name: a.Name, index: a.Index, mac: mac, mtu: a.MTU,
			up:        a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_RUNNING != 0,
			addresses: addresses[a.Index],
			sharesMAC: owners[mac],
		})
		owners[mac] = true
	}
	sort.Slice(out, func(i, j int) bool { return out[i].name < out[j].name })
	return out, nil
}

// readAddresses returns the addresses by index of their device. The kernel lists
// the primary IPv4 address of a network first, and that order is kept; IPv6 has no
// order of its own, so it is sorted.
func readAddresses() (map[int][]netip.Prefix, error) {
	v4, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	v6, err := netlink.AddrList(nil, netlink.FAMILY_V6)
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, err
	}
	sort.Slice(v6, func(i, j int) bool { return slices.Compare(v6[i].IP, v6[j].IP) < 0 })
	out := map[int][]netip.Prefix{}
	for _, a := range append(v4, v6...) {
		ip, ok := netip.AddrFromSlice(a.IP)
		if ip = ip.Unmap(); !ok || ip.IsLinkLocalUnicast() || ip.IsLoopback() {
			continue
		}
		bits, _ := a.Mask.Size()
		out[a.LinkIndex] = append(out[a.LinkIndex], netip.PrefixFrom(ip, bits))
	}
	return out, nil
}

// find returns the device of a name.
func (s namespaceState) find(name string) (device, bool) {
	for _, d := range s.devices {
		if d.name == name {
			return d, true
		}
	}
	return device{}, false
}

// missing returns an error for each declared device that is not there.
func (s namespaceState) missing(netns string, declared []Declared) []error {
	where := "the host's network namespace"
	if netns != "" {
		where = "network namespace " + netns
	}
	var names []string
	for _, d := range s.devices {
		names = append(names, d.name)
	}
	var errs []error
	for i, d := range declared {
		if d.Netns != netns {
			continue
		}
		if _, ok := s.find(d.Device); ok {
			continue
		}
		if !s.exists {
			errs = append(errs, fmt.Errorf("interfaces[%d]: network namespace %s does not exist; there are: %s",
				i, netns, list(namespaceNames())))
		} else {
			errs = append(errs, fmt.Errorf("interfaces[%d]: device %s does not exist in %s; it has: %s",
				i, d.Device, where, list(names)))
		}
	}
	return errs
}

// away returns the declared devices that were there once.
func (s namespaceState) away(netns string, declared []Declared) []string {
	var names []string
	for _, d := range declared {
		if now, ok := s.find(d.Device); ok && d.Netns == netns && now.index == 0 {
			names = append(names, d.Device)
		}
	}
	return names
}

// maxListed bounds the names in an error.
const maxListed = 50

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	if n := len(names); n > maxListed {
		names = append(names[:maxListed:maxListed], fmt.Sprintf("and %d more", n-maxListed))
	}
	return strings.Join(names, ", ")
}

// after carries over what an earlier reading knew of declared devices: one that
// is gone stays as it was but not up, and one that lost its addresses, as IPv6
// does when a device goes down, keeps them as long as it is down.
func (s namespaceState) after(old namespaceState, netns string, declared []Declared) namespaceState {
	if !s.exists {
		s.forwards = old.forwards
	}
	s.devices = slices.Clone(s.devices)
	for _, d := range declared {
		if d.Netns != netns {
			continue
		}
		was, known := old.find(d.Device)
		if !known {
			continue
		}
		i := slices.IndexFunc(s.devices, func(now device) bool { return now.name == d.Device })
		switch {
		case i < 0:
			was.index, was.up = 0, false
			s.devices = append(s.devices, was)
		case !s.devices[i].up && len(s.devices[i].addresses) == 0:
			s.devices[i].addresses = was.addresses
		}
	}
	return s
}

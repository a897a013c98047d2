package testnet

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// End is one device of a Link.
type End struct {
	Netns  string // "" is the caller's namespace
	Device string
	// Addresses are added without duplicate address detection, so that they can be
	// used at once.
	Addresses []netip.Prefix
}

// Link is a veth pair.
type Link struct {
	A, B End
	MTU  int // bytes; 0 leaves the kernel's 1500
}

// AddLink makes a veth pair and sets both ends up. The MAC addresses follow from
// the names of namespace and device, so that ids which are derived from them are
// the same whenever the link is made again.
func AddLink(l Link) error {
	if err := addVeth(l); err != nil {
		return fmt.Errorf("add link %s-%s: %w", l.A, l.B, err)
	}
	for _, e := range []End{l.A, l.B} {
		err := Do(e.Netns, func() error {
			if err := setLinkUp(e.Device); err != nil {
				return err
			}
			for _, a := range e.Addresses {
				if err := AddAddress("", e.Device, a); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("set up device %s: %w", e, err)
		}
	}
	return nil
}

// String returns netns/device.
func (e End) String() string { return e.Netns + "/" + e.Device }

func addVeth(l Link) error {
	peer, err := openNamespace(l.B.Netns)
	if err != nil {
		return err
	}
	defer unix.Close(peer)
	return Do(l.A.Netns, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.HardwareAddr = l.A.Device, l.MTU, linkAddress(l.A)
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs:        attrs,
			PeerName:         l.B.Device,
			PeerHardwareAddr: linkAddress(l.B),
			PeerMTU:          uint32(l.MTU),
			PeerNamespace:    netlink.NsFd(peer),
		})
	})
}

// openNamespace returns a descriptor of a namespace; "" is that of the thread.
func openNamespace(name string) (int, error) {
	path := "/proc/thread-self/ns/net"
	if name != "" {
		path = NamespacePath(name)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open namespace %q: %w", name, err)
	}
	return fd, nil
}

// linkAddress derives a locally administered unicast address (IEEE 802, bits 1
// and 0 of the first octet are 1 and 0).
func linkAddress(e End) net.HardwareAddr {
	h := sha256.Sum256([]byte(e.String()))
	h[0] = h[0]&^0x01 | 0x02
	return net.HardwareAddr(h[:6])
}

// RemoveLink deletes a device; with a veth its peer goes too.
func RemoveLink(netns, device string) error {
	return wrap("remove link "+device, Do(netns, func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	}))
}

// SetLinkUp and SetLinkDown change the administrative state of a device.
func SetLinkUp(netns, device string) error {
	return Do(netns, func() error { return setLinkUp(device) })
}

// SetLinkDown is the reverse of SetLinkUp. The device loses its IPv6 addresses.
func SetLinkDown(netns, device string) error {
	return Do(netns, func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return fmt.Errorf("find device %s: %w", device, err)
		}
		return wrap("set device "+device+" down", netlink.LinkSetDown(l))
	})
}

func setLinkUp(device string) error {
	l, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find device %s: %w", device, err)
	}
	return wrap("set device "+device+" up", netlink.LinkSetUp(l))
}

// SetMTU changes the MTU of a device, in bytes.
func SetMTU(netns, device string, mtu int) error {
	return Do(netns, func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return fmt.Errorf("find device %s: %w", device, err)
		}
		return wrap("set MTU of "+device, netlink.LinkSetMTU(l, mtu))
	})
}

// AddAddress gives a device one more address, which can be used at once.
func AddAddress(netns, device string, p netip.Prefix) error {
	return Do(netns, func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return fmt.Errorf("find device %s: %w", device, err)
		}
		a := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		return wrap(fmt.Sprintf("add address %s to %s", p, device), netlink.AddrAdd(l, a))
	})
}

// AddRoute adds a route to a network through a next hop. The zero-length prefix
// is the default route.
func AddRoute(netns string, to netip.Prefix, via netip.Addr) error {
	return Do(netns, func() error {
		err := netlink.RouteAdd(&netlink.Route{Dst: ipNet(to.Masked()), Gw: via.AsSlice()})
		return wrap(fmt.Sprintf("add route to %s via %s", to, via), err)
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// SetSysctl writes a network setting of a namespace. The name is a path below
// /proc/sys/net, such as ipv4/ip_forward; the kernel resolves it in the namespace
// of the thread.
func SetSysctl(netns, name, value string) error {
	if strings.Contains(name, "..") {
		return fmt.Errorf("set sysctl %s: not a path below /proc/sys/net", name)
	}
	return Do(netns, func() error {
		return wrap("set sysctl "+name, os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0))
	})
}

// SetForwarding lets a namespace forward IPv4 and IPv6 packets, or stops it.
func SetForwarding(netns string, on bool) error {
	value := "0"
	if on {
		value = "1"
	}
	if err := SetSysctl(netns, "ipv4/ip_forward", value); err != nil {
		return err
	}
	return SetSysctl(netns, "ipv6/conf/all/forwarding", value)
}

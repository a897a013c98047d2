package testnet

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Node is a namespace of a Topology.
type Node struct {
	Netns   string
	Forward bool // forwards IPv4 and IPv6
	// Gateways are the next hops of the default routes, one per address family.
	Gateways []netip.Addr
}

// Topology describes namespaces and the links between them.
type Topology struct {
	Nodes []Node
	Links []Link
}

// settleTimeout bounds how long Create waits for carriers. The kernel delivers a
// carrier change within a second at worst (net/core/link_watch.c).
const settleTimeout = 5 * time.Second

// Create makes everything that the topology describes, and returns when packets
// can flow. It is an error when one of the namespaces exists; whatever was made
// before a failure is removed again.
func (t Topology) Create() error {
	for i, n := range t.Nodes {
		if err := CreateNamespace(n.Netns); err != nil {
			return errors.Join(err, Topology{Nodes: t.Nodes[:i]}.Remove())
		}
	}
	if err := t.build(); err != nil {
		return errors.Join(fmt.Errorf("create topology: %w", err), t.Remove())
	}
	return nil
}

func (t Topology) build() error {
	for _, n := range t.Nodes {
		if err := n.configure(); err != nil {
			return fmt.Errorf("configure namespace %s: %w", n.Netns, err)
		}
	}
	for _, l := range t.Links {
		if err := AddLink(l); err != nil {
			return err
		}
	}
	for _, l := range t.Links {
		for _, e := range []End{l.A, l.B} {
			if err := awaitCarrier(e); err != nil {
				return err
			}
		}
	}
	for _, n := range t.Nodes {
		for _, g := range n.Gateways {
			all := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
			if g.Is4() {
				all = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
			}
			if err := AddRoute(n.Netns, all, g); err != nil {
				return err
			}
		}
	}
	return nil
}

// configure prepares a namespace before it has devices, so that they inherit the
// settings: no duplicate address detection, no router solicitation and no reverse
// path filter, none of which a test could wait for or count on.
func (n Node) configure() error {
	settings := [][2]string{
		{"ipv4/conf/all/rp_filter", "0"},
		{"ipv4/conf/default/rp_filter", "0"},
	}
	if ipv6Present() {
		for _, scope := range []string{"all", "default"} {
			dir := "ipv6/conf/" + scope
			settings = append(settings,
				[2]string{dir + "/disable_ipv6", "0"},
				[2]string{dir + "/accept_dad", "0"},
				[2]string{dir + "/accept_ra", "0"},
				[2]string{dir + "/router_solicitations", "0"})
		}
	}
	for _, s := range settings {
		if err := SetSysctl(n.Netns, s[0], s[1]); err != nil {
			return err
		}
	}
	return SetForwarding(n.Netns, n.Forward)
}

// ipv6Present tells whether the kernel has IPv6 at all.
func ipv6Present() bool {
	_, err := os.Stat("/proc/sys/net/ipv6/conf/all")
	return err == nil
}

// awaitCarrier waits until the kernel has put a device into operation. Before
// that its queue discards whatever is sent.
func awaitCarrier(e End) error {
	return Do(e.Netns, func() error {
		deadline := time.Now().Add(settleTimeout)
		for {
			l, err := netlink.LinkByName(e.Device)
			if err != nil {
				return fmt.Errorf("find device %s: %w", e, err)
			}
			if l.Attrs().OperState == netlink.OperUp {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("await carrier of %s: %w", e, os.ErrDeadlineExceeded)
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// Remove takes away the namespaces of the topology and the links in them. What is
// not there is no error, so that it also clears up after a run that crashed.
func (t Topology) Remove() error {
	var errs []error
	for _, n := range t.Nodes {
		errs = append(errs, RemoveNamespace(n.Netns))
	}
	for _, l := range t.Links {
		for _, e := range []End{l.A, l.B} {
			if e.Netns != "" {
				continue // gone with its namespace
			}
			err := RemoveLink("", e.Device)
			var missing netlink.LinkNotFoundError
			if !errors.As(err, &missing) && !errors.Is(err, unix.ENODEV) {
				errs = append(errs, err)
			}
		}
	}
	return wrap("remove topology", errors.Join(errs...))
}

// EndStatus says what there is of one End.
type EndStatus struct {
	End
	Present bool // the namespace and the device are there
	Up      bool // and it can carry packets
	MTU     int  // bytes
}

// Status looks at every device that the topology describes.
func (t Topology) Status() ([]EndStatus, error) {
	var out []EndStatus
	for _, l := range t.Links {
		for _, e := range []End{l.A, l.B} {
			s := EndStatus{End: e}
			if e.Netns == "" || NamespaceExists(e.Netns) {
				err := Do(e.Netns, func() error {
					link, err := netlink.LinkByName(e.Device)
					var missing netlink.LinkNotFoundError
					if errors.As(err, &missing) {
						return nil
					}
					if err != nil {
						return err
					}
					s.Present, s.MTU = true, link.Attrs().MTU
					s.Up = link.Attrs().OperState == netlink.OperUp
					return nil
				})
				if err != nil {
					return nil, fmt.Errorf("read device %s: %w", e, err)
				}
			}
			out = append(out, s)
		}
	}
	return out, nil
}

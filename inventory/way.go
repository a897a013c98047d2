package inventory

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// Way is the device by which packets for an address leave a namespace.
type Way struct {
	Device string
	Kind   string // as ip-link(8) calls it, "veth" for example; "device" where the kernel tells none
	Bare   bool   // its packets have no Ethernet header, as those of WireGuard and of tun devices
}

// WayTo asks the kernel for the way of a namespace's own packets to an address.
func WayTo(netns string, to netip.Addr) (Way, error) {
	var w Way
	err := inside(netns, func() error {
		routes, err := netlink.RouteGet(to.AsSlice())
		if err != nil {
			return err
		}
		if len(routes) == 0 {
			return errors.New("there is no route")
		}
		l, err := netlink.LinkByIndex(routes[0].LinkIndex)
		if err != nil {
			return err
		}
		a := l.Attrs()
		w = Way{Device: a.Name, Kind: l.Type(), Bare: slices.Contains([]string{"none", "rawip", "ppp"}, a.EncapType)}
		return nil
	})
	if err != nil {
		return Way{}, fmt.Errorf("find the way to %v: %w", to, err)
	}
	return w, nil
}

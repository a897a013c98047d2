package datapath

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sluice"
)

// The helper devices of a namespace are a bridge and a veth pair, one end of which is its
// only port. A clone that is put on the bridge is cut into the frames of the wire on
// its way out of it, since the bridge has no offloads, and each of them meets the program
// encap on its way out of the port, in the same call: nothing is queued, so that nothing
// is lost or overtaken. Before it is cut the clone meets the program offer. The other end of the pair is there for the carrier alone.
const (
	helperBridge = "0"
	helperPort   = "1"
	helperPeer   = "2"
	helperOwner  = "helper" // in the names of its pins
)

// helperMTU is the largest that a veth takes.
const helperMTU = 65535

// helperName is what the names of the helper devices of this set of maps begin with. It
// follows from the set's directory, so that programs that run on other maps have other
// devices, and says nothing of the mark of copies, which is a secret.
func (t *mirrorTable) helperName() string {
	sum := sha256.Sum256([]byte(filepath.Clean(t.mapsDir())))
	return fmt.Sprintf("%s%x-", sluice.MirrorDevicePrefix, sum[:3])
}

// helper makes the helper devices of a namespace if they are not in place, and returns
// the ifindex of the bridge.
func (m *mirroring) helper(ns *namespace) (uint32, error) {
	if index := m.helpers[ns.inode]; index != 0 {
		return index, nil
	}
	record := mirrorHelper{}
	if ns.name != "" && !setText(record.Netns[:], ns.name) {
		return 0, fmt.Errorf("make helper device: the name of namespace %q is too long", ns.name)
	}
	setText(record.Device[:], m.t.helperName())
	// Noted first, so that whatever there is of it can be found and removed.
	if err := m.t.maps.Helpers.Put(ns.inode, &record); err != nil {
		return 0, fmt.Errorf("note helper device: %w", err)
	}
	bridge, port, err := m.t.findHelper(ns)
	if err == nil && bridge != nil {
		// Who switches forwarding off for all devices does so for ours.
		err = ns.do(func() error { return m.t.configureHelper(m.t.helperName()) })
	}
	if err == nil && bridge == nil {
		if bridge, port, err = m.t.makeHelper(ns); err != nil {
			err = errors.Join(err, removeHelper(ns, m.t.helperName()))
		}
	}
	if err != nil {
		return 0, fmt.Errorf("make helper device in namespace %q: %w", ns.name, err)
	}
	for _, e := range []struct {
		program string
		device  netlink.Link
	}{{mirrorProgEncap, port}, {mirrorProgOffer, bridge}} {
		a := attachment{endpoint: helperOwner, device: e.device.Attrs().Name, ifindex: e.device.Attrs().Index,
			key: programKey{netns: ns.inode}}
		err = m.put(ns, a, func() (*ebpf.Program, error) { return m.helperProgram(e.program) })
		if err != nil {
			return 0, err
		}
	}
	// Up means complete.
	if err := ns.links.LinkSetUp(bridge); err != nil {
		return 0, fmt.Errorf("set helper device up: %w", err)
	}
	m.helpers[ns.inode] = uint32(bridge.Attrs().Index)
	return m.helpers[ns.inode], nil
}

// helperProgram loads a program of the helper devices once for all namespaces.
func (m *mirroring) helperProgram(name string) (*ebpf.Program, error) {
	if p := m.loaded[name]; p != nil {
		return p, nil
	}
	p, err := m.t.load(name, map[string]any{mirrorVarCopyMark: m.t.mark, mirrorVarLinkHeader: uint32(14)})
	if err == nil {
		m.loaded[name] = p
	}
	return p, err
}

// findHelper returns bridge and port if they are complete, and removes them if not.
func (t *mirrorTable) findHelper(ns *namespace) (bridge, port netlink.Link, err error) {
	name := t.helperName()
	bridge, err = linkByName(ns, name+helperBridge)
	if err == nil {
		port, err = linkByName(ns, name+helperPort)
	}
	if err != nil {
		return nil, nil, err
	}
	if bridge != nil && port != nil && port.Attrs().MasterIndex == bridge.Attrs().Index &&
		bridge.Attrs().Flags&port.Attrs().Flags&1 != 0 /* net.FlagUp */ {
		return bridge, port, nil
	}
	if bridge == nil && port == nil {
		return nil, nil, nil
	}
	return nil, nil, removeHelper(ns, name)
}

// linkByName finds a device; nil where there is none.
func linkByName(ns *namespace, name string) (netlink.Link, error) {
	l, err := ns.links.LinkByName(name)
	var absent netlink.LinkNotFoundError
	if errors.As(err, &absent) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find device %s: %w", name, err)
	}
	return l, nil
}

// makeHelper makes the devices; all but the bridge are up.
func (t *mirrorTable) makeHelper(ns *namespace) (bridge, port netlink.Link, err error) {
	name := t.helperName()
	off := false
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name + helperBridge
	if err := ns.links.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &off}); err != nil {
		return nil, nil, fmt.Errorf("add bridge: %w", err)
	}
	attrs = netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name+helperPort, helperMTU
	if err := ns.links.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name + helperPeer, PeerMTU: helperMTU}); err != nil {
		return nil, nil, fmt.Errorf("add veth pair: %w", err)
	}
	links := map[string]netlink.Link{}
	for _, end := range []string{helperBridge, helperPort, helperPeer} {
		if links[end], err = ns.links.LinkByName(name + end); err != nil {
			return nil, nil, fmt.Errorf("find device %s: %w", name+end, err)
		}
	}
	bridge, port = links[helperBridge], links[helperPort]
	if err := ns.do(func() error { return t.configureHelper(name) }); err != nil {
		return nil, nil, err
	}
	if err := ns.links.LinkSetMaster(port, bridge); err != nil {
		return nil, nil, fmt.Errorf("add port to bridge: %w", err)
	}
	// After the port, whose arrival sets it too.
	if err := ns.links.LinkSetMTU(bridge, helperMTU); err != nil {
		return nil, nil, fmt.Errorf("set MTU of bridge: %w", err)
	}
	for _, l := range []netlink.Link{port, links[helperPeer]} {
		if err := ns.links.LinkSetUp(l); err != nil {
			return nil, nil, fmt.Errorf("set device %s up: %w", l.Attrs().Name, err)
		}
	}
	return bridge, port, nil
}

// configureHelper switches off what makes packets larger or less finished than on a
// wire, and IPv6, so that the kernel says nothing of its own on these devices. It runs
// in their namespace.
func (t *mirrorTable) configureHelper(name string) error {
	for _, command := range []uint32{unix.ETHTOOL_STXCSUM, unix.ETHTOOL_STSO, unix.ETHTOOL_SGSO, unix.ETHTOOL_SSG, unix.ETHTOOL_SFLAGS} {
		if err := setOffload(name+helperBridge, command, 0); err != nil {
			return fmt.Errorf("switch off offload %#x of %s: %w", command, name+helperBridge, err)
		}
	}
	settings := [][2]string{
		// A look-up of a route for packets of a device wants that it forwards.
		{"ipv4/conf/" + name + helperBridge + "/forwarding", "1"},
		{"ipv6/conf/" + name + helperBridge + "/forwarding", "1"},
	}
	for _, end := range []string{helperBridge, helperPort, helperPeer} {
		settings = append(settings, [2]string{"ipv6/conf/" + name + end + "/disable_ipv6", "1"})
	}
	for _, s := range settings {
		err := os.WriteFile(filepath.Join("/proc/sys/net", s[0]), []byte(s[1]), 0)
		if errors.Is(err, os.ErrNotExist) && s[0][:4] == "ipv6" {
			continue // the kernel has none
		}
		if err != nil {
			return fmt.Errorf("set %s: %w", s[0], err)
		}
	}
	return nil
}

// setOffload switches a feature of a device of the current namespace.
func setOffload(device string, command, value uint32) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	defer unix.Close(fd)
	v := struct{ command, value uint32 }{command, value} // struct ethtool_value
	return ethtool(fd, device, unsafe.Pointer(&v))
}

// removeHelper deletes the helper devices of a namespace, as far as they are there.
func removeHelper(ns *namespace, name string) error {
	var failed error
	for _, end := range []string{helperBridge, helperPort} { // the peer goes with the port
		l, err := linkByName(ns, name+end)
		if err == nil && l != nil {
			err = ns.links.LinkDel(l)
			if errors.Is(err, unix.ENODEV) {
				err = nil
			}
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("remove helper device %s: %w", name+end, err))
		}
	}
	return failed
}

// removeHelpers removes the helper devices of all namespaces but the wanted ones.
func removeHelpers(helpers *ebpf.Map, wanted func(inode uint32) bool) error {
	var inode uint32
	var record mirrorHelper
	stale := map[uint32]mirrorHelper{}
	it := helpers.Iterate()
	for it.Next(&inode, &record) {
		if !wanted(inode) {
			stale[inode] = record
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("list helper devices: %w", err)
	}
	for inode, record := range stale {
		ns, err := openNamespace(text(record.Netns[:]))
		if err != nil {
			return err
		}
		if ns != nil {
			// Another one of that name has none of ours.
			if ns.inode == inode {
				err = removeHelper(ns, text(record.Device[:]))
			}
			if err = errors.Join(err, ns.close()); err != nil {
				return err
			}
		}
		if err := helpers.Delete(inode); err != nil {
			return fmt.Errorf("forget helper device: %w", err)
		}
	}
	return nil
}

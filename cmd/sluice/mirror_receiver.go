package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"sluice"
	"sluice/internal/testnet"
)

// copyReceiver is where copies can go: the interface of a target, or a member of a
// group.
type copyReceiver struct {
	name      string // netns/device; the address, where the device is not known
	addresses []netip.Addr
	// host is where it is; "" for an address that no device of this host has.
	host, netns string
	// device is what copies arrive at; "" is any of the namespace's, since an address
	// need not be on the device that its packets come by.
	device string
}

// here tells whether the receiver can be watched from here.
func (k *mirrorChecker) here(r copyReceiver) bool { return r.host == k.host }

// allHere tells whether a copy that no watch sees has arrived nowhere.
func (k *mirrorChecker) allHere() bool {
	return !slices.ContainsFunc(k.receivers, func(r copyReceiver) bool { return !k.here(r) })
}

// isReceiver tells whether copies may go to an address.
func (k *mirrorChecker) isReceiver(a netip.Addr) bool {
	return slices.ContainsFunc(k.receivers, func(r copyReceiver) bool { return slices.Contains(r.addresses, a) })
}

// receiverNames are the names of those on this host, or of the others.
func (k *mirrorChecker) receiverNames(here bool) string {
	var names []string
	for _, r := range k.receivers {
		if k.here(r) == here {
			names = append(names, r.name)
		}
	}
	return strings.Join(names, ", ")
}

// deviceOf finds a device, and says what keeps it from sending or receiving.
func deviceOf(netns, name string) (device net.Interface, problem string) {
	err := testnet.Do(netns, func() error {
		d, err := net.InterfaceByName(name)
		if err == nil {
			device = *d
		}
		return err
	})
	if err != nil {
		return device, "is not there: " + err.Error()
	}
	if device.Flags&net.FlagUp == 0 {
		return device, "is down"
	}
	return device, ""
}

// checkTarget finds the receivers and looks whether copies can go to one of them.
func (k *mirrorChecker) checkTarget(all interfaces, target mirrorTarget) (ok bool, err error) {
	if target.InterfaceID == "" {
		return k.checkGroup(all, target)
	}
	r, problem := k.interfaceReceiver(all, target.InterfaceID)
	if problem != "" {
		k.say("target", stepFailed, "%s of target %s %s", r.name, target.ID, problem)
		return false, nil
	}
	k.receivers = []copyReceiver{r}
	if !k.here(r) {
		k.say("target", stepUnknown, "%s is on host %s, at%s: whether it is up is not seen from here", r.name, r.host, addressList(r.addresses))
		return true, nil
	}
	k.say("target", stepOK, "%s is up, at%s", r.name, addressList(r.addresses))
	return true, nil
}

// interfaceReceiver makes a receiver of an interface, or says why it can't be one.
func (k *mirrorChecker) interfaceReceiver(all interfaces, id string) (r copyReceiver, problem string) {
	n, ok := all.find(id)
	if !ok {
		return copyReceiver{name: "interface " + id}, "is not there"
	}
	r = copyReceiver{name: n.name(), addresses: n.addresses()}
	r.host, r.netns, r.device = n.place()
	if k.here(r) {
		if _, problem := deviceOf(r.netns, r.device); problem != "" {
			return r, problem
		}
	}
	if n.Status == statusAway {
		return r, "is away: its host has no such device"
	}
	if len(r.addresses) == 0 {
		return r, "has no IP address that copies could go to"
	}
	return r, ""
}

// checkGroup resolves the members of a group as the server does: those that can't
// receive are left out.
func (k *mirrorChecker) checkGroup(all interfaces, target mirrorTarget) (ok bool, err error) {
	i := slices.IndexFunc(k.groups, func(g sluice.TargetGroup) bool { return g.Arn == target.LoadBalancerArn })
	if i < 0 {
		k.say("target", stepFailed, "%s is no target group of the configuration, so that it has no members", target.LoadBalancerArn)
		return false, nil
	}
	group := k.groups[i]
	var left []string
	for _, m := range group.Members {
		a, err := netip.ParseAddr(m)
		if err != nil {
			r, problem := k.interfaceReceiver(all, m)
			if problem != "" {
				left = append(left, r.name+" "+problem)
				continue
			}
			k.receivers = append(k.receivers, r)
			continue
		}
		owners, err := k.ownersOf(all, a)
		if err != nil {
			return false, err
		}
		k.receivers = append(k.receivers, owners...)
	}
	without := prefixed("; left out: ", strings.Join(left, ", "))
	if len(k.receivers) == 0 {
		k.say("target", stepFailed, "group %s has no member that copies can go to%s", group.Name, without)
		return false, nil
	}
	k.say("target", stepOK, "group %s: %s%s", group.Name,
		joined("; ", prefixed("on this host ", k.receiverNames(true)), prefixed("elsewhere ", k.receiverNames(false))), without)
	return true, nil
}

// ownersOf are the namespaces of this host that have an address: there may be several,
// apart from each other, and only routes tell which gets the copies. With none the
// address is another host's.
func (k *mirrorChecker) ownersOf(all interfaces, address netip.Addr) ([]copyReceiver, error) {
	var out []copyReceiver
	for _, netns := range k.namespaces(all) {
		owner := ""
		err := testnet.Do(netns, func() error {
			devices, err := net.Interfaces()
			if err != nil {
				return err
			}
			for _, d := range devices {
				addresses, err := d.Addrs()
				if err != nil {
					return err
				}
				has := func(a net.Addr) bool {
					p, err := netip.ParsePrefix(a.String())
					return err == nil && p.Addr().Unmap() == address
				}
				if slices.ContainsFunc(addresses, has) {
					owner = d.Name
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("look for %s on this host: %w", address, err)
		}
		if owner != "" {
			name := address.String() + " (" + networkInterfaceName(netns, owner) + ")"
			out = append(out, copyReceiver{name: name, addresses: []netip.Addr{address}, host: k.host, netns: netns})
		}
	}
	if len(out) == 0 {
		out = append(out, copyReceiver{name: address.String(), addresses: []netip.Addr{address}})
	}
	return out, nil
}

// namespaces are those of this host that interfaces are in, and its own.
func (k *mirrorChecker) namespaces(all interfaces) []string {
	out := []string{""}
	for _, n := range all {
		host, netns, _ := n.place()
		if host == k.host && !slices.Contains(out, netns) && testnet.NamespaceExists(netns) {
			out = append(out, netns)
		}
	}
	return out
}

// addressList is each address behind a space.
func addressList(addresses []netip.Addr) string {
	text := ""
	for _, a := range addresses {
		text += " " + a.String()
	}
	return text
}

// joined joins what is not empty.
func joined(separator string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), separator)
}

// receiverWatch watches the receivers that are on this host.
type receiverWatch struct {
	receivers []copyReceiver
	watches   []*packetWatch // of each
}

// watchReceivers begins to watch. lost says which receiver has just gone.
func (k *mirrorChecker) watchReceivers() (w *receiverWatch, lost string) {
	w = &receiverWatch{}
	for _, r := range k.receivers {
		if !k.here(r) {
			continue
		}
		p, err := watchPackets(r.netns, r.device)
		if err != nil {
			w.close()
			return nil, fmt.Sprintf("%s is not there any more: %s", r.name, err)
		}
		p.incoming = true
		w.receivers, w.watches = append(w.receivers, r), append(w.watches, p)
	}
	return w, ""
}

func (w *receiverWatch) close() {
	for _, p := range w.watches {
		p.close()
	}
}

// receiverOf is the receiver that a copy went to, as its address tells; where it is no
// receiver's, the one whose watch has seen it.
func (w *receiverWatch) receiverOf(p *packetWatch, destination netip.Addr) copyReceiver {
	seen := w.receivers[slices.Index(w.watches, p)]
	if slices.Contains(seen.addresses, destination) {
		return seen
	}
	if i := slices.IndexFunc(w.receivers, func(r copyReceiver) bool { return slices.Contains(r.addresses, destination) }); i >= 0 {
		return w.receivers[i]
	}
	return seen
}

package inventory

import (
	"slices"
	"strconv"

	"sluice"
)

// maxAway bounds the devices of an undeclared host that are remembered while they are
// away: tunnels and containers come and go under ever new names. The ones that went
// first are forgotten first.
const maxAway = 1024

// identify gives each device that is in its id. known are the devices of the reading
// before, of an earlier process at first; the result takes their place: those that are
// away first, in the order in which they went, then those that are in. No two of the
// result have the same id, so that an id never stands for two devices.
//
// A device keeps its id as long as it can be told to be the same one. What the
// configuration declares is told by its name, whatever hardware address comes back
// under it. Elsewhere nobody has said what a name means: there it is the device that
// the process has not lost sight of, then the one of the same hardware address, which
// survives that the kernel names devices in another order, then the one of the same
// name.
func identify(o Options, seen map[string]namespaceState, known []remembered) []remembered {
	v := identification{options: o, known: known, claimed: make([]bool, len(known)), held: map[string]bool{}}
	for _, d := range wanted(o, seen) {
		state := seen[d.Netns]
		if dev, ok := state.find(d.Device); ok {
			v.present = append(v.present, remembered{Netns: d.Netns, Device: dev.name, MAC: dev.mac, MTU: dev.mtu,
				Addresses: dev.addresses, SharesMAC: dev.sharesMAC, Forwards: state.forwards, index: dev.index})
		}
	}
	tests := []sameness{sameIndex, sameNameAndAddress, sameAddress, sameName}
	if o.Declared != nil {
		// An entry that was renamed in the configuration, together with its device.
		tests = []sameness{sameName, sameAddress}
	}
	for _, same := range tests {
		v.claim(same)
	}
	for _, r := range known {
		v.held[r.ID] = true
	}
	for i := range v.present {
		if v.present[i].ID == "" {
			v.present[i].ID = v.newID(v.present[i])
			v.held[v.present[i].ID] = true
		}
	}
	return append(v.away(), v.present...)
}

// identification is one run of identify.
type identification struct {
	options Options
	known   []remembered
	claimed []bool // of known: by a device that is in
	present []remembered
	held    map[string]bool // ids that are given
}

// sameness tells whether a device is one that was known.
type sameness func(now, was remembered) bool

func sameIndex(now, was remembered) bool {
	return now.index != 0 && now.index == was.index && now.Netns == was.Netns
}

func sameName(now, was remembered) bool {
	return now.Netns == was.Netns && now.Device == was.Device
}

// sameAddress is false for devices that share their address with another one, since
// they are told by their names.
func sameAddress(now, was remembered) bool {
	return now.MAC != "" && now.MAC == was.MAC && !now.SharesMAC && !was.SharesMAC && now.Netns == was.Netns
}

func sameNameAndAddress(now, was remembered) bool {
	return sameName(now, was) && now.MAC == was.MAC
}

// claim gives devices without an id that of the known one that they are, of several the
// one that was there last.
func (v *identification) claim(same sameness) {
	for i := range v.present {
		now := &v.present[i]
		if now.ID != "" {
			continue
		}
		for k, was := range slices.Backward(v.known) {
			if !v.claimed[k] && same(*now, was) {
				now.ID, v.claimed[k] = was.ID, true
				break
			}
		}
	}
}

// newID is the id of a device that was not known. Where somebody has it already, the
// name goes in, too.
func (v *identification) newID(r remembered) string {
	id := derivedID(v.options.HostID, r)
	for n := 1; v.held[id]; n++ {
		id = sluice.DeriveID("eni", v.options.HostID, r.Netns, r.MAC, r.Device, strconv.Itoa(n))
	}
	return id
}

// derivedID follows from the hardware address. Devices that have none, or the same as
// an older one, are told apart by their names.
func derivedID(hostID string, r remembered) string {
	parts := []string{hostID, r.Netns, r.MAC}
	if r.MAC == "" || r.SharesMAC {
		parts = append(parts, r.Device)
	}
	return sluice.DeriveID("eni", parts...)
}

// away are the known devices that are not in, in the order in which they went.
func (v *identification) away() []remembered {
	var out []remembered
	for k, was := range v.known {
		if !v.claimed[k] {
			was.index = 0 // the kernel may give it to another one
			out = append(out, was)
		}
	}
	if n := len(out) - maxAway; n > 0 && v.options.Declared == nil {
		out = slices.Delete(out, 0, n)
	}
	return out
}

// Withdrawn returns the interfaces that the configuration declared, or let be
// discovered, before this start, and declares no more: their owner has deleted them.
// A device that is only away is not among them, and without declarations none is,
// since nobody can tell there whether a device will come back.
func (v *Inventory) Withdrawn() []sluice.InterfaceRef {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []sluice.InterfaceRef
	for _, r := range v.known {
		if v.withdrawn(r) {
			out = append(out, sluice.InterfaceRef{ID: r.ID, Netns: r.Netns, Device: r.Device})
		}
	}
	return out
}

func (v *Inventory) withdrawn(r remembered) bool {
	return v.options.Declared != nil && !slices.ContainsFunc(v.options.Declared, func(d Declared) bool {
		return d.Netns == r.Netns && d.Device == r.Device
	})
}

// Forget lets go of the withdrawn interfaces among ids, once nothing refers to them any
// more. Until then every start finds them again.
func (v *Inventory) Forget(ids []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known = slices.DeleteFunc(slices.Clone(v.known), func(r remembered) bool {
		return v.withdrawn(r) && slices.Contains(ids, r.ID)
	})
	v.remember()
}

package receive

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// maxVNIs bounds the network identifiers that are kept apart. A sender that makes
// up new ones can take no more than this of memory, and of blocks in a file.
const maxVNIs = 4096

// maxWireFrame is the largest frame that network cards carry, bytes: an MTU of 9,216
// with an Ethernet header and a VLAN tag. What is larger was never cut for a wire: its
// sender and the receiver share a kernel.
const maxWireFrame = 9216 + ethernetSize + 4

// Network is what was received under one network identifier.
type Network struct {
	VNI         uint32
	Packets     uint64
	Bytes       uint64         // of inner frames as received
	Cut         uint64         // packets that are shorter than their IP header tells
	Uncut       uint64         // super-packets: frames larger than any wire's
	First, Last time.Time      // zero before the first packet
	From        netip.AddrPort // the last packet's outer source
}

// Counts is everything that a receiver has counted.
type Counts struct {
	Networks []Network        // ordered by VNI
	Faults   map[Fault]uint64 // datagrams that were not taken, by reason
	// Dropped are datagrams that the kernel had no room for in the socket, or that
	// had a wrong checksum (SK_MEMINFO_DROPS, sock_diag(7)).
	Dropped uint64
}

// Packets is the sum over all networks.
func (c Counts) Packets() (n uint64) {
	for _, v := range c.Networks {
		n += v.Packets
	}
	return n
}

// Uncut is the sum of super-packets over all networks.
func (c Counts) Uncut() (n uint64) {
	for _, v := range c.Networks {
		n += v.Uncut
	}
	return n
}

// counter counts; it may be read while it does.
type counter struct {
	mu       sync.Mutex
	networks map[uint32]*Network
	faults   [faults]uint64
}

// add counts a datagram. It returns the fault of a packet that must not go on.
func (c *counter) add(p Packet, fault Fault) Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fault != NoFault {
		c.faults[fault]++
		return fault
	}
	n := c.networks[p.VNI]
	if n == nil {
		if len(c.networks) >= maxVNIs {
			c.faults[FaultVNI]++
			return FaultVNI
		}
		if c.networks == nil {
			c.networks = map[uint32]*Network{}
		}
		n = &Network{VNI: p.VNI, First: p.Time}
		c.networks[p.VNI] = n
	}
	n.Packets++
	n.Bytes += uint64(len(p.Frame))
	if p.OriginalLength() > len(p.Frame) {
		n.Cut++
	}
	if len(p.Frame) > maxWireFrame {
		n.Uncut++
	}
	n.Last, n.From = p.Time, p.From
	return NoFault
}

func (c *counter) counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := Counts{Faults: map[Fault]uint64{}}
	for _, n := range c.networks {
		out.Networks = append(out.Networks, *n)
	}
	slices.SortFunc(out.Networks, func(a, b Network) int { return cmp.Compare(a.VNI, b.VNI) })
	for f, n := range c.faults {
		if n > 0 {
			out.Faults[Fault(f)] = n
		}
	}
	return out
}

package testnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"sluice"
)

// Tuple is the 5-tuple of packets that travel one way. Ports are 0 where the
// protocol has none.
type Tuple struct {
	Source, Destination         netip.Addr
	SourcePort, DestinationPort uint16
	Protocol                    uint8 // IANA number
}

// Reverse returns the tuple of the answers.
func (t Tuple) Reverse() Tuple {
	t.Source, t.Destination = t.Destination, t.Source
	t.SourcePort, t.DestinationPort = t.DestinationPort, t.SourcePort
	return t
}

// Tally counts the packets of one Tuple by their way through the device: In was
// received by it, Out was sent. Bytes are IP bytes with headers and without link
// layer padding. A super-packet counts as the packets that it becomes on a wire.
type Tally struct{ In, Out sluice.Counter }

// CounterStats tell how far a Counter can be trusted.
type CounterStats struct {
	Frames    uint64 // frames seen, of whatever kind
	Drops     uint64 // frames that the ring had no room for; 0 or the counts are too low
	Malformed uint64 // IP packets that could not be parsed and are in no tally
}

// Counter counts the IP packets of a device with a packet socket, and knows
// nothing of BPF. The kernel shows it received packets before the firewall's
// ingress program and sent ones after the egress program.
type Counter struct {
	ring *packetRing
	wake int // eventfd that ends the reader

	mu        sync.Mutex
	tallies   map[Tuple]*Tally
	fragments fragmentTable
	stats     CounterStats
	closed    bool
	done      chan struct{}
	err       error // why the reader gave up
}

// Count begins to count on a device. Close must be called.
func Count(netns, device string) (*Counter, error) {
	c := &Counter{tallies: map[Tuple]*Tally{}, done: make(chan struct{})}
	err := Do(netns, func() error {
		dev, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		c.ring, err = openRing(dev.Index)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count packets of %s/%s: %w", netns, device, err)
	}
	if c.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("make eventfd: %w", err), c.ring.close())
	}
	go c.read()
	return c, nil
}

// read empties the ring whenever the kernel says that there is something in it.
func (c *Counter) read() {
	defer close(c.done)
	fds := []unix.PollFd{{Fd: int32(c.ring.fd), Events: unix.POLLIN}, {Fd: int32(c.wake), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		if err == unix.EINTR {
			continue
		}
		if err == nil && fds[0].Revents&unix.POLLERR != 0 {
			// The device went down or away. Reading the error clears it, and the
			// counter goes on when the device comes back up.
			var soerr int
			soerr, err = unix.GetsockoptInt(c.ring.fd, unix.SOL_SOCKET, unix.SO_ERROR)
			if err == nil && soerr != 0 && unix.Errno(soerr) != unix.ENETDOWN {
				err = unix.Errno(soerr)
			}
		}
		c.mu.Lock()
		if err != nil {
			c.err = fmt.Errorf("poll packet socket: %w", err)
		}
		c.drain()
		c.mu.Unlock()
		if err != nil || fds[1].Revents != 0 {
			return
		}
	}
}

// drain counts what the ring holds. c.mu is held.
func (c *Counter) drain() {
	for {
		f, ok := c.ring.next()
		if !ok {
			return
		}
		c.stats.Frames++
		p, kind := parseFrame(f)
		switch kind {
		case notIP:
		case malformed:
			c.stats.Malformed++
		default:
			c.fragments.resolve(&p)
			c.add(p, f.outgoing)
		}
		c.ring.release()
	}
}

func (c *Counter) add(p packet, outgoing bool) {
	t := c.tallies[p.tuple]
	if t == nil {
		t = new(Tally)
		c.tallies[p.tuple] = t
	}
	way := &t.In
	if outgoing {
		way = &t.Out
	}
	way.Packets += p.packets
	way.Bytes += p.bytes
}

// Tallies returns the counts of all tuples. Every packet that passed the device
// before the call is in.
func (c *Counter) Tallies() map[Tuple]Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.drain()
	}
	out := make(map[Tuple]Tally, len(c.tallies))
	for k, v := range c.tallies {
		out[k] = *v
	}
	return out
}

// Flow returns what passed of a flow in each direction: with t's source as the
// sender, and back, no matter which way that is through the device.
func (c *Counter) Flow(t Tuple) (forward, back sluice.Counter) {
	all := c.Tallies()
	f, b := all[t], all[t.Reverse()]
	return sum(f), sum(b)
}

func sum(t Tally) sluice.Counter {
	return sluice.Counter{Packets: t.In.Packets + t.Out.Packets, Bytes: t.In.Bytes + t.Out.Bytes}
}

// Stats returns how many frames were seen and how many were missed.
func (c *Counter) Stats() (CounterStats, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.drain()
		if err := c.readDrops(); err != nil {
			return c.stats, err
		}
	}
	return c.stats, c.err
}

// readDrops adds the kernel's count, which each reading sets back to zero.
func (c *Counter) readDrops() error {
	s, err := unix.GetsockoptTpacketStats(c.ring.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return fmt.Errorf("read packet statistics: %w", err)
	}
	c.stats.Drops += uint64(s.Drops)
	return nil
}

// Reset forgets what was counted so far.
func (c *Counter) Reset() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.New("reset counter: closed")
	}
	c.drain()
	err := c.readDrops()
	clear(c.tallies)
	c.stats = CounterStats{}
	return err
}

// Close stops counting; Tallies and Stats keep their last values. Calling it twice
// does nothing.
func (c *Counter) Close() error {
	if _, err := unix.Write(c.wakeFD(), []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil && err != unix.EBADF {
		return fmt.Errorf("wake reader: %w", err)
	}
	<-c.done
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.drain()
	err := errors.Join(c.readDrops(), c.ring.close(), unix.Close(c.wake), c.err)
	c.closed = true
	return err
}

// wakeFD returns an invalid descriptor once the counter is closed, whose number
// may have been given to somebody else.
func (c *Counter) wakeFD() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return -1
	}
	return c.wake
}

// maxFragments bounds the datagrams whose later fragments can be counted with
// their ports.
const maxFragments = 16384

// fragmentTable remembers the ports of first fragments.
type fragmentTable struct{ ports map[fragmentKey][2]uint16 }

type fragmentKey struct {
	source, destination netip.Addr
	protocol            uint8
	id                  uint32
}

// resolve records the ports of a first fragment, and gives them to a later one.
// A later fragment that came before its first counts without ports.
func (t *fragmentTable) resolve(p *packet) {
	if p.fragment == wholePacket {
		return
	}
	k := fragmentKey{p.tuple.Source, p.tuple.Destination, p.tuple.Protocol, p.fragmentID}
	if p.fragment == laterFragment {
		ports := t.ports[k]
		p.tuple.SourcePort, p.tuple.DestinationPort = ports[0], ports[1]
		return
	}
	if t.ports == nil {
		t.ports = map[fragmentKey][2]uint16{}
	}
	if len(t.ports) >= maxFragments {
		clear(t.ports)
	}
	t.ports[k] = [2]uint16{p.tuple.SourcePort, p.tuple.DestinationPort}
}

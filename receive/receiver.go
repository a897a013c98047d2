package receive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// drainTime bounds how long the receiver goes on after its end, when datagrams still
// come as fast as they are read.
const drainTime = time.Second

// Receiver takes VXLAN from a socket, counts it and hands the frames on.
type Receiver struct {
	socket *socket
	sinks  []*feed
	count  counter

	mu        sync.Mutex // guards what follows, and keeps the socket open meanwhile
	closed    bool
	lastDrops uint32
	drops     uint64
}

// feed is a sink, and what ended it: a sink that has failed is not called again.
type feed struct {
	Sink
	failed bool
}

// call calls the sink unless it has failed.
func (f *feed) call(do func(Sink) error) error {
	if f.failed {
		return nil // said when it happened
	}
	err := do(f.Sink)
	f.failed = err != nil
	return err
}

// Listen opens the socket, in the network namespace of the calling thread; it
// belongs to that namespace for ever. The address is host:port. Frames go to every
// sink, in turn.
func Listen(ctx context.Context, address string, sinks ...Sink) (*Receiver, error) {
	s, err := openSocket(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("listen for VXLAN on %s: %w", address, err)
	}
	r := &Receiver{socket: s}
	r.AddSinks(sinks...)
	return r, nil
}

// AddSinks adds sinks before Run. What comes meanwhile waits in the socket.
func (r *Receiver) AddSinks(sinks ...Sink) {
	for _, s := range sinks {
		r.sinks = append(r.sinks, &feed{Sink: s})
	}
}

// Close ends a receiver that is not to run after all; after Run it does nothing.
func (r *Receiver) Close() error { return r.close() }

// Address is where the receiver listens.
func (r *Receiver) Address() netip.AddrPort {
	a, _ := r.socket.conn.LocalAddr().(*net.UDPAddr)
	return a.AddrPort()
}

// Run receives until ctx ends, which is no error, or a sink fails, whose error is
// returned once. What waits in the socket when ctx ends is received too. It can run
// once: at its end the socket is closed.
func (r *Receiver) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { r.socket.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err := r.receive()
	if ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = r.drain()
	}
	if err != nil {
		err = fmt.Errorf("receive VXLAN: %w", err)
	}
	return errors.Join(err, r.flush(), r.close())
}

func (r *Receiver) receive() error {
	for {
		full, err := r.socket.read(r.take)
		if err != nil {
			return err
		}
		if !full {
			if err := r.flush(); err != nil {
				return err
			}
		}
	}
}

// drain takes what waits in the socket when the end comes, but not for ever.
func (r *Receiver) drain() error {
	for begin := time.Now(); time.Since(begin) < drainTime; {
		if full, err := r.socket.readWaiting(r.take); err != nil || !full {
			return err
		}
	}
	return nil
}

func (r *Receiver) take(from netip.AddrPort, at time.Time, datagram []byte) error {
	vni, frame, fault := Decapsulate(datagram)
	p := Packet{VNI: vni, Time: at, From: from, Frame: frame}
	if r.count.add(p, fault) != NoFault {
		return nil
	}
	for _, s := range r.sinks {
		if err := s.call(func(s Sink) error { return s.Write(p) }); err != nil {
			return err
		}
	}
	return nil
}

func (r *Receiver) flush() error {
	var errs []error
	for _, s := range r.sinks {
		errs = append(errs, s.call(Sink.Flush))
	}
	return errors.Join(errs...)
}

// close reads the last drops and closes the socket.
func (r *Receiver) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	err := r.readDrops()
	r.closed = true
	return errors.Join(err, r.socket.conn.Close())
}

// readDrops follows the kernel's counter, which wraps. r.mu is held.
func (r *Receiver) readDrops() error {
	if r.closed {
		return nil
	}
	now, err := r.socket.dropped()
	if err != nil {
		return err
	}
	r.drops += uint64(now - r.lastDrops)
	r.lastDrops = now
	return nil
}

// Counts returns what has been received so far, also after Run.
func (r *Receiver) Counts() (Counts, error) {
	r.mu.Lock()
	err := r.readDrops()
	drops := r.drops
	r.mu.Unlock()
	c := r.count.counts()
	c.Dropped = drops
	return c, err
}

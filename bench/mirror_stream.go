package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"sluice/internal/testnet"
)

// streams are TCP connections from the client to the server, as fast as they go.
type streams struct {
	listener net.Listener
	senders  []net.Conn
	received atomic.Uint64 // bytes
	failed   atomic.Pointer[error]
}

// chunk is how many bytes a stream writes and reads at once.
const chunk = 1 << 18

// startStreams begins n of them.
func startStreams(ctx context.Context, lab testnet.LabNetwork, n int) (*streams, error) {
	l, err := testnet.Listen(lab.Server, "tcp", lab.Hosts()[1].IPv4.String()+":0")
	if err != nil {
		return nil, err
	}
	s := &streams{listener: l}
	for range n {
		go s.receive()
		c, err := testnet.Dial(ctx, lab.Client, "tcp", l.Addr().String())
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.senders = append(s.senders, c)
		go s.send(c)
	}
	return s, nil
}

func (s *streams) send(c net.Conn) {
	buf := make([]byte, chunk)
	for {
		if _, err := c.Write(buf); err != nil {
			s.fail(err)
			return
		}
	}
}

func (s *streams) receive() {
	conn, err := s.listener.Accept()
	if err != nil {
		s.fail(err)
		return
	}
	defer conn.Close()
	buf := make([]byte, chunk)
	for {
		n, err := conn.Read(buf)
		s.received.Add(uint64(n))
		if err != nil {
			s.fail(err)
			return
		}
	}
}

func (s *streams) fail(err error) { s.failed.CompareAndSwap(nil, &err) }

// failure is why a stream broke off.
func (s *streams) failure() error {
	if err := s.failed.Load(); err != nil {
		return fmt.Errorf("stream: %w", *err)
	}
	return nil
}

func (s *streams) close() error {
	err := s.listener.Close()
	for _, c := range s.senders {
		err = errors.Join(err, c.Close())
	}
	return err
}

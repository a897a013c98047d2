package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"

	"sluice"
	"sluice/internal/testnet"
)

// The ports of the demo's servers.
const (
	demoTCPPort = 8080
	demoUDPPort = 5353
)

// talkTimeout bounds every exchange of the demo's clients.
const talkTimeout = 5 * time.Second

// talk is a connection that one of the demo's own clients holds.
type talk struct {
	what  string // "a long TCP exchange"
	tuple testnet.Tuple
	conn  net.Conn // nil for ICMP, which has no connection to hold
	began time.Time
}

// exchange sends size bytes and reads their echo.
func (t *talk) exchange(size int) error {
	if err := t.conn.SetDeadline(time.Now().Add(talkTimeout)); err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := t.conn.Write(make([]byte, size))
		sent <- err
	}()
	if _, err := io.ReadFull(t.conn, make([]byte, size)); err != nil {
		t.conn.SetDeadline(time.Unix(1, 0)) // so that the writer ends too
		return errors.Join(<-sent, err)
	}
	return <-sent
}

// echoServers are the servers of the demo, in the server's namespace: they send
// back what they get.
type echoServers struct {
	listener net.Listener
	packets  net.PacketConn
}

func startEchoServers(netns string) (*echoServers, error) {
	l, err := testnet.Listen(netns, "tcp", "[::]:"+strconv.Itoa(demoTCPPort))
	if err != nil {
		return nil, err
	}
	p, err := testnet.ListenPacket(netns, "udp", "[::]:"+strconv.Itoa(demoUDPPort))
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s := &echoServers{listener: l, packets: p}
	go s.serveTCP()
	go s.serveUDP()
	return s, nil
}

func (s *echoServers) serveTCP() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		stayQuiet(conn)
		go func() {
			io.Copy(conn, conn) // ends when the client closes, or is cut
			conn.Close()
		}()
	}
}

// stayQuiet turns keep-alives off, which would be counted between a capture and
// the comparison.
func stayQuiet(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetKeepAlive(false) // fails only on a closed connection
	}
}

func (s *echoServers) serveUDP() {
	buf := make([]byte, 65536)
	for {
		n, from, err := s.packets.ReadFrom(buf)
		if err != nil {
			return // closed
		}
		s.packets.WriteTo(buf[:n], from) // a lost answer shows in the client's exchange
	}
}

func (s *echoServers) close() error { return errors.Join(s.listener.Close(), s.packets.Close()) }

// startTalk opens a connection from the client's namespace and exchanges turns
// messages of size bytes on it.
func startTalk(ctx context.Context, client string, network string, to netip.AddrPort, what string, turns, size int) (*talk, error) {
	t := &talk{what: what, began: time.Now()}
	var err error
	if t.conn, err = testnet.Dial(ctx, client, network, to.String()); err != nil {
		return nil, err
	}
	stayQuiet(t.conn)
	local, err := netip.ParseAddrPort(t.conn.LocalAddr().String())
	if err != nil {
		return nil, errors.Join(err, t.conn.Close())
	}
	protocol := uint8(sluice.ProtocolTCP)
	if network == "udp" {
		protocol = sluice.ProtocolUDP
	}
	t.tuple = testnet.Tuple{Source: local.Addr().Unmap(), SourcePort: local.Port(),
		Destination: to.Addr(), DestinationPort: to.Port(), Protocol: protocol}
	for range turns {
		if err := t.exchange(size); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", what, err), t.conn.Close())
		}
	}
	return t, nil
}

// startPing sends echo requests, which make one flow.
func startPing(ctx context.Context, client string, from, to netip.Addr, what string, requests, size int) (*talk, error) {
	protocol := uint8(sluice.ProtocolICMP)
	if to.Is6() {
		protocol = sluice.ProtocolICMPv6
	}
	t := &talk{what: what, began: time.Now(), tuple: testnet.Tuple{Source: from, Destination: to, Protocol: protocol}}
	ctx, cancel := context.WithTimeout(ctx, talkTimeout)
	defer cancel()
	return t, testnet.Ping(ctx, client, to, requests, size)
}

package testnet

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// The ICMP types of echo (RFC 792, RFC 4443 §4).
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
)

// Ping sends count echo requests with size bytes of payload from a namespace, one
// after the other, and returns when the last was answered. A lost one is an error:
// ctx's when its deadline passes.
func Ping(ctx context.Context, netns string, to netip.Addr, count, size int) error {
	network := "ip4:icmp"
	if to.Is6() {
		network = "ip6:ipv6-icmp"
	}
	var conn net.Conn
	err := Do(netns, func() (err error) {
		conn, err = net.Dial(network, to.String())
		return err
	})
	if err != nil {
		return fmt.Errorf("ping %s: %w", to, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	for seq := range count {
		if err := echo(conn, to.Is6(), uint16(seq+1), size); err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return fmt.Errorf("ping %s: %w", to, err)
		}
	}
	return nil
}

// echo sends one request and waits for its reply. The identifier is the sequence
// number's companion: together they tell our reply from others that the raw
// socket also gets.
func echo(conn net.Conn, ipv6 bool, seq uint16, size int) error {
	request, reply := byte(echoRequest4), byte(echoReply4)
	if ipv6 {
		request, reply = echoRequest6, echoReply6
	}
	id := uint16(time.Now().UnixNano() >> 10)
	packet := make([]byte, 8+size)
	packet[0] = request
	binary.BigEndian.PutUint16(packet[4:], id)
	binary.BigEndian.PutUint16(packet[6:], seq)
	if !ipv6 { // the kernel fills in ICMPv6's, which covers addresses too (RFC 3542 §3.1)
		binary.BigEndian.PutUint16(packet[2:], onesComplement(packet))
	}
	if _, err := conn.Write(packet); err != nil {
		return fmt.Errorf("send echo request: %w", err)
	}
	buf := make([]byte, 65536)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return fmt.Errorf("receive echo reply: %w", err)
		}
		message := buf[:n]
		if !ipv6 && n > 0 { // a raw IPv4 socket delivers the IP header too (raw(7))
			message = message[min(n, int(buf[0]&0x0f)*4):]
		}
		if len(message) >= 8 && message[0] == reply && bytes.Equal(message[4:8], packet[4:8]) {
			return nil
		}
	}
}

// onesComplement is the Internet checksum (RFC 1071).
func onesComplement(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"sluice/receive"
)

// receiving runs sluice receive on a free port until the test has seen enough.
func receiving(t *testing.T, args ...string) (send func(datagram []byte), end func() (stdout, stderr string, code int)) {
	t.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.LocalAddr().String()
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var stdout, stderr syncBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, &shell{stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }},
			append([]string{"receive", "--listen", address}, args...))
	}()
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(stderr.String(), "listening on "+address) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not listen: %s", stderr.String())
		}
		time.Sleep(time.Millisecond)
	}
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	send = func(datagram []byte) {
		if _, err := conn.Write(datagram); err != nil {
			t.Fatal(err)
		}
	}
	return send, func() (string, string, int) {
		// Loopback delivers before the send returns, and what waits is received.
		cancel()
		code := <-ended
		return stdout.String(), stderr.String(), code
	}
}

func TestReceiveSumsUpByNetwork(t *testing.T) {
	send, end := receiving(t)
	for range 3 {
		send(receive.Encapsulate(nil, 42, make([]byte, 100)))
	}
	send(receive.Encapsulate(nil, 7, make([]byte, 60)))
	send(receive.Encapsulate(nil, 7, make([]byte, 60000)))
	send([]byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14})
	stdout, stderr, code := end()
	want := "NETWORK  PACKETS   BYTES  CUT  FROM\n" +
		"      7        2  60,060    0  127.0.0.1\n" +
		"     42        3     300    0  127.0.0.1\n" +
		"1 super-packet that no wire has cut: the sender is on this host. ethtool -K DEVICE tx off, at the sender's device, cuts them\n" +
		"1 datagram refused: wrong flags\n"
	if stdout != want || code != exitOK {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}

func TestReceiveWritesACaptureToStdout(t *testing.T) {
	send, end := receiving(t, "--write", "-", "--output", "json")
	send(receive.Encapsulate(nil, 42, make([]byte, 100)))
	stdout, stderr, code := end()
	if code != exitOK || !strings.Contains(stderr, `"VirtualNetworkId": 42`) {
		t.Errorf("exit %d, stderr %s", code, stderr)
	}
	r := receive.NewPcapngReader(bytes.NewReader([]byte(stdout)))
	p, _, err := r.Next()
	if err != nil || p.VNI != 42 || len(p.Frame) != 100 {
		t.Errorf("read %+v, %v", p, err)
	}
	if _, _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after it: %v", err)
	}
}

func TestReceiveRefusesWhatCannotBeMeant(t *testing.T) {
	for _, args := range [][]string{
		{"--rotate", "10M"}, {"--rotate", "ten", "--write", "x"}, {"--keep", "2"}, {"--snap", "-1"}, {"--output", "xml"}, {"--rotate", "1M", "--write", "-"},
	} {
		var stderr bytes.Buffer
		s := &shell{stdout: io.Discard, stderr: &stderr, getenv: func(string) string { return "" }}
		if code := run(t.Context(), s, append([]string{"receive"}, args...)); code != exitUsage {
			t.Errorf("%q: exit %d, %s", args, code, stderr.String())
		}
	}
}

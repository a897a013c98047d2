package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/testnet"
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
	awaitText(t, &stderr, "listening on "+address)
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

// awaitText waits until a verb has written a text.
func awaitText(t *testing.T, b *syncBuffer, text string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(b.String(), text); {
		if time.Now().After(deadline) {
			t.Fatalf("it does not say %q: %s", text, b.String())
		}
		time.Sleep(time.Millisecond)
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

// runReceive runs sluice receive to its end.
func runReceive(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, err bytes.Buffer
	s := &shell{stdout: &out, stderr: &err, getenv: func(string) string { return "" }}
	code = run(t.Context(), s, append([]string{"receive"}, args...))
	return out.String(), err.String(), code
}

func TestACaptureOutlivesAReceiveThatCannotBegin(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	path := filepath.Join(t.TempDir(), "capture.pcapng")
	if err := os.WriteFile(path, []byte("an hour of packets"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--listen", taken.LocalAddr().String()},
		{"--listen", "127.0.0.1:0", "--tap", "a-name-too-long-for-a-device"},
		{"--listen", "127.0.0.1:0", "--netns", "no-such-namespace"},
	} {
		_, stderr, code := runReceive(t, append(args, "--write", path, "--duration", "1ms")...)
		text, err := os.ReadFile(path)
		if err != nil || string(text) != "an hour of packets" || code != exitFailed {
			t.Errorf("%q: exit %d, the capture is %q (%v)\n%s", args, code, text, err, stderr)
		}
	}
}

func TestReceiveSumsUpWhenTheDiskIsFull(t *testing.T) {
	requireRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "out.pcapng")
	send, end := receiving(t, "--write", path)
	for range 2 { // the first fits, the second does in part
		send(receive.Encapsulate(nil, 42, make([]byte, 60000)))
	}
	stdout, stderr, code := end()
	if code != exitFailed || strings.Count(stderr, "no space left on device") != 1 {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if !strings.Contains(stdout, "NETWORK") || !strings.Contains(stdout, "42") {
		t.Errorf("the summary is %q", stdout)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	packets := 0
	for r := receive.NewPcapngReader(file); ; packets++ {
		_, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("packet %d: %v", packets, err)
		}
	}
	if packets != 1 {
		t.Errorf("%d packets of 60,000 bytes are in 64 KiB", packets)
	}
}

func TestReceiveTellsWhatATapDidNotTake(t *testing.T) {
	netns := testnet.UniquePrefix("receive") + "tap"
	testnet.CreateForTest(t, testnet.Topology{Nodes: []testnet.Node{{Netns: netns}}})
	var stdout, stderr syncBuffer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan int, 1)
	go func() {
		s := &shell{stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }}
		ended <- run(ctx, s, []string{"receive", "--netns", netns, "--listen", "127.0.0.1:4789", "--tap", "mirror0", "--output", "json"})
	}()
	awaitText(t, &stderr, "listening on 127.0.0.1:4789")
	if err := testnet.SetLinkDown(netns, "mirror0"); err != nil {
		t.Fatal(err)
	}
	conn, err := testnet.Dial(t.Context(), netns, "udp", "127.0.0.1:4789")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 3 {
		if _, err := conn.Write(receive.Encapsulate(nil, 42, make([]byte, 100))); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if code := <-ended; code != exitOK {
		t.Fatalf("exit %d: %s", code, stderr.String())
	}
	var out struct{ Tap receivedTap }
	if err := json.Unmarshal([]byte(stdout.String()), &out); err != nil {
		t.Fatal(err)
	}
	if want := (receivedTap{"mirror0", 3}); out.Tap != want {
		t.Errorf("the summary tells %+v, want %+v:\n%s", out.Tap, want, stdout.String())
	}
}

func TestReceiveRefusesWhatCannotBeMeant(t *testing.T) {
	for _, args := range [][]string{
		{"--rotate", "10M"}, {"--rotate", "ten", "--write", "x"}, {"--keep", "2"}, {"--snap", "-1"}, {"--output", "xml"}, {"--rotate", "1M", "--write", "-"},
		{"--duration", "0s"}, {"--snap", "0"}, {"--rotate", "1M", "--write", "x", "--keep", "0"},
	} {
		if _, stderr, code := runReceive(t, args...); code != exitUsage {
			t.Errorf("%q: exit %d, %s", args, code, stderr)
		}
	}
}

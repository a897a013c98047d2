package test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sluice/internal/testnet"
)

// needTool returns the path of a program. Without it the test is skipped, but not in
// CI, where a skip is a failure.
func needTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed: CI runs every test", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// talkers matches what client and server of the lab say to each other, and neither
// neighbour discovery nor anything that the capturing hosts say themselves.
const talkers = "(host 10.77.1.2 and host 10.77.2.2) or (host fd77:1::2 and host fd77:2::2)"

// capturing is a tcpdump that writes a file.
type capturing struct {
	b       *bed
	process *testnet.Process
	path    string
	stderr  *safeBuffer
}

// safeBuffer is what a process writes while a test reads.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// startCapture begins to capture what a filter matches on a device; direction is in or
// inout.
func (b *bed) startCapture(tcpdump, netns, device, direction, filter string) *capturing {
	b.t.Helper()
	c := &capturing{b: b, path: filepath.Join(b.t.TempDir(), device+".pcap"), stderr: &safeBuffer{}}
	cmd := exec.Command(tcpdump, "-i", device, "-Q", direction, "-n", "-s", "0", "-B", "65536", "-U", "-Z", "root", "-w", c.path, filter)
	cmd.Stderr = c.stderr
	var err error
	c.process, err = testnet.Start(netns, cmd)
	b.must(err)
	b.t.Cleanup(c.process.Kill)
	c.await(func() bool { return strings.Contains(c.stderr.String(), "listening on") })
	return c
}

func (c *capturing) await(done func() bool) {
	c.b.t.Helper()
	for !done() {
		select {
		case <-c.process.Done():
			c.b.t.Fatalf("tcpdump ended: %s", c.stderr.String())
		case <-c.b.ctx.Done():
			c.b.t.Fatalf("tcpdump does not go on: %s", c.stderr.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// end ends the capture when it has all frames, or after ten seconds.
func (c *capturing) end(complete func(frames [][]byte) bool) {
	c.b.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	c.await(func() bool { return complete(c.frames()) || time.Now().After(deadline) })
	c.b.must(c.process.Cmd.Process.Signal(syscall.SIGINT))
	c.b.must(c.process.Wait())
	if !strings.Contains(c.stderr.String(), "\n0 packets dropped by kernel") {
		c.b.t.Errorf("tcpdump: %s", c.stderr.String())
	}
}

// frames reads the file (pcap, microseconds, byte order of the machine: a header of 24
// bytes, and one of 16 before each frame). A frame that is not written to its end yet
// is left out.
func (c *capturing) frames() [][]byte {
	c.b.t.Helper()
	text, err := os.ReadFile(c.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	c.b.must(err)
	var out [][]byte
	for at := 24; at+16 <= len(text); {
		size := int(binary.NativeEndian.Uint32(text[at+8:]))
		if original := int(binary.NativeEndian.Uint32(text[at+12:])); original != size {
			c.b.t.Fatalf("a frame of %d bytes was captured as %d", original, size)
		}
		if at+16+size > len(text) {
			break
		}
		out, at = append(out, text[at+16:at+16+size]), at+16+size
	}
	return out
}

// everything mirrors all that crosses the gateway's device towards the client.
func (b *bed) everything() (vni int32) {
	b.t.Helper()
	var rules []*ec2.CreateTrafficMirrorFilterRuleInput
	for _, direction := range []types.TrafficDirection{types.TrafficDirectionIngress, types.TrafficDirectionEgress} {
		for i, all := range []string{"0.0.0.0/0", "::/0"} {
			rules = append(rules, &ec2.CreateTrafficMirrorFilterRuleInput{TrafficDirection: direction, RuleNumber: aws.Int32(int32(i + 1)),
				SourceCidrBlock: aws.String(all), DestinationCidrBlock: aws.String(all)})
		}
	}
	return *b.mirrorWith(rules...).VirtualNetworkId
}

// tsharkFields are the columns that tshark reads of a frame.
var tsharkFields = []string{"eth.src", "eth.dst", "ip.src", "ip.dst", "ip.id", "ip.ttl", "ip.checksum", "ipv6.src", "ipv6.dst", "ipv6.plen", "ipv6.hlim",
	"tcp.srcport", "tcp.dstport", "tcp.seq_raw", "tcp.ack_raw", "tcp.flags", "tcp.checksum", "tcp.payload",
	"udp.srcport", "udp.dstport", "udp.checksum", "udp.payload", "icmp.type", "icmp.seq", "icmp.checksum", "icmpv6.type", "icmpv6.echo.sequence_number", "icmpv6.checksum"}

// readWith lets tshark read a capture: the given fields of each frame, all occurrences
// of each.
func (b *bed) readWith(tshark string, c *capturing, fields ...string) [][]string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	args := []string{"-n", "-r", c.path, "-d", "udp.port==4789,vxlan", "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,", "-E", "separator=|"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	cmd := exec.CommandContext(ctx, tshark, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("tshark: %v: %s", err, stderr.String())
	}
	var rows [][]string
	for line := range strings.Lines(string(out)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "|"))
	}
	return rows
}

// tsharkFlows lets tshark read the frames of a capture, or of copies the frames that
// they carry, by flow: those of one flow in their order.
func (b *bed) tsharkFlows(tshark string, c *capturing, copies bool) map[string][]string {
	b.t.Helper()
	out := map[string][]string{}
	for _, row := range b.readWith(tshark, c, tsharkFields...) {
		var flow []string
		for i, name := range tsharkFields {
			protocol, _, _ := strings.Cut(name, ".")
			if copies && (protocol == "eth" || protocol == "ip" || protocol == "udp") {
				_, row[i], _ = strings.Cut(row[i], ",") // the first is that of the copy's own header
			}
			if strings.HasSuffix(name, ".src") || strings.HasSuffix(name, ".dst") || strings.HasSuffix(name, "port") {
				flow = append(flow, row[i])
			}
		}
		key := strings.Join(flow, " ")
		out[key] = append(out[key], strings.Join(row, "|"))
	}
	return out
}

// byFlow tells frames apart by their sender and receiver, within which they keep their
// order.
func byFlow(frames [][]byte) map[string][]string {
	out := map[string][]string{}
	for _, f := range frames {
		flow := fmt.Sprintf("%x %x", f[0:12], f[12:14])
		switch {
		case binary.BigEndian.Uint16(f[12:]) == 0x0800 && len(f) >= 38:
			flow += fmt.Sprintf(" %x %x", f[23], f[34:38])
		case len(f) >= 58:
			flow += fmt.Sprintf(" %x %x", f[20], f[54:58])
		}
		out[flow] = append(out[flow], fmt.Sprintf("%x", f))
	}
	return out
}

// chat sends TCP of a megabyte, UDP and echo requests over both address families, and
// gets all of it back.
func (b *bed) chat(port uint16) {
	b.t.Helper()
	server := b.Hosts()[1]
	for _, host := range []string{server.IPv4.String(), "[" + server.IPv6.String() + "]"} {
		for _, network := range []string{"tcp", "udp"} {
			size, times := 32<<10, 32
			if network == "udp" {
				size, times = 1200, 50
			}
			c, err := testnet.Dial(b.ctx, b.Client, network, fmt.Sprintf("%s:%d", host, port))
			b.must(err)
			for i := range times {
				b.must(talk(c, strings.Repeat(string(rune('a'+i%26)), size)))
			}
			c.Close()
		}
	}
	b.must(testnet.Ping(b.ctx, b.Client, server.IPv4, pings, 1000))
	b.must(testnet.Ping(b.ctx, b.Client, server.IPv6, pings, 1000))
}

// onOneCPU runs f with all threads of this process on one CPU: a connection of which
// two CPUs send at once has no order that two observers see alike.
func onOneCPU(f func()) error {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("read CPUs: %w", err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := moveThreads(&one); err != nil {
		return fmt.Errorf("move to one CPU: %w", err)
	}
	f()
	if err := moveThreads(&all); err != nil {
		return fmt.Errorf("move back to all CPUs: %w", err)
	}
	return nil
}

// moveThreads moves all threads of this process. A thread that is made meanwhile has
// the CPUs of its maker: it looks again until there is none that it has not moved.
func moveThreads(to *unix.CPUSet) error {
	for moved := map[string]bool{}; ; {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		found := false
		for _, t := range tasks {
			if moved[t.Name()] {
				continue
			}
			found, moved[t.Name()] = true, true
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(id, to); err != nil && !errors.Is(err, unix.ESRCH) { // it has ended
				return err
			}
		}
		if !found {
			return nil
		}
	}
}

// pings is how many echo requests chat sends of each kind.
const pings = 5

// isEchoReply6 tells whether a frame is an ICMPv6 echo reply with a number, such as
// the last frame of chat.
func isEchoReply6(f []byte, sequence uint16) bool {
	return len(f) > 62 && binary.BigEndian.Uint16(f[12:]) == 0x86dd && f[20] == 58 && f[54] == 129 && binary.BigEndian.Uint16(f[60:]) == sequence
}

// TestTsharkAndAKernelDeviceReadTheCopies compares what crosses the source's link with
// the copies, as tshark reads them on the way and as a VXLAN device of the kernel
// takes them out. The observer is the client's end of that link, with offloads off, so
// that it sees frames of a wire; the server's answers cross the source as
// super-packets.
func TestTsharkAndAKernelDeviceReadTheCopies(t *testing.T) {
	tshark, tcpdump := needTool(t, "tshark"), needTool(t, "tcpdump")
	b := newBed(t, bedOptions{maxFlows: 65536, sensor: true})
	for _, e := range [][2]string{{b.Client, "eth0"}, {b.Gateway, "client0"}, {b.Gateway, "sensor0"}} {
		b.must(testnet.SetOffload(e[0], e[1], false, testnet.TSO, testnet.GSO, testnet.TXChecksum))
	}
	vni := b.everything()
	b.must(testnet.SetSysctl(b.Sensor, "ipv6/conf/default/disable_ipv6", "1")) // so that vx0 says nothing itself
	b.ip(b.Sensor, fmt.Sprintf("link add vx0 type vxlan id %d local 10.77.3.2 dstport 4789 dev eth0", vni))
	b.ip(b.Sensor, "link set vx0 up mtu 1500")
	b.must(testnet.SetOffload(b.Sensor, "vx0", false, testnet.GRO)) // which would join what came apart
	b.echo(mirroredPort)

	wire := b.startCapture(tcpdump, b.Client, "eth0", "inout", talkers)
	outer := b.startCapture(tcpdump, b.Sensor, "eth0", "in", "udp dst port 4789")
	inner := b.startCapture(tcpdump, b.Sensor, "vx0", "in", talkers)
	b.must(onOneCPU(func() { b.chat(mirroredPort) }))
	wire.end(func(f [][]byte) bool { return len(f) > 0 && isEchoReply6(f[len(f)-1], pings) })
	frames := wire.frames()
	all := func(f [][]byte) bool { return len(f) >= len(frames) }
	inner.end(all)
	outer.end(all)
	if len(frames) < 3000 {
		t.Errorf("only %d frames crossed the source's link", len(frames))
	}
	t.Logf("%d frames", len(frames))

	if diff := cmp.Diff(byFlow(frames), byFlow(inner.frames())); diff != "" {
		t.Errorf("the kernel's device reads %d frames of %d: %.2000s", len(inner.frames()), len(frames), diff)
	}
	header := fmt.Sprintf("0x0800|0|%d|0", vni)
	for i, row := range b.readWith(tshark, outer, "vxlan.flags", "vxlan.gbp", "vxlan.vni", "vxlan.reserved8") {
		if got := strings.Join(row, "|"); got != header {
			t.Fatalf("copy %d has the VXLAN header %s, want %s", i, got, header)
		}
	}
	sent, copied := b.tsharkFlows(tshark, wire, false), b.tsharkFlows(tshark, outer, true)
	for flow := range copied { // what the gateway itself says to the client is none of it
		if _, ok := sent[flow]; !ok && !strings.Contains(flow, "77.2.2") && !strings.Contains(flow, "77:2::2") {
			delete(copied, flow)
		}
	}
	if len(sent) != 12 { // two address families; TCP, UDP and echoes; there and back
		t.Errorf("tshark reads %d flows", len(sent))
	}
	if diff := cmp.Diff(sent, copied); diff != "" {
		t.Errorf("tshark reads other copies than frames: %.3000s", diff)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sluice"
	"sluice/internal/testnet"
	"sluice/receive"
)

// demoVNI is the VXLAN network identifier of the demo's session.
const demoVNI = 77

// demoCapture is the file, in the demo's directory, of what the sensor receives.
const demoCapture = "mirror.pcapng"

// demoMirrored is how many connections talkForMirror makes.
const demoMirrored = 4

// mirrorTraffic mirrors the gateway's device towards the client to the sensor, and
// compares what the sensor received with what crossed the device.
func (d *demoRun) mirrorTraffic(ctx context.Context) error {
	d.story.begin("Traffic mirroring: the client's side of the gateway, copied to the sensor")
	hosts := d.config.Network.Hosts()
	gateway, sensor := d.config.Network.Gateway, hosts[2]
	// What crosses a device inside one kernel may be 64 KiB large, and without its
	// checksums. Copies look as on a wire, so the hosts are told to send like that.
	for _, h := range hosts[:2] {
		if err := testnet.SetOffload(h.Netns, h.Device, false, testnet.TSO, testnet.GSO, testnet.TXChecksum); err != nil {
			return err
		}
	}
	file := filepath.Join(d.config.Dir, demoCapture)
	d.command("receive", "--netns", sensor.Netns, "--write", file)
	receiver, err := d.startReceiver(ctx, sensor.Netns, file)
	if err != nil {
		return err
	}
	source := gateway + "/" + hosts[0].Link
	session, err := d.makeMirror(ctx, source, sensor.Netns+"/"+sensor.Device)
	if err != nil {
		return err
	}
	out, err := d.sluice(ctx, "mirror", "check", session)
	if err != nil {
		return err
	}
	d.quote(out)
	crossed, err := d.recordTraffic(ctx, gateway, hosts)
	if err != nil {
		return err
	}
	if err := receiver.stop(ctx); err != nil {
		return err
	}
	received, err := readCapture(file, hosts)
	if err != nil {
		return err
	}
	if err := d.compareMirror(crossed, received); err != nil {
		return err
	}
	if out, err = d.sluice(ctx, "mirror", "list"); err != nil {
		return err
	}
	d.quote(out)
	out, err = d.sluice(ctx, "mirror", "delete", session, "--all-made")
	if err != nil {
		return err
	}
	d.quote(out)
	return nil
}

// makeMirror makes the session and returns its id.
func (d *demoRun) makeMirror(ctx context.Context, source, target string) (string, error) {
	args := []string{"mirror", "create", "--source", source, "--target", target, "--vni", strconv.Itoa(demoVNI)}
	d.command(args...)
	out, err := d.quietly(ctx, append(args, "--output", "json")...)
	if err != nil {
		return "", err
	}
	var made struct{ TrafficMirrorSession mirrorSession }
	if err := json.Unmarshal(out, &made); err != nil {
		return "", fmt.Errorf("read output of sluice mirror create: %w", err)
	}
	return made.TrafficMirrorSession.ID, nil
}

// demoReceiver is sluice receive as a process of its own.
type demoReceiver struct {
	process *testnet.Process
	summary bytes.Buffer
}

func (d *demoRun) startReceiver(ctx context.Context, netns, file string) (*demoReceiver, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own binary: %w", err)
	}
	r := &demoReceiver{}
	cmd := exec.Command(self, "receive", "--netns", netns, "--write", file)
	cmd.Stdout = &r.summary
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	d.cleanups.add("pipe of the receiver", func(context.Context) error { return out.Close() })
	cmd.Stderr = in
	r.process, err = testnet.Start("", cmd)
	if err = errors.Join(err, in.Close()); err != nil {
		return nil, err
	}
	d.cleanups.add("receiver", func(context.Context) error { r.process.Kill(); return nil })
	line, err := readyLine(ctx, out)
	if err != nil || !strings.HasPrefix(line, "listening on ") {
		return nil, errors.Join(fmt.Errorf("start receiver: it says %q", line), err)
	}
	return r, nil
}

// stop ends the receiver as ctrl-C would, and waits until its file is written.
func (r *demoReceiver) stop(ctx context.Context) error {
	if err := r.process.Cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	select {
	case <-r.process.Done():
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(cleanupTimeout / 2):
		return errors.New("sluice receive did not end")
	}
	if err := r.process.Wait(); err != nil {
		return fmt.Errorf("sluice receive: %w", err)
	}
	return nil
}

// demoFrames are the frames between client and server, by what goes one way on one
// connection: of each in order.
type demoFrames map[testnet.Tuple][][]byte

// add keeps a frame, if it is between client and server.
func (f demoFrames) add(frame []byte, hosts []testnet.LabHost) {
	p, ok := parseOuter(frame)
	if !ok || !between(p.source, p.destination, hosts[0], hosts[1]) && !between(p.destination, p.source, hosts[0], hosts[1]) {
		return
	}
	t := testnet.Tuple{Source: p.source, Destination: p.destination, Protocol: p.protocol}
	if (p.protocol == sluice.ProtocolTCP || p.protocol == sluice.ProtocolUDP) && len(p.payload) >= 4 {
		t.SourcePort, t.DestinationPort = binary.BigEndian.Uint16(p.payload), binary.BigEndian.Uint16(p.payload[2:])
	}
	f[t] = append(f[t], bytes.Clone(frame))
}

func between(a, b netip.Addr, client, server testnet.LabHost) bool {
	return a == client.IPv4 && b == server.IPv4 || a == client.IPv6 && b == server.IPv6
}

// recordTraffic records the frames that cross the mirrored device while clients
// talk.
func (d *demoRun) recordTraffic(ctx context.Context, gateway string, hosts []testnet.LabHost) (demoFrames, error) {
	w, err := watchPackets(gateway, hosts[0].Link)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if err := w.enlarge(); err != nil {
		return nil, err
	}
	frames := demoFrames{}
	end := make(chan struct{})
	recorded := make(chan error, 1)
	go func() { recorded <- frames.record(w, hosts, end) }()
	talkErr := d.talkForMirror(ctx, hosts)
	var quietErr error
	if talkErr == nil {
		_, quietErr = d.awaitQuiet(ctx)
	}
	close(end)
	if err := errors.Join(talkErr, quietErr, <-recorded); err != nil {
		return nil, err
	}
	lost, err := w.drops()
	if err == nil && lost > 0 {
		err = fmt.Errorf("the packet socket missed %d packets, so that frames can't be compared", lost)
	}
	return frames, err
}

// record keeps frames until end is closed and nothing more waits.
func (f demoFrames) record(w *packetWatch, hosts []testnet.LabHost, end <-chan struct{}) error {
	buf := make([]byte, 1<<16)
	for {
		frame, err := w.next(buf, time.Now().Add(20*time.Millisecond))
		if err != nil {
			return err
		}
		if frame != nil {
			f.add(frame, hosts)
			continue
		}
		select {
		case <-end:
			return nil
		default:
		}
	}
}

// talkForMirror lets a client talk to the server over every protocol.
func (d *demoRun) talkForMirror(ctx context.Context, hosts []testnet.LabHost) error {
	client, server := hosts[0], hosts[1]
	for _, plan := range []struct {
		network     string
		to          netip.AddrPort
		turns, size int
	}{
		{"tcp", netip.AddrPortFrom(server.IPv4, demoTCPPort), 16, 65536},
		{"tcp", netip.AddrPortFrom(server.IPv6, demoTCPPort), 8, 65536},
		{"udp", netip.AddrPortFrom(server.IPv4, demoUDPPort), 50, 1200},
	} {
		t, err := startTalk(ctx, client.Netns, plan.network, plan.to, "mirrored "+plan.network, plan.turns, plan.size)
		if err != nil {
			return err
		}
		if err := t.conn.Close(); err != nil {
			return err
		}
	}
	_, err := startPing(ctx, client.Netns, client.IPv6, server.IPv6, "mirrored pings", 5, 1000)
	return err
}

// readCapture reads what the sensor received.
func readCapture(file string, hosts []testnet.LabHost) (demoFrames, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open capture: %w", err)
	}
	defer f.Close()
	frames, reader := demoFrames{}, receive.NewPcapngReader(f)
	for {
		p, _, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read capture: %w", err)
		}
		if p.VNI == demoVNI {
			frames.add(p.Frame, hosts)
		}
	}
}

// compareMirror tells how the copies compare with what crossed the source: frame
// by frame, each connection and direction in order.
func (d *demoRun) compareMirror(crossed, received demoFrames) error {
	t := &table{columns: []column{{heading: "FROM → TO"}, {heading: "CROSSED THE SOURCE", right: true}, {heading: "SENSOR RECEIVED", right: true}, {heading: "FRAME BYTES", right: true}, {heading: "EQUAL"}}}
	var problems []string
	byText := func(a, b testnet.Tuple) int { return strings.Compare(tupleText(a), tupleText(b)) }
	for _, tuple := range slices.SortedFunc(maps.Keys(crossed), byText) {
		frames, copies := crossed[tuple], received[tuple]
		size := 0
		for _, frame := range frames {
			size += len(frame)
		}
		equal := "yes"
		if lost := withoutCopy(frames, copies); lost > 0 || len(frames) != len(copies) {
			equal = "NO"
			problems = append(problems, fmt.Sprintf("%s: %d frames, %d copies, %d frames without a copy that equals them", tupleText(tuple), len(frames), len(copies), lost))
		} else if n := moved(frames, copies); n > 0 {
			equal = fmt.Sprintf("yes, %d overtaken", n)
		}
		t.add(tupleText(tuple), grouped(int64(len(frames))), grouped(int64(len(copies))), grouped(int64(size)), equal)
	}
	for tuple := range received {
		if crossed[tuple] == nil {
			problems = append(problems, fmt.Sprintf("%s: copies of what did not cross the source", tupleText(tuple)))
		}
	}
	if len(crossed) < 2*demoMirrored {
		problems = append(problems, fmt.Sprintf("only %d ways were recorded, want %d", len(crossed), 2*demoMirrored))
	}
	if err := t.write(d.shell.stdout, "   "); err != nil {
		return err
	}
	if len(problems) > 0 {
		return fmt.Errorf("the mirror is wrong:\n  %s", strings.Join(problems, "\n  "))
	}
	d.story.tell("What the sensor received is what crossed the source, packet by packet and byte by byte.")
	return nil
}

// withoutCopy is how many frames have no copy of their own that equals them.
func withoutCopy(frames, copies [][]byte) int {
	left := map[string]int{}
	for _, c := range copies {
		left[string(c)]++
	}
	lost := 0
	for _, f := range frames {
		if left[string(f)]--; left[string(f)] < 0 {
			lost++
		}
	}
	return lost
}

// moved is how many copies are not at the place of their frame. Frames that two
// processors handle at once have no order, and their copies may have another.
func moved(frames, copies [][]byte) (n int) {
	for i := range frames {
		if !bytes.Equal(frames[i], copies[i]) {
			n++
		}
	}
	return n
}

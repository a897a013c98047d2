package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sluice"
)

// probeTries is how often a probe is sent before it counts as lost.
const probeTries = 4

// follow sends a small probe, then one of full size, and says what became of them.
func (k *mirrorChecker) follow(ctx context.Context, p probe, device net.Interface) error {
	inForce, err := k.metrics.awaitSession(ctx, k.session, k.wait)
	if err != nil {
		return err
	}
	if !inForce {
		why, err := whyNotInForce(ctx, k.ec2, k.metrics, k.session)
		if err != nil {
			return err
		}
		k.say("copy", stepFailed, "the session is not in force: %s", why)
		return nil
	}
	small, err := k.track(ctx, p.frame(device.HardwareAddr, 0))
	if err != nil {
		return err
	}
	if !k.sayLost(small) || !k.sayCopy(small) {
		return nil
	}
	if err := k.sayWay(small); err != nil {
		return err
	}
	if !k.sayArrival(small) {
		return nil
	}
	if err := k.sayPort(small); err != nil {
		return err
	}
	large, err := k.track(ctx, p.frame(device.HardwareAddr, 14+device.MTU))
	if err != nil {
		return err
	}
	if k.sayLost(large) {
		k.saySize(large, small.arrived)
	}
	return nil
}

// trackedProbe is what became of a probe.
type trackedProbe struct {
	sent    []byte
	counted sluice.MirrorCounters // what the session counted meanwhile
	arrived bool                  // at a receiver of this host
	at      copyReceiver          // where it arrived
	carrier outerPacket           // of the copy that arrived
	inner   int                   // bytes of the frame in it
	after   time.Duration
	problem string // what an ICMP error said
	unsent  string // why it could not be sent
	lost    string // which receiver went away meanwhile
}

// track sends a frame out of the source and watches the receivers and the counters.
func (k *mirrorChecker) track(ctx context.Context, sent []byte) (trackedProbe, error) {
	t := trackedProbe{sent: sent}
	_, netns, device := k.source.place()
	icmp, err := watchPackets(netns, "")
	if err != nil {
		return t, err
	}
	defer icmp.close()
	arrivals, lost := k.watchReceivers()
	if lost != "" {
		t.lost = lost
		return t, nil
	}
	defer arrivals.close()
	before, err := k.counters(ctx)
	if err != nil {
		return t, err
	}
	// A first packet may wait for a neighbour's answer, or fall away over it.
	for deadline := time.Now().Add(k.wait); ; {
		if err := sendFrame(netns, device, sent); err != nil {
			t.unsent = err.Error()
			return t, nil
		}
		sentAt := time.Now()
		again := sentAt.Add(k.wait / probeTries)
		if err := t.awaitArrival(arrivals, k.session.VNI, sentAt, again); err != nil {
			return t, err
		}
		settled, err := k.awaitCounters(ctx, &t, before.Egress, again)
		if err != nil {
			return t, err
		}
		if t.arrived || t.lost != "" || settled && !k.allHere() || time.Now().After(deadline) {
			break
		}
	}
	// An error comes at once or, from neighbours that don't answer, after seconds.
	until := time.Now().Add(50 * time.Millisecond)
	if k.allHere() && !t.arrived {
		until = time.Now().Add(500 * time.Millisecond)
	}
	return t, t.readErrors(icmp, k.isReceiver, until)
}

// awaitArrival waits for the copy at all receivers that are watched.
func (t *trackedProbe) awaitArrival(w *receiverWatch, vni uint32, sentAt, deadline time.Time) error {
	if len(w.watches) == 0 {
		return nil
	}
	buf := make([]byte, 1<<16)
	for {
		frame, by, err := nextOf(w.watches, buf, deadline)
		if errors.Is(err, unix.ENETDOWN) {
			t.lost = w.receivers[slices.Index(w.watches, by)].name + " went down meanwhile"
			return nil
		}
		if err != nil || frame == nil {
			return err
		}
		if carrier, inner, ok := copyOf(frame, t.sent, vni); ok {
			carrier.payload = nil // of the buffer
			t.arrived, t.carrier, t.inner, t.after = true, carrier, len(inner), time.Since(sentAt)
			t.at = w.receiverOf(by, carrier.destination)
			return nil
		}
	}
}

// awaitCounters reads the session's counters until they tell what became of a
// packet.
func (k *mirrorChecker) awaitCounters(ctx context.Context, t *trackedProbe, before sluice.MirrorCounters, deadline time.Time) (settled bool, err error) {
	for {
		now, err := k.counters(ctx)
		if err != nil {
			return false, err
		}
		for _, m := range mirrorMetrics {
			m.counter(&t.counted).Packets = m.counter(&now.Egress).Packets - m.counter(&before).Packets
		}
		c := t.counted
		if c.Mirrored.Packets+c.Capped.Packets+c.NoRoute.Packets+c.Errors.Packets > 0 {
			return true, nil
		}
		if time.Now().After(deadline) {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(pollInterval / 4):
		}
	}
}

// readErrors looks for an ICMP error about the copy: one to the receiver that it went
// to, where that is known.
func (t *trackedProbe) readErrors(w *packetWatch, isReceiver func(netip.Addr) bool, until time.Time) error {
	if t.arrived {
		isReceiver = func(a netip.Addr) bool { return a == t.carrier.destination }
	}
	buf := make([]byte, 1<<16)
	for {
		frame, err := w.next(buf, until)
		if err != nil || frame == nil {
			return err
		}
		if problem, ok := icmpProblem(frame, isReceiver); ok {
			t.problem = problem
			return nil
		}
	}
}

// sayLost tells of a probe that could not be followed; ok is that it could.
func (k *mirrorChecker) sayLost(t trackedProbe) (ok bool) {
	if t.unsent != "" {
		k.say("copy", stepFailed, "%s", t.unsent)
	}
	if t.lost != "" {
		k.say("arrival", stepFailed, "%s", t.lost)
	}
	return t.unsent == "" && t.lost == ""
}

// sayCopy tells what the program at the source did with the probe.
func (k *mirrorChecker) sayCopy(t trackedProbe) bool {
	c := t.counted
	switch {
	case t.arrived || c.Mirrored.Packets > 0:
		k.say("copy", stepOK, "made: %s", countedText(c))
		return true
	case c.Capped.Packets > 0:
		k.say("copy", stepFailed, "not copied: over the session's rate (tags %s, %s), or over what copies may take of a processor (mirroring in the configuration)",
			sluice.TagPacketsPerSecond, sluice.TagBytesPerSecond)
	case c.NoRoute.Packets > 0:
		k.say("route", stepFailed, "no way from %s to the target,%s", k.source.name(), k.receiverAddresses())
	case c.Errors.Packets > 0:
		k.say("copy", stepFailed, "the copy could not be made: the server's log tells more")
	case c.Matched.Packets > 0:
		k.say("copy", stepFailed, "matched, and not copied within %s", k.wait)
	default:
		k.say("copy", stepFailed, "not counted within %s: the session is not in force at the source, or a firewall dropped the probe before it", k.wait)
	}
	return false
}

func (k *mirrorChecker) receiverAddresses() string {
	text := ""
	for _, r := range k.receivers {
		text += addressList(r.addresses)
	}
	return text
}

// sayArrival tells whether the copy has come to a receiver.
func (k *mirrorChecker) sayArrival(t trackedProbe) bool {
	switch {
	case t.arrived:
		k.say("arrival", stepOK, "at %s after %s, in VXLAN network %d from %s to %s", t.at.name, t.after.Round(10*time.Microsecond), k.session.VNI, t.carrier.source, t.carrier.destination)
		return true
	case strings.HasSuffix(t.problem, portUnreachable):
		k.say("port", stepFailed, "nothing listens on UDP port 4789: %s", t.problem)
		return false
	case t.problem != "":
		k.say("arrival", stepFailed, "%s", t.problem)
		return false
	case k.allHere():
		k.say("arrival", stepFailed, "handed to the network, and not seen at %s within %s; %s", k.receiverNames(true), k.wait, countedText(t.counted))
		return false
	}
	if seen := k.receiverNames(true); seen != "" {
		k.say("arrival", stepUnknown, "handed to the network, and not seen at %s: sluice receive at %s tells", seen, k.receiverNames(false))
		return true
	}
	k.say("arrival", stepUnknown, "handed to the network; the target is on another host, and sluice receive there, at %s, tells", k.receiverNames(false))
	return true
}

// sayPort tells whether somebody takes the copies. What the receiver's kernel answers
// is more than what can be read of its sockets.
func (k *mirrorChecker) sayPort(t trackedProbe) error {
	if strings.HasSuffix(t.problem, portUnreachable) {
		k.say("port", stepFailed, "nothing takes what comes to UDP port 4789: %s", t.problem)
		return nil
	}
	if !t.arrived {
		k.say("port", stepUnknown, "no \"port unreachable\" came back, which says little")
		return nil
	}
	to := t.carrier.destination
	open, bound, err := portOpen(t.at.netns, to)
	if err != nil {
		return err
	}
	switch {
	case open:
		k.say("port", stepOK, "a socket of %s is open on UDP port 4789", t.at.name)
	case len(bound) > 0:
		k.say("port", stepFailed, "the copies go to %s, and UDP port 4789 is open for%s alone", to, addressList(bound))
	default:
		k.say("port", stepFailed, "nothing listens on UDP port 4789 of %s: sluice receive, or a VXLAN device, does", t.at.name)
	}
	return nil
}

// saySize tells whether frames of full size arrive whole. watched is that the small
// probe has arrived, in the same flow and so at the same receiver.
func (k *mirrorChecker) saySize(t trackedProbe, watched bool) {
	full := len(t.sent)
	want := full
	if l := k.session.PacketLength; l > 0 {
		want = min(want, l)
	}
	switch {
	case t.arrived && t.inner >= want:
		k.say("size", stepOK, "of a frame of %d bytes, the source's largest, %d arrive", full, t.inner)
	case t.arrived:
		k.say("size", stepFailed, "of a frame of %d bytes only %d arrive: the path to the target carries no more; raise its MTU by %d", full, t.inner, want-t.inner)
	case watched:
		k.say("size", stepFailed, "a small frame arrives, one of %d bytes does not; %s%s", full, countedText(t.counted), prefixed("; ", t.problem))
	case t.counted.Truncated.Packets > 0:
		k.say("size", stepFailed, "a frame of %d bytes was cut: the path to the target carries no more", full)
	case t.problem != "":
		k.say("size", stepFailed, "%s", t.problem)
	default:
		k.say("size", stepUnknown, "a frame of %d bytes was handed to the network uncut", full)
	}
}

// countedText is what a session has counted, for people.
func countedText(c sluice.MirrorCounters) string {
	var parts []string
	for _, m := range mirrorMetrics {
		if n := m.counter(&c).Packets; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, strings.ReplaceAll(m.name, "_", " ")))
		}
	}
	if len(parts) == 0 {
		return "the session counts nothing"
	}
	return "the session counts " + strings.Join(parts, ", ")
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

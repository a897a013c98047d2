package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

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
		k.say("copy", stepFailed, "the session is not in force at the source: the server's log tells why")
		return nil
	}
	small, err := k.track(ctx, p.frame(device.HardwareAddr, 0))
	if err != nil {
		return err
	}
	if !k.sayCopy(small) {
		return nil
	}
	if err := k.sayWay(); err != nil {
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
	k.saySize(large)
	return nil
}

// trackedProbe is what became of a probe.
type trackedProbe struct {
	sent    []byte
	counted sluice.MirrorCounters // what the session counted meanwhile
	arrived bool                  // at the target, where that can be watched
	watched bool
	carrier outerPacket // of the copy that arrived
	inner   int         // bytes of the frame in it
	after   time.Duration
	problem string // what an ICMP error said
}

// targetHere tells whether the target is a device of this host.
func (k *mirrorChecker) targetHere() (netns, device string, here bool) {
	host, netns, device := k.target.place()
	return netns, device, host == k.host && device != ""
}

// track sends a frame out of the source and watches the target and the counters.
func (k *mirrorChecker) track(ctx context.Context, sent []byte) (trackedProbe, error) {
	t := trackedProbe{sent: sent}
	_, netns, device := k.source.place()
	icmp, err := watchPackets(netns, "")
	if err != nil {
		return t, err
	}
	defer icmp.close()
	var arrivals *packetWatch
	if targetNetns, targetDevice, here := k.targetHere(); here {
		if arrivals, err = watchPackets(targetNetns, targetDevice); err != nil {
			return t, err
		}
		defer arrivals.close()
		t.watched = true
	}
	before, err := k.counters(ctx)
	if err != nil {
		return t, err
	}
	// A first packet may wait for a neighbour's answer, or fall away over it.
	for deadline := time.Now().Add(k.wait); ; {
		if err := sendFrame(netns, device, sent); err != nil {
			return t, err
		}
		sentAt := time.Now()
		again := sentAt.Add(k.wait / probeTries)
		if arrivals != nil {
			if err := t.awaitArrival(arrivals, k.session.VNI, sentAt, again); err != nil {
				return t, err
			}
		}
		settled, err := k.awaitCounters(ctx, &t, before.Egress, again)
		if err != nil {
			return t, err
		}
		if t.arrived || settled && !t.watched || time.Now().After(deadline) {
			break
		}
	}
	// An error comes at once or, from neighbours that don't answer, after seconds.
	until := time.Now().Add(50 * time.Millisecond)
	if t.watched && !t.arrived {
		until = time.Now().Add(500 * time.Millisecond)
	}
	return t, t.readErrors(icmp, k.isTarget, until)
}

func (t *trackedProbe) awaitArrival(w *packetWatch, vni uint32, sentAt, deadline time.Time) error {
	buf := make([]byte, 1<<16)
	for {
		frame, err := w.next(buf, deadline)
		if err != nil || frame == nil {
			return err
		}
		if carrier, inner, ok := copyOf(frame, t.sent, vni); ok {
			t.arrived, t.carrier, t.inner, t.after = true, carrier, len(inner), time.Since(sentAt)
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

func (t *trackedProbe) readErrors(w *packetWatch, isTarget func(netip.Addr) bool, until time.Time) error {
	buf := make([]byte, 1<<16)
	for {
		frame, err := w.next(buf, until)
		if err != nil || frame == nil {
			return err
		}
		if problem, ok := icmpProblem(frame, isTarget); ok {
			t.problem = problem
			return nil
		}
	}
}

// isTarget tells whether an address is the target's. Those of a group are not known
// here.
func (k *mirrorChecker) isTarget(a netip.Addr) bool {
	return k.target.ID == "" || slices.Contains(k.target.addresses(), a)
}

// sayCopy tells what the program at the source did with the probe.
func (k *mirrorChecker) sayCopy(t trackedProbe) bool {
	c := t.counted
	switch {
	case t.arrived || c.Mirrored.Packets > 0:
		k.say("copy", stepOK, "made: %s", countedText(c))
		return true
	case c.Capped.Packets > 0:
		k.say("copy", stepFailed, "not copied: the session is over its rate (tags %s, %s)", sluice.TagPacketsPerSecond, sluice.TagBytesPerSecond)
	case c.NoRoute.Packets > 0:
		k.say("route", stepFailed, "no way from %s to the target%s", k.source.name(), k.targetAddresses())
	case c.Errors.Packets > 0:
		k.say("copy", stepFailed, "the copy could not be made: the server's log tells more")
	case c.Matched.Packets > 0:
		k.say("copy", stepFailed, "matched, and not copied within %s", k.wait)
	default:
		k.say("copy", stepFailed, "not counted within %s: the session is not in force at the source, or a firewall dropped the probe before it", k.wait)
	}
	return false
}

func (k *mirrorChecker) targetAddresses() string {
	text := ""
	for _, a := range k.target.addresses() {
		text += " " + a.String()
	}
	return text
}

// sayArrival tells whether the copy has come to the target.
func (k *mirrorChecker) sayArrival(t trackedProbe) bool {
	switch {
	case t.arrived:
		k.say("arrival", stepOK, "at %s after %s, in VXLAN network %d from %s to %s", k.target.name(), t.after.Round(10*time.Microsecond), k.session.VNI, t.carrier.source, t.carrier.destination)
		return true
	case strings.HasSuffix(t.problem, portUnreachable):
		k.say("port", stepFailed, "nothing listens on UDP port 4789: %s", t.problem)
		return false
	case t.problem != "":
		k.say("arrival", stepFailed, "%s", t.problem)
		return false
	case t.watched:
		k.say("arrival", stepFailed, "handed to the network, and not seen at %s within %s; %s", k.target.name(), k.wait, countedText(t.counted))
		return false
	case k.target.ID == "":
		k.say("arrival", stepUnknown, "the target is a group: sluice receive at its members tells")
	default:
		host, _, _ := k.target.place()
		k.say("arrival", stepUnknown, "handed to the network; the target is on host %s, and sluice receive there tells", host)
	}
	return true
}

// sayPort tells whether somebody takes the copies.
func (k *mirrorChecker) sayPort(t trackedProbe) error {
	netns, _, here := k.targetHere()
	if !here {
		k.say("port", stepUnknown, "no \"port unreachable\" came back, which says little")
		return nil
	}
	open, err := portOpen(netns)
	if err != nil {
		return err
	}
	switch {
	case open:
		k.say("port", stepOK, "a socket is open on UDP port 4789")
	case t.problem != "":
		k.say("port", stepFailed, "nothing listens on UDP port 4789: %s", t.problem)
	default:
		k.say("port", stepFailed, "nothing listens on UDP port 4789: sluice receive, or a VXLAN device, does")
	}
	return nil
}

// saySize tells whether frames of full size arrive whole.
func (k *mirrorChecker) saySize(t trackedProbe) {
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
	case t.watched:
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

package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"sluice"
)

func mirrorList(ctx context.Context, s *shell, args []string) error {
	f := newFlags("sluice mirror list", "", "Lists the sessions with what they have copied. IN and OUT are directions at the source.")
	var conn connection
	source := f.String("source", "", "only those of an `INTERFACE`")
	conn.register(f)
	if _, err := f.parse(s, args, 0, 0); err != nil {
		return err
	}
	if err := conn.check(f); err != nil {
		return err
	}
	c, err := conn.client(ctx, s)
	if err != nil {
		return err
	}
	v, err := readMirrors(ctx, s, &conn, ec2{c.config})
	if err != nil {
		return err
	}
	parameters := url.Values{}
	if *source != "" {
		n, err := v.interfaces.resolve(*source)
		if err != nil {
			return fmt.Errorf("--source: %w", err)
		}
		ec2Filter(parameters, "network-interface-id", n.ID)
	}
	sessions, err := describeSessions(ctx, v.ec2, parameters)
	if err != nil {
		return err
	}
	if conn.json() {
		out := make([]any, len(sessions))
		for i, one := range sessions {
			out[i] = v.json(one)
		}
		return writeJSON(s.stdout, map[string]any{"TrafficMirrorSessions": out})
	}
	if len(sessions) == 0 {
		fmt.Fprintln(s.stderr, "no sessions")
		return nil
	}
	t := &table{columns: []column{{heading: "SESSION"}, {heading: "NUMBER", right: true}, {heading: "SOURCE"}, {heading: "TARGET"}, {heading: "VNI", right: true},
		{heading: "BYTES", right: true}, {heading: "IN", right: true}, {heading: "OUT", right: true}, {heading: "NOT COPIED", right: true}}}
	for _, one := range sessions {
		t.add(append([]string{one.ID, strconv.Itoa(one.Number), v.interfaces.nameOf(one.InterfaceID), v.targetName(one.TargetID),
			strconv.FormatUint(uint64(one.VNI), 10), lengthText(one.PacketLength)}, v.summary(one.ID)...)...)
	}
	return t.write(s.stdout, "")
}

// mirrorView is what is needed to show sessions to people.
type mirrorView struct {
	ec2        ec2
	interfaces interfaces
	targets    map[string]mirrorTarget
	counters   map[string]sluice.SessionCounters // nil: they could not be read
}

// readMirrors reads it. Counters that can't be read are said so on stderr: the
// sessions are there all the same.
func readMirrors(ctx context.Context, s *shell, conn *connection, e ec2) (*mirrorView, error) {
	v := &mirrorView{ec2: e, targets: map[string]mirrorTarget{}}
	var err error
	if v.interfaces, err = describeInterfaces(ctx, e); err != nil {
		return nil, err
	}
	targets, err := describeTargets(ctx, e, nil)
	if err != nil {
		return nil, err
	}
	for _, t := range targets {
		v.targets[t.ID] = t
	}
	reader, err := conn.metrics(s)
	if err == nil {
		var now mirrorReading
		now, err = reader.read(ctx)
		v.counters = now.sessions
	}
	if err != nil {
		v.counters = nil
		fmt.Fprintf(s.stderr, "sluice: no counters: %s\n", describeError(err))
	}
	return v, nil
}

func (v *mirrorView) targetName(id string) string {
	t, ok := v.targets[id]
	switch {
	case !ok:
		return id
	case t.InterfaceID != "":
		return v.interfaces.nameOf(t.InterfaceID)
	}
	// loadbalancer/net/NAME/DIGITS
	if parts := strings.Split(t.LoadBalancerArn, "/"); len(parts) == 4 {
		return parts[2]
	}
	return t.LoadBalancerArn
}

// summary is packets mirrored in and out, and those that were not.
func (v *mirrorView) summary(id string) []string {
	if v.counters == nil {
		return []string{"-", "-", "-"}
	}
	c := v.counters[id]
	lost := addCounters(c.Ingress.Capped, c.Ingress.NoRoute, c.Ingress.Errors, c.Egress.Capped, c.Egress.NoRoute, c.Egress.Errors)
	return []string{grouped(int64(c.Ingress.Mirrored.Packets)), grouped(int64(c.Egress.Mirrored.Packets)), grouped(int64(lost.Packets))}
}

// shownSession is a session in JSON: AWS's members, and the counters.
type shownSession struct {
	mirrorSession
	Counters *sluice.SessionCounters `json:",omitempty"`
}

func (v *mirrorView) json(one mirrorSession) shownSession {
	out := shownSession{mirrorSession: one}
	if v.counters != nil {
		c := v.counters[one.ID]
		out.Counters = &c
	}
	return out
}

func lengthText(packetLength int) string {
	if packetLength == 0 {
		return "all"
	}
	return "first " + strconv.Itoa(packetLength)
}

func mirrorShow(ctx context.Context, s *shell, args []string) error {
	f := newFlags("sluice mirror show", "SESSION", "Shows a session: its source, target, rules and counters.")
	var conn connection
	conn.register(f)
	operands, err := f.parse(s, args, 1, 1)
	if err != nil {
		return err
	}
	if err := conn.check(f); err != nil {
		return err
	}
	c, err := conn.client(ctx, s)
	if err != nil {
		return err
	}
	return showMirror(ctx, s, &conn, ec2{c.config}, operands[0])
}

func showMirror(ctx context.Context, s *shell, conn *connection, e ec2, id string) error {
	one, err := findSession(ctx, e, id)
	if err != nil {
		return err
	}
	filter, err := findFilter(ctx, e, one.FilterID)
	if err != nil {
		return err
	}
	v, err := readMirrors(ctx, s, conn, e)
	if err != nil {
		return err
	}
	if conn.json() {
		return writeJSON(s.stdout, map[string]any{"TrafficMirrorSession": v.json(one), "TrafficMirrorFilter": filter, "TrafficMirrorTarget": v.targets[one.TargetID]})
	}
	return v.print(s, one, filter)
}

func (v *mirrorView) print(s *shell, one mirrorSession, filter mirrorFilter) error {
	t := &table{columns: []column{{heading: "SESSION"}, {heading: one.ID}}}
	t.add("source", v.interfaces.nameOf(one.InterfaceID)+"  "+one.InterfaceID)
	t.add("number", strconv.Itoa(one.Number))
	t.add("target", v.targetName(one.TargetID)+"  "+one.TargetID)
	t.add("VNI", strconv.FormatUint(uint64(one.VNI), 10))
	t.add("bytes", lengthText(one.PacketLength)+" of each frame")
	if one.Description != "" {
		t.add("description", one.Description)
	}
	for _, tag := range []string{sluice.TagPacketsPerSecond, sluice.TagBytesPerSecond} {
		if value := tagValue(one.Tags, tag); value != "" {
			t.add("at most", value+" "+strings.ReplaceAll(strings.TrimPrefix(tag, "sluice:"), "-", " "))
		}
	}
	t.add("filter", filter.ID)
	for _, service := range filter.Services {
		t.add("", "traffic with the resolver ("+service+")")
	}
	for _, r := range append(filter.Ingress[:len(filter.Ingress):len(filter.Ingress)], filter.Egress...) {
		t.add("", r.String())
	}
	if len(filter.Ingress)+len(filter.Egress)+len(filter.Services) == 0 {
		t.add("", "no rules: nothing is mirrored")
	}
	if err := t.write(s.stdout, ""); err != nil || v.counters == nil {
		return err
	}
	fmt.Fprintln(s.stdout)
	return printCounters(s, v.counters[one.ID])
}

// printCounters writes the counters of a session, packets and frame bytes.
func printCounters(s *shell, c sluice.SessionCounters) error {
	t := &table{columns: []column{{heading: "PACKETS"}, {heading: "IN", right: true}, {heading: "BYTES", right: true}, {heading: "OUT", right: true}, {heading: "BYTES", right: true}}}
	for _, m := range mirrorMetrics {
		in, out := m.counter(&c.Ingress), m.counter(&c.Egress)
		t.add(strings.ReplaceAll(m.name, "_", " "), grouped(int64(in.Packets)), grouped(int64(in.Bytes)), grouped(int64(out.Packets)), grouped(int64(out.Bytes)))
	}
	return t.write(s.stdout, "")
}

package datapath

import (
	"fmt"
	"testing"

	"sluice"
)

// segment is one TCP segment of a test: who sends it (0 is the client), and what.
type segment struct {
	from     int
	flags    byte
	seq, ack uint32
	payload  int
}

func (r *rig) segment(s segment) uint32 {
	r.t.Helper()
	src, dst, sport, dport := "10.0.0.1", "10.0.0.2", 1000, 80
	if s.from == 1 {
		src, dst, sport, dport = dst, src, dport, sport
	}
	return r.send(ether(ipv4(src, dst, 6, tcp(sport, dport, s.seq, s.ack, s.flags, make([]byte, s.payload)))))
}

var handshake = []segment{
	{0, flagSYN, 100, 0, 0}, {1, flagSYN | flagACK, 500, 101, 0}, {0, flagACK, 101, 501, 0},
}

func after(first []segment, more ...segment) []segment {
	return append(append([]segment{}, first...), more...)
}

func TestTCPStates(t *testing.T) {
	const none = sluice.FlowState(99) // no flow in a capture
	r := newRig(t, 4096, testPolicy())
	for name, c := range map[string]struct {
		segments []segment
		want     sluice.FlowState
	}{
		"SYN is new":                    {handshake[:1], sluice.FlowNew},
		"SYN and its answer are new":    {handshake[:2], sluice.FlowNew},
		"handshake":                     {handshake, sluice.FlowEstablished},
		"answer to another SYN":         {[]segment{handshake[0], {1, flagSYN | flagACK, 500, 100, 0}, handshake[2]}, sluice.FlowNew},
		"answer beyond what was sent":   {[]segment{handshake[0], {1, flagSYN | flagACK, 500, 101 + 65536, 0}, handshake[2]}, sluice.FlowNew},
		"last ACK of another handshake": {after(handshake[:2], segment{0, flagACK, 101, 500, 0}), sluice.FlowNew},
		"fast open": {[]segment{{0, flagSYN, 100, 0, 1000}, {1, flagSYN | flagACK, 500, 1101, 0},
			{0, flagACK, 1101, 501, 0}}, sluice.FlowEstablished},
		"simultaneous open": {[]segment{{0, flagSYN, 100, 0, 0}, {1, flagSYN, 500, 0, 0},
			{0, flagSYN | flagACK, 100, 501, 0}, {1, flagSYN | flagACK, 500, 101, 0}}, sluice.FlowEstablished},
		"repeated SYN":                 {after(handshake[:1], handshake...), sluice.FlowEstablished},
		"another SYN before an answer": {[]segment{{0, flagSYN, 7, 0, 0}, handshake[0], handshake[1], handshake[2]}, sluice.FlowEstablished},
		"sequence numbers that wrap": {[]segment{{0, flagSYN, 0xffffffff, 0, 0}, {1, flagSYN | flagACK, 0xffffffff, 0, 0},
			{0, flagACK, 0, 0, 0}}, sluice.FlowEstablished},
		"FIN of one side is half closed": {after(handshake, segment{0, flagFIN | flagACK, 101, 501, 0}, segment{1, flagACK, 501, 102, 1000}), sluice.FlowEstablished},
		"FIN twice from one side":        {after(handshake, segment{0, flagFIN | flagACK, 101, 501, 0}, segment{0, flagFIN | flagACK, 101, 501, 0}), sluice.FlowEstablished},
		"FIN of both sides":              {after(handshake, segment{0, flagFIN | flagACK, 101, 501, 0}, segment{1, flagFIN | flagACK, 501, 102, 0}), none},
		"FIN far away":                   {after(handshake, segment{0, flagFIN | flagACK, 101, 501, 0}, segment{1, flagFIN | flagACK, 501 + 1<<25, 102, 0}), sluice.FlowEstablished},
		"RST":                            {after(handshake, segment{0, flagRST, 101, 0, 0}), none},
		"RST of the server":              {after(handshake, segment{1, flagRST | flagACK, 501, 101, 0}), none},
		"blind RST":                      {after(handshake, segment{1, flagRST, 501 + 1<<20, 0, 0}), sluice.FlowEstablished},
		"blind RST of the client":        {after(handshake, segment{0, flagRST, 1<<32 + 101 - 1<<20 - 1, 0, 0}), sluice.FlowEstablished},
		"forged ACK, then RST beside it": {after(handshake, segment{1, flagACK, 1 << 30, 1 << 30, 0}, segment{0, flagRST, 1 << 30, 0, 0}), sluice.FlowEstablished},
		"RST refuses a SYN":              {after(handshake[:1], segment{1, flagRST | flagACK, 0, 101, 0}), none},
		"RST refuses another SYN":        {after(handshake[:1], segment{1, flagRST | flagACK, 0, 99, 0}), sluice.FlowNew},
		"RST without ACK to a SYN":       {after(handshake[:1], segment{1, flagRST, 0, 0, 0}), sluice.FlowNew},
		"RST ends a handshake":           {after(handshake[:2], segment{0, flagRST, 101, 0, 0}), none},
		"new SYN on a closed flow":       {after(handshake, segment{0, flagRST, 101, 0, 0}, handshake[0]), sluice.FlowNew},
		"new connection after FINs": {after(after(handshake, segment{0, flagFIN | flagACK, 101, 501, 0}, segment{1, flagFIN | flagACK, 501, 102, 0},
			segment{0, flagACK, 102, 502, 0}), handshake...), sluice.FlowEstablished},
		"SYN on an established flow": {after(handshake, segment{0, flagSYN, 9999, 0, 0}), sluice.FlowEstablished},
	} {
		t.Run(name, func(t *testing.T) {
			r.forget()
			for i, s := range c.segments {
				if action := r.segment(s); action != tcxNext {
					t.Fatalf("segment %d: action %d", i, action)
				}
			}
			got := none
			if flows := r.capture(); len(flows) == 1 {
				got = flows[0].State
			} else if len(flows) > 1 {
				t.Fatalf("%d flows", len(flows))
			}
			if got != c.want {
				t.Errorf("state %v, want %v", got, c.want)
			}
		})
	}
}

func TestNewConnectionOnClosedFlowCountsFromZero(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	for _, s := range after(handshake, segment{0, flagRST, 101, 0, 0}, segment{1, flagSYN, 1, 0, 0}) {
		r.segment(s)
	}
	flows := r.capture()
	if len(flows) != 1 || flows[0].Packets != [2]uint64{1, 0} || flows[0].SourcePort != 80 {
		t.Errorf("flows %v, want one that begins with the last SYN", flows)
	}
}

func TestMidstreamFlowIsOrientedAndEstablishedByBothSides(t *testing.T) {
	p := testPolicy()
	p.StreamException = sluice.StreamExceptionContinue
	r := newRig(t, 4096, p)
	for flags, source := range map[byte]uint16{flagACK: 1000, flagSYN | flagACK: 80, flagFIN | flagACK: 1000} {
		r.forget()
		r.segment(segment{0, flags, 100, 500, 10})
		flows := r.capture()
		if len(flows) != 1 || flows[0].State != sluice.FlowNew || flows[0].SourcePort != source {
			t.Errorf("flags %#x: %v", flags, flows)
		}
		r.segment(segment{1, flagACK, 500, 110, 10})
		if flows = r.capture(); len(flows) != 1 || flows[0].State != sluice.FlowEstablished {
			t.Errorf("flags %#x and an answer: %v", flags, flows)
		}
	}
	r.forget()
	if action := r.segment(segment{0, flagRST, 1, 0, 0}); action != tcxNext || len(r.capture()) != 0 {
		t.Errorf("a RST in midstream: action %d, %d flows", action, len(r.capture()))
	}
}

func TestTimeoutsFollowStateAndPolicy(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	timeout := func() uint32 {
		t.Helper()
		for b := range r.mem.tags {
			for s := range r.mem.tags[b].Tag {
				if *r.mem.tag(uint32(b), uint8(s)) >= tagFirst && r.mem.flow(uint32(b), uint8(s)).Status&statusGone == 0 {
					return r.mem.flow(uint32(b), uint8(s)).Timeout
				}
			}
		}
		return 0
	}
	check := func(want uint32) {
		t.Helper()
		if got := timeout(); got != want {
			t.Errorf("time-out %d ms, want %d", got, want)
		}
	}
	r.segment(handshake[0])
	check(timeoutTCPNew)
	p := testPolicy()
	p.TCPIdleTimeout, p.Generation = 60e9, 2
	r.policy(p) // the flow that is there keeps its own
	r.segment(handshake[1])
	r.segment(handshake[2])
	check(350000)
	r.segment(segment{0, flagRST, 101, 0, 0})
	check(timeoutTCPClosed)
	r.forget()
	for _, s := range handshake {
		r.segment(s)
	}
	check(60000)
	r.forget()
	r.send(ether(ipv4("10.0.0.1", "10.0.0.2", 17, udp(1, 2, nil))))
	check(timeoutNew)
	r.send(ether(ipv4("10.0.0.2", "10.0.0.1", 17, udp(2, 1, nil))))
	check(timeoutEstablished)
}

func TestIdleFlowIsNoFlow(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	for _, s := range handshake {
		r.segment(s)
	}
	if err := r.rewind(351e9); err != nil {
		t.Fatal(err)
	}
	if f := r.capture(); len(f) != 0 {
		t.Errorf("an idle flow is captured: %v", f)
	}
	if action := r.segment(segment{0, flagACK, 101, 501, 0}); action != tcxDrop {
		t.Errorf("a segment of an idle flow: action %d, want drop", action)
	}
	if action := r.segment(handshake[0]); action != tcxNext {
		t.Errorf("a SYN on an idle flow: action %d, want pass", action)
	}
	if f := r.capture(); len(f) != 1 || f[0].State != sluice.FlowNew {
		t.Errorf("flows %v, want one that is new", f)
	}
}

// rewind makes all flows older, and idle for longer, by ns.
func (r *rig) rewind(ns uint64) error {
	now, err := monotonic()
	if err != nil {
		return err
	}
	for b := range r.mem.flows {
		for s := range r.mem.flows[b].Flow {
			f := r.mem.flow(uint32(b), uint8(s))
			if *r.mem.tag(uint32(b), uint8(s)) < tagFirst {
				continue
			}
			if f.First < now && ns > f.First {
				return fmt.Errorf("rewind by %d ns: the machine has run for less", ns)
			}
			f.First -= ns
			f.Last -= ns
		}
	}
	return nil
}

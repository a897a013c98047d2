package datapath

import (
	"testing"

	"github.com/cilium/ebpf"

	"sluice"
)

// What somebody does who wants traffic past the policy, or out of sight of captures.

func (r *rig) expect(what string, got, want uint32) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s: action %d, want %d", what, int32(got), int32(want))
	}
}

func TestAFlowThatGoesOnAfterARSTIsInSight(t *testing.T) {
	for name, reset := range map[string]segment{
		"beside the window": {0, flagRST, 101 + 500000, 0, 0},
		"of the server":     {1, flagRST, 501 + 1000, 0, 0},
	} {
		r := newRig(t, 4096, testPolicy())
		for _, s := range after(handshake, reset, segment{0, flagACK, 101, 501, 100}, segment{1, flagACK, 501, 201, 100}) {
			r.segment(s)
		}
		if f := r.capture(); len(f) != 1 || f[0].State != sluice.FlowEstablished {
			t.Errorf("%s: flows %v", name, f)
		}
	}
}

func TestDataBehindAFINIsInSight(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	for _, s := range after(handshake, segment{0, flagFIN | flagACK, 101, 501, 0}, segment{1, flagFIN | flagACK, 501, 102, 0}) {
		r.segment(s)
	}
	if f := r.capture(); len(f) != 0 {
		t.Fatalf("closed, and captured: %v", f)
	}
	r.segment(segment{0, flagACK, 102, 502, 0}) // the last acknowledgement opens nothing
	if f := r.capture(); len(f) != 0 {
		t.Fatalf("the last ACK opened the flow again: %v", f)
	}
	r.segment(segment{0, flagACK, 102, 502, 100})
	if f := r.capture(); len(f) != 1 {
		t.Error("data goes on, and the flow is out of sight")
	}
}

func TestAHandshakeSurvivesAForgedSYNAndRST(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	for _, s := range []segment{handshake[0], {1, flagSYN, 77, 0, 0}, {1, flagRST, 12345, 0, 0}, handshake[1], handshake[2]} {
		r.segment(s)
	}
	if f := r.capture(); len(f) != 1 || f[0].State != sluice.FlowEstablished {
		t.Errorf("flows %v", f)
	}
}

func TestAnSCTPAssociationThatGoesOnIsInSight(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	r.send(ether(ipv4("10.0.0.1", "10.0.0.2", 132, sctp(5, 6, 1))))
	r.send(ether(ipv4("10.0.0.2", "10.0.0.1", 132, sctp(6, 5, 2))))
	r.send(ether(ipv4("10.0.0.2", "10.0.0.1", 132, sctp(6, 5, 6))))
	if f := r.capture(); len(f) != 0 {
		t.Fatalf("aborted, and captured: %v", f)
	}
	r.send(ether(ipv4("10.0.0.1", "10.0.0.2", 132, sctp(5, 6, 0))))
	if f := r.capture(); len(f) != 1 || f[0].State != sluice.FlowEstablished {
		t.Errorf("flows %v", f)
	}
}

func TestASYNBringsNoCutConnectionBack(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	for _, s := range handshake {
		r.segment(s)
	}
	flushAll(t, r.Datapath)
	r.expect("data without a flow", r.segment(segment{0, flagACK, 101, 501, 100}), tcxDrop)
	r.expect("SYN", r.segment(segment{0, flagSYN, 1, 0, 0}), tcxNext)
	r.expect("old data behind the SYN", r.segment(segment{0, flagACK, 101, 501, 100}), tcxDrop)
	r.expect("old data from the other side", r.segment(segment{1, flagACK, 501, 201, 100}), tcxDrop)
	r.expect("the answer to the SYN", r.segment(segment{1, flagSYN | flagACK, 9, 2, 0}), tcxNext)
	r.expect("the last ACK", r.segment(segment{0, flagACK, 2, 10, 0}), tcxNext)
}

func TestASYNMakesNoStatelessFlowAStatefulOne(t *testing.T) {
	p := testPolicy()
	p.StatelessDefault = sluice.ActionPass
	r := newRig(t, 4096, p)
	r.segment(segment{0, flagACK, 101, 501, 100})
	p.StatelessDefault, p.Generation = sluice.ActionForwardToSFE, 2
	r.policy(p)
	r.expect("midstream", r.segment(segment{0, flagACK, 101, 501, 100}), tcxDrop)
	r.expect("SYN", r.segment(segment{0, flagSYN, 1, 0, 0}), tcxNext)
	r.expect("midstream behind the SYN", r.segment(segment{0, flagACK, 101, 501, 100}), tcxDrop)
	if f := r.capture(); len(f) != 1 || f[0].State != sluice.FlowNew || f[0].Engine != sluice.EngineStateful {
		t.Errorf("flows %v", f)
	}
}

func TestListenerDiscoveryFromAfarIsNoneAtEgress(t *testing.T) {
	p := testPolicy()
	p.StatelessDefault = sluice.ActionDrop
	r := newRig(t, 4096, p)
	egress := r.program(programKey{slot: r.slot, header: 14, netns: 7})
	for source, want := range map[string]uint32{"fd00::1": tcxDrop, "fe80::1": tcxNext, "::": tcxNext} {
		f := ether(ipv6(source, "ff02::16", 58, icmp(131, 0, nil)))
		f[14+7] = 1
		action, err := egress.Run(&ebpf.RunOptions{Data: f})
		if err != nil {
			t.Fatal(err)
		}
		r.expect("from "+source, action, want)
	}
}

// TestOneSideAloneMakesNoEstablishedFlow: or whoever may pass one endpoint could fill
// the table that all endpoints share.
func TestOneSideAloneMakesNoEstablishedFlow(t *testing.T) {
	p := testPolicy()
	p.StatelessDefault = sluice.ActionPass
	r := newRig(t, 4096, p)
	for n, flags := range []byte{flagACK, flagSYN | flagACK, flagACK | flagFIN} {
		for range 3 {
			r.send(ether(ipv4("10.0.0.1", "10.0.0.2", 6, tcp(1000+n, 80, 5, 6, flags, make([]byte, 10)))))
		}
	}
	for _, f := range r.capture() {
		if f.State != sluice.FlowNew {
			t.Errorf("flow %v", f)
		}
	}
}

func TestABlindACKEndsNoHandshake(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	r.segment(handshake[0])
	r.segment(handshake[1])
	for n := range uint32(1000) {
		r.segment(segment{0, flagACK, 101, 502 + n*4_000_000, 0})
	}
	if f := r.capture(); len(f) != 1 || f[0].State != sluice.FlowNew {
		t.Errorf("flows %v", f)
	}
}

func TestFragmentsOfAnICMPErrorStayTogether(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	inner := ipv4("10.0.0.1", "10.0.0.2", 17, udp(1, 2, make([]byte, 600)))
	r.send(ether(inner))
	p := icmp(3, 4, inner[:400])
	r.expect("first fragment", r.send(ether(ipv4("10.0.0.2", "10.0.0.1", 1, p[:200], [2]int{9, 0x2000}))), tcxNext)
	r.expect("later fragment", r.send(ether(ipv4("10.0.0.2", "10.0.0.1", 1, p[200:], [2]int{9, 25}))), tcxNext)
}

func TestWhatCannotBeTurnedAroundIsDropped(t *testing.T) {
	p := testPolicy()
	p.StreamException = sluice.StreamExceptionReject
	r := newRig(t, 4096, p)
	segment := tcp(1, 2, 5, 6, flagACK, make([]byte, 44))
	r.expect("whole", r.send(ether(ipv6("fd00::1", "fd00::2", 6, segment))), tcxRedirect)
	r.expect("IPv6 fragment", r.send(ether(ipv6("fd00::1", "fd00::2", 44, join([]byte{6, 0, 0, 1, 0, 0, 0, 9}, segment)))), tcxDrop)
	r.expect("behind options", r.send(ether(ipv6("fd00::1", "fd00::2", 60, join([]byte{6, 0, 1, 4, 0, 0, 0, 0}, segment)))), tcxDrop)
	r.expect("IPv4 fragment", r.send(ether(ipv4("10.0.0.1", "10.0.0.2", 6, segment, [2]int{9, 0x2000}))), tcxDrop)
}

func TestAFlushLeavesNothingOfWhatWasTakenForClosed(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	for _, s := range after(handshake, segment{0, flagRST, 101 + 500000, 0, 0}) {
		r.segment(s)
	}
	if f := flushAll(t, r.Datapath); len(f) != 0 {
		t.Errorf("the flush lists a closed flow: %v", f)
	}
	r.expect("data after the flush", r.segment(segment{0, flagACK, 101, 501, 100}), tcxDrop)
}

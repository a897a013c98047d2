package datapath

import (
	"testing"

	"sluice"
)

// FuzzPacket runs arbitrary frames through the program and the reference. The first byte
// is the policy; then come frames, each after a byte with its length.
func FuzzPacket(f *testing.F) {
	r := newRig(f, MaxFlowsMin, testPolicy())
	seed := func(policy byte, frames ...[]byte) {
		data := []byte{policy}
		for _, frame := range frames {
			data = append(append(data, byte(len(frame))), frame...)
		}
		f.Add(data)
	}
	for policy := range byte(27) {
		seed(policy,
			ether(ipv4("10.0.0.1", "10.0.0.2", 6, tcp(1000, 80, 100, 0, flagSYN, nil))),
			ether(ipv4("10.0.0.2", "10.0.0.1", 6, tcp(80, 1000, 500, 101, flagSYN|flagACK, nil))),
			ether(ipv6("fd00::1", "fd00::2", 44, join([]byte{17, 0, 0, 1, 0, 0, 0, 9}, udp(5, 6, []byte("data"))))),
			ether(ipv6("fd00::1", "fd00::2", 44, join([]byte{17, 0, 0, 8, 0, 0, 0, 9}, []byte("data")))),
			ether(ipv4("10.0.0.2", "10.0.0.1", 1, icmp(3, 1, ipv4("10.0.0.1", "10.0.0.2", 6, tcp(1000, 80, 100, 0, flagSYN, nil))))),
			ether(ipv4("10.0.0.2", "10.0.0.1", 132, sctp(1, 2, 1)), 5, 6))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		r.t = t
		p := testPolicy()
		all := []string{sluice.ActionForwardToSFE, sluice.ActionPass, sluice.ActionDrop}
		p.StatelessDefault, p.FragmentDefault = all[data[0]%3], all[data[0]/3%3]
		p.StreamException = []string{sluice.StreamExceptionDrop, sluice.StreamExceptionContinue, sluice.StreamExceptionReject}[data[0]/9%3]
		var frames [][]byte
		for data = data[1:]; len(data) > 0 && len(frames) < 32; {
			n := min(int(data[0]), len(data)-1)
			frame := data[1 : 1+n]
			data = data[1+n:]
			if len(frame) >= 14 {
				frames = append(frames, runnable(frame))
			}
		}
		if err := r.compareWithReference(p, frames); err != nil {
			t.Fatal(err)
		}
	})
}

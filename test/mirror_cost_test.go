package test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"sluice/internal/testnet"
)

// capped is what a session has not copied of what came in.
func (b *bed) capped(session string) (n uint64) {
	b.t.Helper()
	text, err := b.server.Metrics(b.ctx)
	b.must(err)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "sluice_traffic_mirror_capped_packets_total{") && strings.Contains(line, session) &&
			strings.Contains(line, `"ingress"`) {
			if _, err := fmt.Sscan(line[strings.LastIndex(line, " "):], &n); err != nil {
				b.t.Fatalf("%s: %v", line, err)
			}
			return n
		}
	}
	b.t.Fatalf("no metric tells what session %s capped", session)
	return 0
}

// restartWith starts the server with these lines at the end of its configuration.
func (b *bed) restartWith(lines string) {
	b.t.Helper()
	b.server.Stop()
	text, err := os.ReadFile(b.server.Config)
	b.must(err)
	text, _, _ = bytes.Cut(text, []byte("mirroring:"))
	b.must(os.WriteFile(b.server.Config, append(text, lines...), 0o600))
	b.must(b.server.Start(b.ctx))
}

// TestTheConfigurationBoundsWhatCopiesCost floods a mirrored interface under one bound
// after the other, by a restart each.
func TestTheConfigurationBoundsWhatCopiesCost(t *testing.T) {
	b := newBed(t, bedOptions{maxFlows: 65536, sensor: true})
	session := b.mirror()
	conn := b.dial("udp", b.server4(mirroredPort))
	flood := func() (capped uint64) {
		before := b.capped(session)
		for range 40_000 {
			conn.Write(make([]byte, 1472)) // of no importance whether it arrives
		}
		return b.capped(session) - before
	}
	if n := flood(); n != 0 {
		t.Errorf("without a bound %d packets are capped", n)
	}
	b.restartWith("mirroring: {cpu_percent: 1}\n")
	if n := flood(); n == 0 {
		t.Error("with a bound of one percent for all no packets are capped")
	}
	b.restartWith("mirroring: {truncated_cpu_percent: 1}\n")
	if n := flood(); n != 0 {
		t.Errorf("with a bound for what is truncated, and a wide path, %d packets are capped", n)
	}
	b.must(testnet.SetMTU(b.Gateway, "sensor0", 1500))
	if n := flood(); n == 0 {
		t.Error("with a bound for what is truncated, and a narrow path, no packets are capped")
	}
	b.restartWith("mirroring: {truncated_cpu_percent: 100}\n")
	if n := flood(); n != 0 {
		t.Errorf("without that bound, and a narrow path, %d packets are capped", n)
	}
}

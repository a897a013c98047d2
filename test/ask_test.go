package test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"
)

// server4 is a port of the server at its IPv4 address.
func (b *bed) server4(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(b.Hosts()[1].IPv4, port)
}

// awaitRows captures until there are n rows.
func (b *bed) awaitRows(n int, filters ...types.FlowFilter) []types.Flow {
	b.t.Helper()
	for {
		rows := b.capture(filters...)
		if len(rows) == n {
			return rows
		}
		if b.ctx.Err() != nil {
			b.t.Fatalf("%d rows, not %d", len(rows), n)
		}
	}
}

// awaitAge captures until the filter's only flow has an age in seconds.
func (b *bed) awaitAge(age int32, f types.FlowFilter) {
	b.t.Helper()
	for {
		if rows := b.awaitRows(1, f); *rows[0].Age >= age {
			return
		}
		time.Sleep(50 * time.Millisecond) // an age in seconds does not hurry
	}
}

// metric adds up the samples of a metric.
func (b *bed) metric(name string) float64 {
	b.t.Helper()
	text, err := b.server.Metrics(b.ctx)
	b.must(err)
	var sum float64
	found := false
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			b.must(err)
			sum, found = sum+v, true
		}
	}
	if !found {
		b.t.Fatalf("no metric %s in\n%s", name, text)
	}
	return sum
}

// residentMiB is the server's resident memory without what it maps of the flow
// table, which is the kernel's.
func (b *bed) residentMiB() int {
	b.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.server.Pid()))
	b.must(err)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == "RssAnon:" {
			kib, err := strconv.Atoi(f[1])
			b.must(err)
			return kib >> 10
		}
	}
	b.t.Fatal("no RssAnon")
	return 0
}

func runQuiet(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("run %s: %w: %s", name, err, out)
	}
	return nil
}

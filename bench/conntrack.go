package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// The kernel settings of the rival. They are global, so they are put back.
const (
	conntrackMax     = "/proc/sys/net/netfilter/nf_conntrack_max"
	conntrackBuckets = "/sys/module/nf_conntrack/parameters/hashsize"
)

// establishedAccept is the rule that the rival forwards with; everything else is
// accepted behind it, so that flows can begin.
const establishedAccept = `table inet bench {
  chain forward {
    type filter hook forward priority filter; policy accept;
    ct state established accept
  }
}
`

// tuneConntrack makes room for n entries, with a bucket each, and returns the way
// back.
func tuneConntrack(n int) (restore func(), err error) {
	var undo []func()
	restore = func() {
		for _, f := range undo {
			f()
		}
	}
	// The order matters: a change of the buckets leaves the maximum alone, but not
	// the other way round on every kernel.
	for _, set := range []struct {
		path  string
		value int
	}{{conntrackBuckets, n}, {conntrackMax, 2 * n}} {
		old, err := os.ReadFile(set.path)
		if err != nil {
			restore()
			return nil, fmt.Errorf("read conntrack setting: %w", err)
		}
		undo = append(undo, func() { os.WriteFile(set.path, old, 0o644) })
		if err := os.WriteFile(set.path, []byte(strconv.Itoa(set.value)), 0o644); err != nil {
			restore()
			return nil, fmt.Errorf("write conntrack setting: %w", err)
		}
	}
	return restore, nil
}

// enableConntrack gives a gateway the rival's rule and time-outs long enough for
// the run.
func enableConntrack(ctx context.Context, g *gateway) error {
	if err := g.run(ctx, establishedAccept, "nft", "-f", "-"); err != nil {
		return err
	}
	return g.run(ctx, "", "sysctl", "-qw", "net.netfilter.nf_conntrack_udp_timeout=600",
		"net.netfilter.nf_conntrack_udp_timeout_stream=600", "net.netfilter.nf_conntrack_acct=1")
}

// conntrackCount is the number of entries in a gateway.
func conntrackCount(ctx context.Context, g *gateway) (n int, err error) {
	out, err := g.output(ctx, "conntrack", "-C")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(out))
}

// timeConntrack runs the conntrack tool as a person would and returns how long it
// took and how many lines it printed.
func timeConntrack(ctx context.Context, g *gateway, args ...string) (time.Duration, int, error) {
	begin := time.Now()
	out, err := g.output(ctx, "conntrack", args...)
	return time.Since(begin), strings.Count(out, "\n"), err
}

// unreclaimableSlab is the kernel's slab memory that is in use, in bytes.
func unreclaimableSlab() (int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("read meminfo: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "SUnreclaim:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("read meminfo: no SUnreclaim")
}

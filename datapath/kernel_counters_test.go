package datapath

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// kernelCounters reads what the kernel counts of the protocols of a namespace, by names
// like those of nstat: TcpRetransSegs, TcpExtTCPDSACKRecv, Udp6InCsumErrors.
func kernelCounters(t testing.TB, ns string) map[string]uint64 {
	t.Helper()
	out := map[string]uint64{}
	err := inNamespace(ns, func() error {
		for _, file := range []string{"snmp", "netstat"} {
			text, err := os.ReadFile("/proc/thread-self/net/" + file)
			if err != nil {
				return err
			}
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			for ; len(lines) > 1; lines = lines[2:] { // a line of names and one of values
				names, values := strings.Fields(lines[0]), strings.Fields(lines[1])
				if len(names) != len(values) {
					return fmt.Errorf("%s: %d names and %d values", file, len(names), len(values))
				}
				for i := 1; i < len(names); i++ {
					// The only negative one is a constant, TcpMaxConn.
					if n, err := strconv.ParseUint(values[i], 10, 64); err == nil {
						out[strings.TrimSuffix(names[0], ":")+names[i]] = n
					}
				}
			}
		}
		text, err := os.ReadFile("/proc/thread-self/net/snmp6")
		for _, line := range strings.Split(string(text), "\n") {
			if f := strings.Fields(line); len(f) == 2 {
				if out[f[0]], err = strconv.ParseUint(f[1], 10, 64); err != nil {
					return err
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatalf("read kernel counters: %v", err)
	}
	return out
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// bucketBytes is the size of a bucket of nf_conntrack's hash table: one pointer.
const bucketBytes = 8

// benchMemory divides what the server's BPF maps occupy by the flows that they
// hold at most, and compares it with what the kernel's slabs grew by per entry.
func benchMemory(p *product, rivalSlab float64) (Result, error) {
	bytes, err := mapMemory(p.server.Pid())
	if err != nil {
		return Result{}, err
	}
	return fewer("memory per flow", "B", float64(bytes)/float64(maxFlows), rivalSlab+bucketBytes, "nf_conntrack + bucket", 1), nil
}

// mapMemory adds up the memory of all BPF maps that a process has open, as the
// kernel accounts it (memlock in /proc/PID/fdinfo).
func mapMemory(pid int) (total uint64, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		return 0, err
	}
	seen := map[string]bool{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // closed meanwhile
		}
		fields := map[string]string{}
		for line := range strings.Lines(string(text)) {
			if k, v, ok := strings.Cut(line, ":"); ok {
				fields[k] = strings.TrimSpace(v)
			}
		}
		id := fields["map_id"]
		if id == "" || seen[id] {
			continue
		}
		seen[id] = true
		n, err := strconv.ParseUint(fields["memlock"], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read memory of map %s: %w", id, err)
		}
		total += n
	}
	if len(seen) == 0 {
		return 0, fmt.Errorf("process %d has no BPF maps open", pid)
	}
	return total, nil
}

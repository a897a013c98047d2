package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sluice"
	"sluice/daemon"
)

// maxMetrics bounds the answer of /metrics, bytes.
const maxMetrics = 64 << 20

// metricsTimeout bounds one look at /metrics.
const metricsTimeout = 10 * time.Second

// metricsReader reads the counters of sessions from the server's /metrics, which is
// what any monitoring reads too.
type metricsReader struct{ url string }

// metrics finds the admin endpoint of the server that the flags name. The shared
// files, which the API's address comes from, don't name it; only the configuration
// does, and it must be that of the same server.
func (c *connection) metrics(s *shell) (metricsReader, error) {
	config, _, err := findConfig(c.configFile, configSearch())
	if err != nil {
		return metricsReader{}, err
	}
	files, err := findSharedFiles(s, c.configFile)
	if err != nil {
		return metricsReader{}, err
	}
	if filepath.Clean(files.config) != filepath.Clean(daemon.AWSConfigPath(config.StateDir)) {
		return metricsReader{}, fmt.Errorf("counters: %s is not of the server in the configuration: say which with --config", files.config)
	}
	host, port, err := net.SplitHostPort(config.Admin.Listen)
	if err != nil {
		return metricsReader{}, fmt.Errorf("read admin address: %w", err)
	}
	switch host { // an address to listen on, not to connect to
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return metricsReader{"http://" + net.JoinHostPort(host, port) + "/metrics"}, nil
}

// mirrorReading is what /metrics says of mirroring at one moment.
type mirrorReading struct {
	sessions map[string]sluice.SessionCounters // by id
	attached map[string]bool                   // the sources that packets meet, by interface id
}

// read reads the metrics of mirroring.
func (m metricsReader) read(ctx context.Context) (mirrorReading, error) {
	ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url, nil)
	if err != nil {
		return mirrorReading{}, fmt.Errorf("read counters: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return mirrorReading{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxMetrics))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	if err != nil {
		return mirrorReading{}, fmt.Errorf("read counters: %w", err)
	}
	return parseMirrorMetrics(string(text))
}

// awaitSession waits until packets meet a session: its source is attached, and the
// data plane counts for it.
func (m metricsReader) awaitSession(ctx context.Context, session mirrorSession, wait time.Duration) (inForce bool, err error) {
	deadline := time.Now().Add(wait)
	for {
		now, err := m.read(ctx)
		if err != nil {
			return false, err
		}
		if _, counted := now.sessions[session.ID]; counted && now.attached[session.InterfaceID] {
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

// parseMirrorMetrics finds the metrics of mirroring in the text format of
// Prometheus. Ids and directions need no escapes.
func parseMirrorMetrics(text string) (mirrorReading, error) {
	out := mirrorReading{sessions: map[string]sluice.SessionCounters{}, attached: map[string]bool{}}
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), "{")
		if !ok || !strings.HasPrefix(name, mirrorMetricPrefix) {
			continue
		}
		labels, value, ok := strings.Cut(rest, "} ")
		if !ok {
			return out, fmt.Errorf("read counters: line %q", line)
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return out, fmt.Errorf("read counters: line %q: %w", line, err)
		}
		if name == sourceAttachedMetric {
			out.attached[label(labels, "network_interface")] = n == 1
			continue
		}
		session, direction := label(labels, "session"), label(labels, "direction")
		c := out.sessions[session]
		side := &c.Ingress
		if direction == sluice.TrafficEgress {
			side = &c.Egress
		}
		for _, m := range mirrorMetrics {
			switch counter := m.counter(side); name {
			case m.packets():
				counter.Packets = uint64(n)
			case m.bytes():
				counter.Bytes = uint64(n)
			}
		}
		out.sessions[session] = c
	}
	return out, nil
}

// label finds the value of a label in name="value",name="value".
func label(labels, name string) string {
	for part := range strings.SplitSeq(labels, ",") {
		if value, ok := strings.CutPrefix(part, name+`="`); ok {
			return strings.TrimSuffix(value, `"`)
		}
	}
	return ""
}

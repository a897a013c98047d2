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

// sessions reads the counters of all sessions, by id.
func (m metricsReader) sessions(ctx context.Context) (map[string]sluice.SessionCounters, error) {
	ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url, nil)
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxMetrics))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	return parseSessionMetrics(string(text))
}

// parseSessionMetrics finds the metrics of sessions in the text format of
// Prometheus. Ids and directions need no escapes.
func parseSessionMetrics(text string) (map[string]sluice.SessionCounters, error) {
	out := map[string]sluice.SessionCounters{}
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), "{")
		if !ok || !strings.HasPrefix(name, mirrorMetricPrefix) {
			continue
		}
		labels, value, ok := strings.Cut(rest, "} ")
		if !ok {
			return nil, fmt.Errorf("read counters: line %q", line)
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("read counters: line %q: %w", line, err)
		}
		session, direction := label(labels, "session"), label(labels, "direction")
		c := out[session]
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
		out[session] = c
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

package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"sluice"
)

// mirrorMetricPrefix begins the metrics that are counted per session and direction.
const mirrorMetricPrefix = "sluice_traffic_mirror_"

// mirrorMetric is one of the counters of a session and direction.
type mirrorMetric struct {
	name, help string
	counter    func(*sluice.MirrorCounters) *sluice.Counter
}

func (m mirrorMetric) packets() string { return mirrorMetricPrefix + m.name + "_packets_total" }
func (m mirrorMetric) bytes() string   { return mirrorMetricPrefix + m.name + "_bytes_total" }

// mirrorMetrics are all counters of a session and direction.
var mirrorMetrics = []mirrorMetric{
	{"matched", "that the session's filter accepted.", func(c *sluice.MirrorCounters) *sluice.Counter { return &c.Matched }},
	{"mirrored", "whose copies were handed to the network.", func(c *sluice.MirrorCounters) *sluice.Counter { return &c.Mirrored }},
	{"sliced", "whose copies were cut to the session's PacketLength.", func(c *sluice.MirrorCounters) *sluice.Counter { return &c.Sliced }},
	{"truncated", "whose copies were cut to what the path to the target carries.", func(c *sluice.MirrorCounters) *sluice.Counter { return &c.Truncated }},
	{"capped", "that were not copied: over the session's rate, or over what copies may take of a processor.", func(c *sluice.MirrorCounters) *sluice.Counter { return &c.Capped }},
	{"no_route", "that were not copied: no way to the target.", func(c *sluice.MirrorCounters) *sluice.Counter { return &c.NoRoute }},
	{"errors", "that were not copied for any other reason.", func(c *sluice.MirrorCounters) *sluice.Counter { return &c.Errors }},
}

// collectSession writes the metrics of one session: first under the names of
// CloudWatch (EC2, traffic mirroring metrics: NetworkMirrorIn, NetworkPacketsMirrorIn,
// NetworkSkipMirrorIn, NetworkPacketsSkipMirrorIn and their Out halves; In and Out
// are directions at the source, without a suffix they count bytes), then with
// everything that is known.
func collectSession(ch chan<- prometheus.Metric, session string, c sluice.SessionCounters) {
	total := func(name, help string, value uint64, labels ...string) {
		names := []string{"session"}
		if len(labels) > 0 {
			names = append(names, "direction")
		}
		desc := prometheus.NewDesc(name, help, names, nil)
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value), append([]string{session}, labels...)...)
	}
	for _, side := range []struct {
		suffix, direction string
		counters          sluice.MirrorCounters
	}{{"in", sluice.TrafficIngress, c.Ingress}, {"out", sluice.TrafficEgress, c.Egress}} {
		m := side.counters
		skipped := addCounters(m.Capped, m.NoRoute, m.Errors)
		total("sluice_network_mirror_"+side.suffix+"_bytes_total", "Frame bytes of packets that were mirrored, by their direction at the source.", m.Mirrored.Bytes)
		total("sluice_network_packets_mirror_"+side.suffix+"_total", "Packets that were mirrored, by their direction at the source.", m.Mirrored.Packets)
		total("sluice_network_skip_mirror_"+side.suffix+"_bytes_total", "Frame bytes of packets that a session accepted and that were not mirrored.", skipped.Bytes)
		total("sluice_network_packets_skip_mirror_"+side.suffix+"_total", "Packets that a session accepted and that were not mirrored.", skipped.Packets)
		for _, one := range mirrorMetrics {
			value := one.counter(&m)
			total(one.packets(), "Packets "+one.help, value.Packets, side.direction)
			total(one.bytes(), "Frame bytes of packets "+one.help, value.Bytes, side.direction)
		}
	}
}

// sourceAttachedMetric tells of each source whether packets meet its sessions.
const sourceAttachedMetric = mirrorMetricPrefix + "source_attached"

// collectSources writes of each source that has sessions whether it is mirrored. Of one
// that is not in the inventory, or of whose host no agent speaks, nobody says so: it is
// not. The host of a source that nobody knows is "".
func (m datapathMetrics) collectSources(ctx context.Context, ch chan<- prometheus.Metric) {
	told := map[string]bool{}
	for _, a := range m.agents.Statuses() {
		for _, source := range a.Mirrors {
			collectSource(ch, a.HostID, source)
			told[source.InterfaceID] = true
		}
	}
	sessions, err := m.mirrors.TrafficMirrorSessions(ctx)
	if err != nil {
		m.log.Error("metrics of mirror sources left out", "error", err)
		return
	}
	inv, err := m.mirrors.Inventory(ctx)
	if err != nil {
		m.log.Error("metrics of mirror sources left out", "error", err)
		return
	}
	for _, s := range sessions {
		if id := s.NetworkInterfaceID; !told[id] {
			told[id] = true
			n, _ := inv.Interface(id)
			collectSource(ch, n.HostID, sluice.MirrorSourceStatus{InterfaceID: id})
		}
	}
}

// collectSource writes whether a source is mirrored: without its device, or with a
// problem, it is not.
func collectSource(ch chan<- prometheus.Metric, host string, s sluice.MirrorSourceStatus) {
	attached := 0.0
	if s.Attached && s.Problem == "" {
		attached = 1
	}
	desc := prometheus.NewDesc(sourceAttachedMetric, "1 while packets of the interface meet its sessions.", []string{"host", "network_interface"}, nil)
	ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, attached, host, s.InterfaceID)
}

// addSession adds the counters that one host has of a session.
func addSession(sum *sluice.SessionCounters, c sluice.SessionCounters) {
	for _, one := range mirrorMetrics {
		for _, pair := range [][2]*sluice.MirrorCounters{{&sum.Ingress, &c.Ingress}, {&sum.Egress, &c.Egress}} {
			to := one.counter(pair[0])
			*to = addCounters(*to, *one.counter(pair[1]))
		}
	}
}

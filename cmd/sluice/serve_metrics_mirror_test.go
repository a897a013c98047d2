package main

import (
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sluice"
)

func TestMirrorMetricsFollowTheNamesOfCloudWatch(t *testing.T) {
	counters := func(n uint64) sluice.MirrorCounters {
		c := func(k uint64) sluice.Counter { return sluice.Counter{Packets: k * n, Bytes: 100 * k * n} }
		return sluice.MirrorCounters{Matched: c(1), Mirrored: c(2), Sliced: c(4), Truncated: c(8), Capped: c(16), NoRoute: c(32), Errors: c(64)}
	}
	hosts := fixedCounters{
		"h1": {Sessions: map[string]sluice.SessionCounters{"tms-1": {Ingress: counters(1), Egress: counters(1000)}}},
		"h2": {Sessions: map[string]sluice.SessionCounters{"tms-1": {Ingress: counters(2)}, "tms-2": {Egress: counters(5)}}},
	}
	agents := fixedAgents{{HostID: "h1", Mirrors: []sluice.MirrorSourceStatus{
		{InterfaceID: "eni-1", Attached: true}, {InterfaceID: "eni-2"}, {InterfaceID: "eni-3", Attached: true, Problem: "no room"}}}}
	// Of the first the agent speaks; the fourth is on a host without one, the fifth nowhere.
	mirrors := fixedMirrors{inventory: sluice.Inventory{Interfaces: []sluice.Interface{{ID: "eni-1", HostID: "h1"}, {ID: "eni-4", HostID: "h2"}}}}
	for _, source := range []string{"eni-1", "eni-4", "eni-5", "eni-5"} {
		mirrors.sessions = append(mirrors.sessions, sluice.TrafficMirrorSession{NetworkInterfaceID: source})
	}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(datapathMetrics{counters: hosts, agents: agents, firewalls: fixedFirewalls{}, mirrors: mirrors, log: slog.New(slog.DiscardHandler)})
	expectMetrics(t, r, `
		sluice_traffic_mirror_source_attached{host="h1",network_interface="eni-1"} 1
		sluice_traffic_mirror_source_attached{host="h1",network_interface="eni-2"} 0
		sluice_traffic_mirror_source_attached{host="h1",network_interface="eni-3"} 0
		sluice_traffic_mirror_source_attached{host="h2",network_interface="eni-4"} 0
		sluice_traffic_mirror_source_attached{host="",network_interface="eni-5"} 0
		sluice_network_mirror_in_bytes_total{session="tms-1"} 600
		sluice_network_mirror_out_bytes_total{session="tms-1"} 200000
		sluice_network_packets_mirror_in_total{session="tms-1"} 6
		sluice_network_packets_mirror_out_total{session="tms-2"} 10
		sluice_network_skip_mirror_in_bytes_total{session="tms-1"} 33600
		sluice_network_packets_skip_mirror_in_total{session="tms-1"} 336
		sluice_network_packets_skip_mirror_out_total{session="tms-2"} 560
		sluice_traffic_mirror_truncated_packets_total{direction="ingress",session="tms-1"} 24
		sluice_traffic_mirror_no_route_bytes_total{direction="egress",session="tms-2"} 16000`)

	w := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	got, err := parseMirrorMetrics(w.Body.String())
	want := map[string]sluice.SessionCounters{"tms-1": {Ingress: counters(3), Egress: counters(1000)}, "tms-2": {Egress: counters(5)}}
	if diff := cmp.Diff(want, got.sessions); diff != "" || err != nil {
		t.Errorf("read back: %v %s", err, diff)
	}
	if diff := cmp.Diff(map[string]bool{"eni-1": true, "eni-2": false, "eni-3": false, "eni-4": false, "eni-5": false}, got.attached); diff != "" {
		t.Errorf("read back: %s", diff)
	}
}

func TestLargeCountersAreReadBack(t *testing.T) {
	got, err := parseMirrorMetrics(`sluice_traffic_mirror_mirrored_bytes_total{direction="egress",session="tms-1"} 1.5e+12` + "\n")
	if err != nil || got.sessions["tms-1"].Egress.Mirrored.Bytes != 1_500_000_000_000 {
		t.Errorf("got %+v, %v", got, err)
	}
}

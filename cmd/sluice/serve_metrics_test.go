package main

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sluice"
)

type fixedCounters map[string]sluice.DatapathCounters

func (f fixedCounters) Counters(context.Context) map[string]sluice.DatapathCounters { return f }

type fixedAgents []sluice.AgentStatus

func (f fixedAgents) Statuses() []sluice.AgentStatus { return f }

type fixedFirewalls []sluice.Firewall

func (f fixedFirewalls) ListFirewalls(context.Context, []string) ([]sluice.Firewall, error) {
	return f, nil
}

// fixedMirrors are sessions and the interfaces that there are.
type fixedMirrors struct {
	sessions  []sluice.TrafficMirrorSession
	inventory sluice.Inventory
}

func (f fixedMirrors) TrafficMirrorSessions(context.Context) ([]sluice.TrafficMirrorSession, error) {
	return f.sessions, nil
}

func (f fixedMirrors) Inventory(context.Context) (sluice.Inventory, error) { return f.inventory, nil }

// expectMetrics looks for each line of want in what a scrape gets.
func expectMetrics(t *testing.T, r *prometheus.Registry, want string) {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(strings.TrimSpace(want)) {
		if !strings.Contains(w.Body.String(), strings.TrimSpace(line)+"\n") {
			t.Errorf("a scrape lacks %s", line)
		}
	}
	if t.Failed() {
		t.Logf("it got %d\n%s", w.Code, w.Body)
	}
}

func TestMetricsFollowTheNamesOfCloudWatch(t *testing.T) {
	counters := func(n uint64) sluice.VerdictCounters {
		return sluice.VerdictCounters{
			PassedStateless: sluice.Counter{Packets: 1 * n, Bytes: 100 * n}, PassedStateful: sluice.Counter{Packets: 2 * n, Bytes: 200 * n},
			DroppedStateless: sluice.Counter{Packets: 4 * n}, DroppedStateful: sluice.Counter{Packets: 8 * n},
			RejectedPackets: sluice.Counter{Packets: 16 * n}, InvalidDroppedPackets: sluice.Counter{Packets: 32 * n},
			OtherDroppedPackets: sluice.Counter{Packets: 64 * n}, StreamExceptionPolicyPackets: sluice.Counter{Packets: 20 * n},
		}
	}
	hosts := fixedCounters{
		"h1": {Endpoints: map[string]sluice.VerdictCounters{"vpce-1": counters(1), "vpce-gone": counters(9)}, Table: sluice.FlowTableCounters{
			MaxFlows: 100, Flows: 7, Refused: 3, Emergencies: 2, Emergency: true,
			ByProtocolState: map[string]map[sluice.FlowState]uint64{"tcp": {sluice.FlowEstablished: 5, sluice.FlowNew: 2}}}},
		"h2": {Endpoints: map[string]sluice.VerdictCounters{"vpce-1": counters(10)}},
	}
	firewalls := fixedFirewalls{{Name: "fw", SubnetMappings: []sluice.SubnetMapping{{EndpointID: "vpce-1", AvailabilityZone: "eu-west-1a"}}}}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(datapathMetrics{counters: hosts, agents: fixedAgents{}, firewalls: firewalls, mirrors: fixedMirrors{}, log: slog.New(slog.DiscardHandler)})
	want := `
# HELP sluice_received_packets_total Packets that an engine was given.
# TYPE sluice_received_packets_total counter
sluice_received_packets_total{availability_zone="eu-west-1a",engine="Stateful",firewall="fw"} 990
sluice_received_packets_total{availability_zone="eu-west-1a",engine="Stateless",firewall="fw"} 1397
# HELP sluice_passed_bytes_total IP bytes of packets that were let through.
# TYPE sluice_passed_bytes_total counter
sluice_passed_bytes_total{availability_zone="eu-west-1a",engine="Stateful",firewall="fw"} 2200
sluice_passed_bytes_total{availability_zone="eu-west-1a",engine="Stateless",firewall="fw"} 1100
# HELP sluice_rejected_packets_total Packets that were answered with a TCP reset.
# TYPE sluice_rejected_packets_total counter
sluice_rejected_packets_total{availability_zone="eu-west-1a",engine="Stateful",firewall="fw"} 176
# HELP sluice_flow_table_refused_total New flows that found no room in the flow table.
# TYPE sluice_flow_table_refused_total counter
sluice_flow_table_refused_total{host="h1"} 3
sluice_flow_table_refused_total{host="h2"} 0
# HELP sluice_flow_table_emergency 1 while the flow table is in emergency mode.
# TYPE sluice_flow_table_emergency gauge
sluice_flow_table_emergency{host="h1"} 1
sluice_flow_table_emergency{host="h2"} 0
# HELP sluice_flows Flows by protocol and state.
# TYPE sluice_flows gauge
sluice_flows{host="h1",protocol="tcp",state="established"} 5
sluice_flows{host="h1",protocol="tcp",state="new"} 2
`
	expectMetrics(t, r, want)
}

func TestRequestsAndOperationsAreCounted(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	m := newRequestMetrics(r)
	m.observeRequest("network-firewall", "StartFlowCapture", "OK", 2*time.Millisecond)
	m.observeRequest("network-firewall", "StartFlowCapture", "OK", 2*time.Millisecond)
	m.observeRequest("network-firewall", "StartFlowCapture", "ThrottlingException", time.Millisecond)
	m.FlowOperationEnded(sluice.FlowCapture, sluice.OperationCompleted, 30*time.Millisecond, 12)
	want := `
# HELP sluice_api_requests_total API requests by service, operation and error code; the code of a success is OK.
# TYPE sluice_api_requests_total counter
sluice_api_requests_total{code="OK",operation="StartFlowCapture",service="network-firewall"} 2
sluice_api_requests_total{code="ThrottlingException",operation="StartFlowCapture",service="network-firewall"} 1
# HELP sluice_flow_operation_flows_total Flows that flow operations captured or flushed.
# TYPE sluice_flow_operation_flows_total counter
sluice_flow_operation_flows_total{type="FLOW_CAPTURE"} 12
sluice_flow_operation_duration_seconds_count{status="COMPLETED",type="FLOW_CAPTURE"} 1
sluice_flow_operation_duration_seconds_bucket{status="COMPLETED",type="FLOW_CAPTURE",le="0.025"} 0
sluice_flow_operation_duration_seconds_bucket{status="COMPLETED",type="FLOW_CAPTURE",le="0.05"} 1
`
	expectMetrics(t, r, want)
}

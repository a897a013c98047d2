package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice"
)

// countersTimeout bounds how long a scrape waits for the agents.
const countersTimeout = 5 * time.Second

// requestMetrics are the metrics of the API and of flow operations, which are
// counted as they happen.
type requestMetrics struct {
	requests   *prometheus.CounterVec
	durations  *prometheus.HistogramVec
	operations *prometheus.HistogramVec
	flows      *prometheus.CounterVec
}

func newRequestMetrics(r prometheus.Registerer) *requestMetrics {
	m := &requestMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_api_requests_total",
			Help: "API requests by service, operation and error code; the code of a success is OK.",
		}, []string{"service", "operation", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sluice_api_request_duration_seconds",
			Help:    "Time from the first byte of an API request to the last of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}, []string{"service", "operation"}),
		operations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sluice_flow_operation_duration_seconds",
			Help:    "Time from the request of a flow operation to its final status.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
		}, []string{"type", "status"}),
		flows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_flow_operation_flows_total",
			Help: "Flows that flow operations captured or flushed.",
		}, []string{"type"}),
	}
	r.MustRegister(m.requests, m.durations, m.operations, m.flows)
	return m
}

// observeRequest counts a request of the API.
func (m *requestMetrics) observeRequest(service, operation, code string, d time.Duration) {
	m.requests.WithLabelValues(service, operation, code).Inc()
	m.durations.WithLabelValues(service, operation).Observe(d.Seconds())
}

// FlowOperationEnded implements control.Observer.
func (m *requestMetrics) FlowOperationEnded(t sluice.FlowOperationType, status sluice.FlowOperationStatus, d time.Duration, rows int64) {
	m.operations.WithLabelValues(string(t), string(status)).Observe(d.Seconds())
	m.flows.WithLabelValues(string(t)).Add(float64(rows))
}

// counterSource is where the counters of all hosts come from.
type counterSource interface {
	Counters(ctx context.Context) map[string]sluice.DatapathCounters
}

// agentSource is where the last word of every agent comes from.
type agentSource interface {
	Statuses() []sluice.AgentStatus
}

// firewallSource knows which firewall and zone an endpoint belongs to.
type firewallSource interface {
	ListFirewalls(ctx context.Context, vpcIDs []string) ([]sluice.Firewall, error)
}

// mirrorSource knows the mirror sessions, and the interfaces that there are.
type mirrorSource interface {
	TrafficMirrorSessions(ctx context.Context) ([]sluice.TrafficMirrorSession, error)
	Inventory(ctx context.Context) (sluice.Inventory, error)
}

// datapathMetrics reads the counters of the packet side when it is scraped.
type datapathMetrics struct {
	counters  counterSource
	agents    agentSource
	firewalls firewallSource
	mirrors   mirrorSource
	log       *slog.Logger
}

// Describe sends nothing, which makes this an unchecked collector: the metrics of
// an endpoint come and go with it.
func (datapathMetrics) Describe(chan<- *prometheus.Desc) {}

// The labels of the metrics of firewalls follow the dimensions of CloudWatch's
// AWS/NetworkFirewall (Developer Guide, CloudWatch metrics).
func firewallMetric(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_"+name+"_total", help, []string{"firewall", "availability_zone", "engine"}, nil)
}

func hostMetric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_"+name, help, append([]string{"host"}, labels...), nil)
}

// Collect reads everything once.
func (m datapathMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), countersTimeout)
	defer cancel()
	hosts := m.counters.Counters(ctx)
	for host, c := range hosts {
		collectTable(ch, host, c.Table)
	}
	sessions := map[string]sluice.SessionCounters{}
	for _, c := range hosts {
		for id, one := range c.Sessions {
			sum := sessions[id]
			addSession(&sum, one)
			sessions[id] = sum
		}
	}
	for id, c := range sessions {
		collectSession(ch, id, c)
	}
	m.collectSources(ctx, ch)
	firewalls, err := m.firewalls.ListFirewalls(ctx, nil)
	if err != nil {
		m.log.Error("metrics of firewalls left out", "error", err)
		return
	}
	for _, f := range firewalls {
		for _, mapping := range f.SubnetMappings {
			var sum sluice.VerdictCounters
			for _, c := range hosts {
				addVerdicts(&sum, c.Endpoints[mapping.EndpointID])
			}
			collectVerdicts(ch, f.Name, mapping.AvailabilityZone, sum)
		}
	}
}

func collectTable(ch chan<- prometheus.Metric, host string, t sluice.FlowTableCounters) {
	gauge := func(name, help string, value float64) {
		ch <- prometheus.MustNewConstMetric(hostMetric(name, help), prometheus.GaugeValue, value, host)
	}
	total := func(name, help string, value uint64) {
		ch <- prometheus.MustNewConstMetric(hostMetric(name+"_total", help), prometheus.CounterValue, float64(value), host)
	}
	gauge("flow_table_max_flows", "Flows that the table has room for.", float64(t.MaxFlows))
	gauge("flow_table_flows", "Entries of the flow table in use.", float64(t.Flows))
	emergency := 0.0
	if t.Emergency {
		emergency = 1
	}
	gauge("flow_table_emergency", "1 while the flow table is in emergency mode.", emergency)
	total("flow_table_refused", "New flows that found no room in the flow table.", t.Refused)
	total("flow_table_emergencies", "Times that the flow table entered emergency mode.", t.Emergencies)
	flows := hostMetric("flows", "Flows by protocol and state.", "protocol", "state")
	for protocol, states := range t.ByProtocolState {
		for state, n := range states {
			ch <- prometheus.MustNewConstMetric(flows, prometheus.GaugeValue, float64(n), host, protocol, state.String())
		}
	}
}

// The values of the label engine.
const (
	engineStateless = "Stateless"
	engineStateful  = "Stateful"
)

// collectVerdicts writes the metrics of one firewall in one zone. The stateless
// engine receives every packet, the stateful one what was forwarded to it; what
// could not be parsed or kept belongs to the stage that found it out.
func collectVerdicts(ch chan<- prometheus.Metric, firewall, zone string, v sluice.VerdictCounters) {
	emit := func(name, help, engine string, c sluice.Counter) {
		ch <- prometheus.MustNewConstMetric(firewallMetric(name+"_packets", "Packets "+help), prometheus.CounterValue, float64(c.Packets), firewall, zone, engine)
		ch <- prometheus.MustNewConstMetric(firewallMetric(name+"_bytes", "IP bytes of packets "+help), prometheus.CounterValue, float64(c.Bytes), firewall, zone, engine)
	}
	stateful := addCounters(v.PassedStateful, v.DroppedStateful, v.RejectedPackets, v.OtherDroppedPackets)
	emit("received", "that an engine was given.", engineStateless, addCounters(stateful, v.PassedStateless, v.DroppedStateless, v.InvalidDroppedPackets))
	emit("received", "that an engine was given.", engineStateful, stateful)
	emit("passed", "that were let through.", engineStateless, v.PassedStateless)
	emit("passed", "that were let through.", engineStateful, v.PassedStateful)
	emit("dropped", "that a rule or default action dropped.", engineStateless, v.DroppedStateless)
	emit("dropped", "that a rule or default action dropped.", engineStateful, v.DroppedStateful)
	emit("rejected", "that were answered with a TCP reset.", engineStateful, v.RejectedPackets)
	emit("invalid_dropped", "that could not be parsed.", engineStateless, v.InvalidDroppedPackets)
	emit("other_dropped", "that found no room in the flow table, or fragments without their first.", engineStateful, v.OtherDroppedPackets)
	emit("stream_exception_policy", "that met the stream exception policy; they are counted by verdict too.", engineStateful, v.StreamExceptionPolicyPackets)
}

func addCounters(list ...sluice.Counter) sluice.Counter {
	var sum sluice.Counter
	for _, c := range list {
		sum.Packets += c.Packets
		sum.Bytes += c.Bytes
	}
	return sum
}

func addVerdicts(sum *sluice.VerdictCounters, v sluice.VerdictCounters) {
	for _, pair := range []struct {
		to   *sluice.Counter
		from sluice.Counter
	}{
		{&sum.PassedStateless, v.PassedStateless},
		{&sum.PassedStateful, v.PassedStateful},
		{&sum.DroppedStateless, v.DroppedStateless},
		{&sum.DroppedStateful, v.DroppedStateful},
		{&sum.RejectedPackets, v.RejectedPackets},
		{&sum.StreamExceptionPolicyPackets, v.StreamExceptionPolicyPackets},
		{&sum.InvalidDroppedPackets, v.InvalidDroppedPackets},
		{&sum.OtherDroppedPackets, v.OtherDroppedPackets},
	} {
		*pair.to = addCounters(*pair.to, pair.from)
	}
}

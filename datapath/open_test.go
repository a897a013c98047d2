package datapath

import (
	"strings"
	"testing"
	"time"

	"sluice"
)

func TestOpenSaysWhatIsMissing(t *testing.T) {
	needRoot(t)
	for want, o := range map[string]Options{
		"not on a BPF file system": {Dir: t.TempDir()},
		"max_flows is 5, want":     {Dir: bpffs(t), MaxFlows: 5},
	} {
		if d, err := Open(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open %+v: %v, %v; want %q", o, d, err, want)
		}
	}
}

func TestApplyRefusesWhatItCannotEnforce(t *testing.T) {
	r := newRig(t, MaxFlowsMin, testPolicy())
	for want, change := range map[string]func(*sluice.Endpoint){
		"unknown stateless action \"x\"":        func(e *sluice.Endpoint) { e.Policy.StatelessDefault = "x" },
		"unknown stateless action \"y\"":        func(e *sluice.Endpoint) { e.Policy.FragmentDefault = "y" },
		"unknown stream exception policy \"z\"": func(e *sluice.Endpoint) { e.Policy.StreamException = "z" },
		"time-out is 59s":                       func(e *sluice.Endpoint) { e.Policy.TCPIdleTimeout = 59 * time.Second },
		"an id has 1 to 55 bytes":               func(e *sluice.Endpoint) { e.ID = strings.Repeat("v", 56) },
	} {
		e := sluice.Endpoint{ID: testEndpoint, Policy: testPolicy()}
		change(&e)
		st := r.Apply(t.Context(), []sluice.Endpoint{{ID: testEndpoint, Policy: testPolicy()}, e})[1]
		if !strings.Contains(st.Problem, want) {
			t.Errorf("problem %q, want %q", st.Problem, want)
		}
	}
	// What was in force still is.
	if action := r.send(ether(ipv4("10.0.0.1", "10.0.0.2", 17, udp(1, 2, nil)))); action != tcxNext {
		t.Errorf("action %d", int32(action))
	}
}

func TestAnEndpointWithoutItsInterfacesIsNoProblem(t *testing.T) {
	d := testDatapath(t, MaxFlowsMin)
	e := sluice.Endpoint{ID: testEndpoint, Policy: testPolicy(), Interfaces: []sluice.InterfaceRef{
		{ID: "eni-1", Netns: "no-such-namespace", Device: "eth0"}, {ID: "eni-2", Device: "no-such-device"}}}
	st := apply(t, d, e)[0]
	if len(st.Missing) != 2 || len(st.Attached) != 0 || st.PolicyGeneration != 1 {
		t.Errorf("status %+v", st)
	}
}

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testPolicyARN = "arn:aws:network-firewall:eu-west-1:000000000000:firewall-policy/fw-policy"

// policyAnswers are those for a policy fw-policy, with or without one that is there.
func policyAnswers(existing string) map[string]string {
	response := `"UpdateToken":"` + testOperation + `","FirewallPolicyResponse":{"FirewallPolicyName":"fw-policy","FirewallPolicyArn":"` + testPolicyARN + `"}`
	answers := map[string]string{
		"DescribeFirewallPolicy": `!{"__type":"ResourceNotFoundException","message":"policy is missing"}`,
		"CreateFirewallPolicy":   `{` + response + `}`,
	}
	if existing != "" {
		answers["DescribeFirewallPolicy"] = `{` + response + `,"FirewallPolicy":{"StatelessDefaultActions":[],"StatelessFragmentDefaultActions":[],` +
			`"StatefulEngineOptions":{"StreamExceptionPolicy":"` + existing + `"}}}`
	}
	return answers
}

func TestThePolicyThatIsMadeHasTheStreamExceptionAskedFor(t *testing.T) {
	for _, c := range []struct{ args, existing, want, wantFailed string }{
		{args: "", want: "REJECT"},
		{args: "--stream-exception continue", want: "CONTINUE"},
		{args: "--stream-exception DROP", want: "DROP"},
		{args: "--stream-exception continue", existing: "CONTINUE"},
		{args: "", existing: "DROP"},
		{args: "--stream-exception continue", existing: "REJECT", wantFailed: "its stream exception policy is REJECT, not CONTINUE"},
		{args: "--stream-exception bypass", wantFailed: "want drop, continue or reject"},
		{args: "--stream-exception drop --policy mine", wantFailed: "--policy mine has its own"},
	} {
		api := newFakeAPI(t, policyAnswers(c.existing))
		args := append(strings.Fields(c.args), "--config", api.config)
		var stderr syncBuffer
		s := &shell{stdout: &stderr, stderr: &stderr, getenv: func(string) string { return "" }}
		f := newFlags("sluice firewall create", "NAME", "")
		policy, value := f.String("policy", "", ""), f.String("stream-exception", "reject", "")
		var conn connection
		conn.register(f)
		if _, err := f.parse(s, args, 0, 0); err != nil {
			t.Fatal(err)
		}
		exception, err := streamException(f, *value, *policy)
		if err == nil {
			client, clientErr := conn.client(t.Context(), s)
			if clientErr != nil {
				t.Fatal(clientErr)
			}
			_, _, err = policyFor(t.Context(), s, client, firewallPlan{name: "fw", policy: *policy, exception: exception})
		}
		if c.wantFailed != "" {
			if err == nil || !strings.Contains(err.Error(), c.wantFailed) {
				t.Errorf("%q: error %v, want %q", c.args, err, c.wantFailed)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.args, err)
		}
		var got []any
		for _, r := range api.requests["CreateFirewallPolicy"] {
			got = append(got, r["FirewallPolicy"].(map[string]any)["StatefulEngineOptions"].(map[string]any)["StreamExceptionPolicy"])
		}
		var want []any
		if c.want != "" {
			want = []any{c.want}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: policies made %s", c.args, diff)
		}
	}
}

func TestHelpWarnsOfConnectionsThatAreOpenAlready(t *testing.T) {
	_, stdout, _ := runCommand("firewall", "create", "--help")
	for _, want := range []string{"Warning: TCP connections that are open already", "--stream-exception continue"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("help lacks %q:\n%s", want, stdout)
		}
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/daemon"
)

// fakeAPI answers Network Firewall requests by operation, and keeps their bodies.
type fakeAPI struct {
	answers  map[string]string // operation to body; one that begins with ! is an error
	requests map[string][]map[string]any
	config   string // configuration file that leads to it
}

func newFakeAPI(t *testing.T, answers map[string]string) *fakeAPI {
	t.Helper()
	f := &fakeAPI{answers: answers, requests: map[string][]map[string]any{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	f.config = filepath.Join(dir, "sluice.yaml")
	for name, text := range map[string]string{
		f.config:                    "state_dir: '" + dir + "'\n",
		daemon.CredentialsPath(dir): "[default]\naws_access_key_id = AKIAAAAAAAAAAAAAAAAA\naws_secret_access_key = secret\n",
		daemon.AWSConfigPath(dir):   "[default]\nregion = eu-west-1\nendpoint_url = " + server.URL + "\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// ServeHTTP answers from the list; the last page of results follows the first.
func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.requests[operation] = append(f.requests[operation], body)
	key := operation
	if token, ok := body["NextToken"]; ok {
		key += "?" + fmt.Sprint(token)
	}
	answer, ok := f.answers[key]
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if !ok || strings.HasPrefix(answer, "!") {
		w.WriteHeader(http.StatusBadRequest)
		answer = strings.TrimPrefix(answer, "!")
	}
	io.WriteString(w, answer)
}

const (
	testARN       = "arn:aws:network-firewall:eu-west-1:000000000000:firewall/fw"
	testOperation = "11111111-2222-4333-8444-555555555555"
)

func captureAnswers(status, message string) map[string]string {
	id := `"FirewallArn":"` + testARN + `","FlowOperationId":"` + testOperation + `","FlowOperationStatus":"` + status + `"`
	flow := func(source string, bytes int) string {
		return fmt.Sprintf(`{"SourceAddress":{"AddressDefinition":"%s"},"DestinationAddress":{"AddressDefinition":"10.0.0.9"},"SourcePort":"1000","DestinationPort":"80","Protocol":"6","Age":7,"PacketCount":3,"ByteCount":%d}`, source, bytes)
	}
	return map[string]string{
		"ListFirewalls":                 `{"Firewalls":[{"FirewallName":"fw","FirewallArn":"` + testARN + `"}]}`,
		"StartFlowCapture":              `{` + id + `}`,
		"DescribeFlowOperation":         `{` + id + `,"FlowOperationType":"FLOW_CAPTURE","StatusMessage":"` + message + `"}`,
		"ListFlowOperationResults":      `{` + id + `,"NextToken":"more","Flows":[` + flow("10.0.0.1", 100) + `,` + flow("10.0.0.2", 300) + `]}`,
		"ListFlowOperationResults?more": `{` + id + `,"Flows":[` + flow("10.0.0.3", 200) + `]}`,
		"DescribeFirewall": `{"UpdateToken":"` + testOperation + `","Firewall":{"FirewallName":"fw","FirewallArn":"` + testARN + `"},` +
			`"FirewallStatus":{"Status":"READY","ConfigurationSyncStateSummary":"IN_SYNC","SyncStates":{"eu-west-1a":{}}}}`,
		"StartFlowFlush": `!{"__type":"InvalidRequestException","message":"Firewall is not ready"}`,
	}
}

func TestCaptureAsksTheAPIAndPrintsAllPages(t *testing.T) {
	api := newFakeAPI(t, captureAnswers("COMPLETED", ""))
	code, stdout, stderr := runCommand("flow", "capture", "--config", api.config, "--zone", "eu-west-1a", "--min-age", "60",
		"--source", "10.0.0.0/24", "--destination-port", "80", "--protocol", "tcp", "--sort", "bytes")
	want := `PROTOCOL  SOURCE         DESTINATION  AGE  PACKETS  BYTES
tcp       10.0.0.2:1000  10.0.0.9:80   7s        3    300
tcp       10.0.0.3:1000  10.0.0.9:80   7s        3    200
tcp       10.0.0.1:1000  10.0.0.9:80   7s        3    100
`
	if diff := cmp.Diff(want, stdout); code != exitOK || diff != "" {
		t.Errorf("code %d, stderr %q, stdout %s", code, stderr, diff)
	}
	if !strings.HasPrefix(stderr, "3 flows captured") || !strings.Contains(stderr, testOperation) {
		t.Errorf("stderr %q", stderr)
	}
	asked := []map[string]any{{
		"FirewallArn": testARN, "AvailabilityZone": "eu-west-1a", "MinimumFlowAgeInSeconds": 60.0,
		"FlowFilters": []any{map[string]any{
			"SourceAddress": map[string]any{"AddressDefinition": "10.0.0.0/24"}, "DestinationPort": "80", "Protocols": []any{"6"},
		}},
	}}
	if diff := cmp.Diff(asked, api.requests["StartFlowCapture"]); diff != "" {
		t.Error(diff)
	}
}

func TestALimitHidesFlowsButNotHowManyThereAre(t *testing.T) {
	api := newFakeAPI(t, captureAnswers("COMPLETED", ""))
	for _, c := range []struct {
		args, first, stderr string
		printed             int
		truncated           bool
	}{
		{"capture --limit 1", "10.0.0.1", "showing the first 1 of 3 flows captured", 1, true},
		{"capture --limit 2 --sort bytes", "10.0.0.2", "showing the first 2 of 3 flows captured", 2, true},
		{"capture --limit 3", "10.0.0.1", "3 flows captured", 3, false},
		{"flush --all --limit 2", "10.0.0.1", "showing the first 2 of 3 flows flushed", 2, true},
		{"show " + testOperation + " --limit 2", "10.0.0.1", "showing the first 2 of 3 flows", 2, true},
	} {
		kind := "FLOW_CAPTURE"
		if strings.HasPrefix(c.args, "flush") {
			kind = "FLOW_FLUSH"
			api.answers["StartFlowFlush"] = api.answers["StartFlowCapture"]
		}
		api.answers["DescribeFlowOperation"] = `{"FirewallArn":"` + testARN + `","FlowOperationId":"` + testOperation + `","FlowOperationStatus":"COMPLETED","FlowOperationType":"` + kind + `"}`
		words := append(append([]string{"flow"}, strings.Fields(c.args)...), "--config", api.config)
		code, stdout, stderr := runCommand(words...)
		if code != exitOK || strings.Count(stdout, "\n") != c.printed+1 || !strings.HasPrefix(strings.Split(stdout, "\n")[1], "tcp       "+c.first) ||
			!strings.Contains("\n"+stderr, "\n"+c.stderr) {
			t.Errorf("flow %s: code %d, stdout %q, stderr %q", c.args, code, stdout, stderr)
		}
		code, stdout, _ = runCommand(append(words, "--output", "json")...)
		var got flowResult
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatalf("%v in %s", err, stdout)
		}
		if code != exitOK || len(got.Flows) != c.printed || got.TotalFlows != 3 || got.Truncated != c.truncated ||
			got.FlowOperationID != testOperation || got.FlowOperationStatus != "COMPLETED" {
			t.Errorf("flow %s: code %d, %s", c.args, code, stdout)
		}
	}
}

func TestAnOperationThatDidNotEndWellIsExitCode1AndStillPrints(t *testing.T) {
	api := newFakeAPI(t, captureAnswers("COMPLETED_WITH_ERRORS", "Flow timeout"))
	code, stdout, stderr := runCommand("flow", "capture", "--config", api.config)
	if code != exitFailed || !strings.Contains(stdout, "10.0.0.3:1000") || !strings.Contains(stderr, "COMPLETED_WITH_ERRORS: Flow timeout") {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestErrorsOfTheAPIAreCodeAndMessage(t *testing.T) {
	api := newFakeAPI(t, captureAnswers("COMPLETED", ""))
	for args, want := range map[string]string{
		"flow flush --all": "sluice: InvalidRequestException: Firewall is not ready\n",
	} {
		code, stdout, stderr := runCommand(append(strings.Fields(args), "--config", api.config)...)
		if code != exitFailed || stdout != "" || stderr != want {
			t.Errorf("sluice %s: code %d, stdout %q, stderr %q, want %q", args, code, stdout, stderr, want)
		}
	}
}

func TestSeveralZonesMayListAFlowTwiceAndThatIsSaid(t *testing.T) {
	api := newFakeAPI(t, captureAnswers("COMPLETED", ""))
	said := func(args string) bool {
		t.Helper()
		code, stdout, stderr := runCommand(append(strings.Fields(args), "--config", api.config)...)
		if code != exitOK || strings.Contains(stdout, "zones") {
			t.Errorf("sluice %s: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
		return strings.Contains(stderr, "2 zones were asked (eu-west-1a, eu-west-1b)")
	}
	if said("flow capture") {
		t.Error("said of a firewall with one zone")
	}
	api.answers["DescribeFirewall"] = strings.Replace(api.answers["DescribeFirewall"], `"eu-west-1a":{}`, `"eu-west-1b":{},"eu-west-1a":{}`, 1)
	for args, want := range map[string]bool{
		"flow capture": true, "flow capture --firewall fw": true, "flow capture --zone eu-west-1a": false, "flow capture --output json": false,
		"flow show " + testOperation: true, "flow show " + testOperation + " --zone eu-west-1b": true,
	} {
		if got := said(args); got != want {
			t.Errorf("sluice %s: said of the zones %t, want %t", args, got, want)
		}
	}
	if _, stdout, _ := runCommand("flow", "capture", "--help"); !strings.Contains(stdout, "listed once for each") {
		t.Errorf("help says nothing of it: %s", stdout)
	}
}

func TestAnUnknownFirewallIsAnsweredWithThoseThatThereAre(t *testing.T) {
	api := newFakeAPI(t, captureAnswers("COMPLETED", ""))
	for _, answer := range []string{`!{"__type":"ResourceNotFoundException","message":"firewall is missing"}`,
		`!{"__type":"ValidationException","message":"Member must satisfy regular expression pattern"}`} {
		api.answers["DescribeFirewall"] = answer
		for _, args := range []string{"flow capture --firewall none", "flow flush --all --firewall none", "flow list --firewall none",
			"flow show " + testOperation + " --firewall none", "firewall show none", "firewall delete none"} {
			code, stdout, stderr := runCommand(append(strings.Fields(args), "--config", api.config)...)
			if code != exitFailed || stdout != "" || stderr != "sluice: there is no firewall none; there are: fw\n" {
				t.Errorf("sluice %s: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
			}
		}
	}
	api.answers["ListFirewalls"] = `{"Firewalls":[]}`
	if _, _, stderr := runCommand("firewall", "show", "none", "--config", api.config); !strings.Contains(stderr, "sluice firewall create NAME") {
		t.Errorf("without any firewall: %q", stderr)
	}
}

func TestAnUnknownOperationIsSaidInWords(t *testing.T) {
	api := newFakeAPI(t, captureAnswers("COMPLETED", ""))
	api.answers["DescribeFlowOperation"] = `!{"__type":"ResourceNotFoundException","message":"operation is missing"}`
	one, two := api.answers["ListFirewalls"], `{"Firewalls":[{"FirewallName":"fw","FirewallArn":"`+testARN+`"},{"FirewallName":"fx","FirewallArn":"`+testARN+`x"}]}`
	for _, c := range []struct{ args, firewalls, want string }{
		{testOperation, one, "firewall fw has no operation " + testOperation + " of the last 12 hours"},
		{testOperation + " --firewall fw", two, "firewall fw has no operation " + testOperation},
		{testOperation + " --zone eu-west-1b", one, "firewall fw in eu-west-1b has no operation " + testOperation},
		{testOperation, two, "no firewall has an operation " + testOperation},
		{testOperation, `{"Firewalls":[]}`, "there is no firewall yet"},
	} {
		api.answers["ListFirewalls"] = c.firewalls
		code, stdout, stderr := runCommand(append([]string{"flow", "show", "--config", api.config}, strings.Fields(c.args)...)...)
		if code != exitFailed || stdout != "" || !strings.HasPrefix(stderr, "sluice: "+c.want) {
			t.Errorf("flow show %s: code %d, stdout %q, stderr %q, want %q", c.args, code, stdout, stderr, c.want)
		}
	}
	if code, _, stderr := runCommand("flow", "show", "foo", "--config", api.config); code != exitUsage || !strings.Contains(stderr, `"foo" is no operation id such as`) {
		t.Errorf("flow show foo: code %d, stderr %q", code, stderr)
	}
}

func TestAServerThatIsNotThereIsSaidSo(t *testing.T) {
	api := newFakeAPI(t, nil)
	config := filepath.Join(filepath.Dir(api.config), "aws", "config")
	if err := os.WriteFile(config, []byte("[default]\nregion = eu-west-1\nendpoint_url = http://127.0.0.1:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := runCommand("firewall", "list", "--config", api.config)
	if code != exitFailed || !strings.Contains(stderr, "reach http://127.0.0.1:1: connection refused: is sluice serve running?") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}

func TestFilesThatDoNotLeadToASluiceAreRefused(t *testing.T) {
	api := newFakeAPI(t, nil)
	config := filepath.Join(filepath.Dir(api.config), "aws", "config")
	if err := os.WriteFile(config, []byte("[default]\nregion = eu-west-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := runCommand("flow", "flush", "--all", "--config", api.config)
	if code != exitFailed || !strings.Contains(stderr, "no endpoint_url") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(config), "credentials")); err != nil {
		t.Fatal(err)
	}
	code, _, stderr = runCommand("flow", "list", "--config", api.config)
	if code != exitFailed || !strings.Contains(stderr, "sluice serve writes them when it first starts") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}

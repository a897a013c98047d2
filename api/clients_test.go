package api

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	nfw "github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"sluice"
)

// installed finds a client program; on a developer's machine it may be missing, in
// CI it may not.
func installed(t *testing.T, name string, probe ...string) {
	t.Helper()
	if out, err := exec.Command(name, probe...).CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is needed in CI: %v %s", name, err, out)
		}
		t.Skipf("%s is not installed: %v", name, err)
	}
}

// clientEnvironment keeps the configuration of the machine away from the clients.
func clientEnvironment(t *testing.T, endpoint string) []string {
	empty := t.TempDir() + "/none"
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "AWS_CONFIG_FILE=" + empty, "AWS_SHARED_CREDENTIALS_FILE=" + empty,
		"AWS_EC2_METADATA_DISABLED=true", "AWS_ACCESS_KEY_ID=" + testKey, "AWS_SECRET_ACCESS_KEY=" + testSecret,
		"AWS_DEFAULT_REGION=" + testRegion, "AWS_ENDPOINT_URL=" + endpoint, "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1"}
}

var signedTimes = regexp.MustCompile(`\d{8}T\d{6}Z`)

func TestBoto3(t *testing.T) {
	installed(t, "python3", "-c", "import boto3")
	d := newDoor(time.Now)
	d.backend.flows = append(fixtureFlows(), someFlows(248)...)
	server := httptest.NewServer(d)
	defer server.Close()
	cmd := exec.Command("python3", "testdata/boto3_round.py", server.URL, testKey, testSecret)
	cmd.Env = clientEnvironment(t, server.URL)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	got := signedTimes.ReplaceAllString(out.String(), "TIME")
	var results any
	if err := json.Unmarshal([]byte(got), &results); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	pretty, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "boto3_round.json", string(pretty)+"\n")
}

func TestAWSCLI(t *testing.T) {
	installed(t, "aws", "--version")
	d := newDoor(time.Now)
	server := httptest.NewServer(d)
	defer server.Close()
	environment := clientEnvironment(t, server.URL)
	for _, c := range []struct {
		want string
		args []string
		env  string
	}{
		{"IN_PROGRESS\n", []string{"network-firewall", "start-flow-capture", "--firewall-arn", firewallArn, "--availability-zone", "eu-west-1a",
			"--minimum-flow-age-in-seconds", "60", "--flow-filters", `[{"SourceAddress":{"AddressDefinition":"10.0.0.0/8"},"Protocols":["6"]}]`, "--query", "FlowOperationStatus", "--output", "text"}, ""},
		{"10.77.1.2\tfd77:1::2\n", []string{"network-firewall", "list-flow-operation-results", "--firewall-arn", firewallArn, "--flow-operation-id", operationID,
			"--query", "Flows[].SourceAddress.AddressDefinition", "--output", "text"}, ""},
		{eniA + "\n", []string{"ec2", "describe-network-interfaces", "--filters", "Name=attachment.instance-id,Values=" + instanceA,
			"--query", "NetworkInterfaces[].NetworkInterfaceId", "--output", "text"}, ""},
		{testAccount + "\n", []string{"sts", "get-caller-identity", "--query", "Account", "--output", "text"}, ""},
		{"An error occurred (InvalidSignatureException) when calling the ListFirewalls operation: Credential should be scoped to a valid region, not 'mars-1'. ",
			[]string{"network-firewall", "list-firewalls"}, "AWS_DEFAULT_REGION=mars-1"},
		{"An error occurred (UnrecognizedClientException) when calling the ListFirewalls operation: The security token included in the request is invalid.",
			[]string{"network-firewall", "list-firewalls"}, "AWS_ACCESS_KEY_ID=AKIDOTHER"},
	} {
		cmd := exec.Command("aws", c.args...)
		cmd.Env = append(append([]string{}, environment...), c.env)
		out, err := cmd.CombinedOutput()
		if c.env == "" && (err != nil || string(out) != c.want) || c.env != "" && !bytes.Contains(out, []byte(c.want)) {
			t.Errorf("aws %v: %v %s", c.args[:2], err, out)
		}
	}
}

func TestGoSDKReadsEveryAuthenticationError(t *testing.T) {
	d := newDoor(time.Now)
	server := httptest.NewServer(d)
	defer server.Close()
	ctx := t.Context()
	for _, c := range []struct {
		name                string
		clients             clients
		firewall, ec2s, sts string
	}{
		{"wrong secret", sdkClients(server.URL, testKey, "wrong", testRegion), "InvalidSignatureException", "SignatureDoesNotMatch", "SignatureDoesNotMatch"},
		{"wrong region", sdkClients(server.URL, testKey, testSecret, "us-east-1"), "InvalidSignatureException", "SignatureDoesNotMatch", "SignatureDoesNotMatch"},
		{"unknown key", sdkClients(server.URL, "AKIDOTHER", testSecret, testRegion), "UnrecognizedClientException", "AuthFailure", "InvalidClientTokenId"},
	} {
		_, err := c.clients.firewall.ListFirewalls(ctx, &nfw.ListFirewallsInput{})
		_, ec2Err := c.clients.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
		_, stsErr := c.clients.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		got := []string{codeOf(err), codeOf(ec2Err), codeOf(stsErr)}
		if diff := cmp.Diff([]string{c.firewall, c.ec2s, c.sts}, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	anonymous := nfw.New(nfw.Options{Region: testRegion, BaseEndpoint: &server.URL, Credentials: aws.AnonymousCredentials{}})
	if _, err := anonymous.ListFirewalls(ctx, &nfw.ListFirewallsInput{}); codeOf(err) != "MissingAuthenticationTokenException" {
		t.Errorf("unsigned: %v", err)
	}
}

// TestGoSDKCorrectsItsClock has the server's clock run 16 minutes ahead: the SDK
// learns the difference from the Date of the error and signs anew.
func TestGoSDKCorrectsItsClock(t *testing.T) {
	d := newDoor(func() time.Time { return time.Now().Add(16 * time.Minute) })
	server := httptest.NewServer(d)
	defer server.Close()
	creds := sdkClients(server.URL, testKey, testSecret, testRegion).firewall.Options().Credentials
	client := nfw.New(nfw.Options{Region: testRegion, BaseEndpoint: &server.URL, Credentials: creds})
	if _, err := client.ListFirewalls(t.Context(), &nfw.ListFirewallsInput{}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"network-firewall ListFirewalls InvalidSignatureException", "network-firewall ListFirewalls OK"}, d.observed); diff != "" {
		t.Error(diff)
	}
}

func TestGoSDKReadsTypedErrors(t *testing.T) {
	d := newDoor(time.Now)
	server := httptest.NewServer(d)
	defer server.Close()
	client := sdkClients(server.URL, testKey, testSecret, testRegion).firewall
	for kind, code := range map[sluice.Kind]string{
		sluice.KindInvalidRequest: "InvalidRequestException", sluice.KindNotFound: "ResourceNotFoundException", sluice.KindInvalidToken: "InvalidTokenException",
		sluice.KindInvalidOperation: "InvalidOperationException", sluice.KindThrottling: "ThrottlingException", sluice.KindInternal: "InternalServerError",
	} {
		d.backend.err = sluice.Errorf(kind, "text")
		_, err := client.DeleteFirewall(t.Context(), &nfw.DeleteFirewallInput{FirewallArn: aws.String(firewallArn)})
		if codeOf(err) != code {
			t.Errorf("kind %d reads as %v, want %s", kind, err, code)
		}
	}
}

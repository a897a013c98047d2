package api

import (
	"context"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"sluice"
)

// update writes the answers of testdata anew: go test ./api -run Golden -update.
var update = flag.Bool("update", false, "write the golden answers")

// operationCase is the proof that an operation owes.
type operationCase struct {
	service, name string
	// request is answered with testdata/<name>.json or .xml, unless success is empty.
	request string
	refused string // the code that even a proper request gets; "" where it succeeds
	// malformed breaks the shape of a member or parameter.
	malformed, malformedCode, malformedMessage string
	// wrong is a state in which the request can't be carried out: an error of the
	// backend, or a request that asks for what is not there.
	wrong        *sluice.Error
	wrongRequest string
	wrongCode    string
	// sdk makes the call through a real client.
	sdk func(context.Context, clients) (any, error)
}

type clients struct {
	firewall *networkfirewall.Client
	ec2      *ec2.Client
	sts      *sts.Client
}

func operationCases() map[string]operationCase {
	out := map[string]operationCase{}
	for _, cases := range [][]operationCase{
		flowCases(), policyCases(), firewallCases(), firewallChangeCases(), tagCases(), transitGatewayCases(), ec2Cases(), stsCases(),
		mirrorCases(), resourceTagCases(), groupCases(),
	} {
		for _, c := range cases {
			out[c.service+" "+c.name] = c
		}
	}
	return out
}

// eachOperation walks the operation table and fails where a proof is missing.
func eachOperation(t *testing.T, check func(*testing.T, operationCase)) {
	cases := operationCases()
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			c, ok := cases[op.service+" "+op.name]
			if !ok {
				t.Fatal("the operation has no case")
			}
			check(t, c)
			delete(cases, op.service+" "+op.name)
		})
	}
	for name := range cases {
		t.Errorf("case %s is of no operation", name)
	}
}

func TestEveryOperationDeniesTheUnsigned(t *testing.T) {
	eachOperation(t, func(t *testing.T, c operationCase) {
		d := fixedDoor()
		suffix := map[string]string{serviceFirewall: "Exception"}[c.service]
		got := d.send(t, serviceRequest(c.service, c.name, c.request))
		if got.status != http.StatusForbidden || got.code != "MissingAuthenticationToken"+suffix {
			t.Errorf("unsigned: %d %s", got.status, got.code)
		}
		r := signed(t, serviceRequest(c.service, c.name, c.request), c.service, "another body")
		want := map[string]string{serviceFirewall: "InvalidSignatureException"}[c.service]
		if want == "" {
			want = "SignatureDoesNotMatch"
		}
		if got := d.send(t, r); got.status != http.StatusForbidden || got.code != want {
			t.Errorf("signed wrongly: %d %s", got.status, got.code)
		}
		if d.backend.asked != nil {
			t.Error("a denied request reached the backend")
		}
	})
}

func TestEveryOperationRefusesTheMalformed(t *testing.T) {
	eachOperation(t, func(t *testing.T, c operationCase) {
		if c.malformed == "" {
			if c.refused == "" {
				t.Fatal("no malformed request in the case")
			}
			return
		}
		d := fixedDoor()
		d.call(t, c.service, c.name, c.malformed).want(t, http.StatusBadRequest, c.malformedCode, c.malformedMessage)
		if d.backend.asked != nil {
			t.Error("a malformed request reached the backend")
		}
		if c.service != serviceFirewall {
			return
		}
		d.call(t, c.service, c.name, "[]").want(t, http.StatusBadRequest, "SerializationException", "Start of list found where not expected")
		d.call(t, c.service, c.name, "{").want(t, http.StatusBadRequest, "SerializationException", "")
		d.call(t, c.service, c.name, "").want(t, http.StatusBadRequest, "SerializationException", "")
	})
}

func TestEveryOperationSaysWhatIsWrong(t *testing.T) {
	eachOperation(t, func(t *testing.T, c operationCase) {
		d := fixedDoor()
		request := c.request
		if c.wrongRequest != "" {
			request = c.wrongRequest
		}
		message := ""
		if c.wrong != nil {
			d.backend.err = c.wrong
			message = c.wrong.Message
		}
		if c.wrongCode == "" {
			t.Fatal("no wrong state in the case")
		}
		d.call(t, c.service, c.name, request).want(t, http.StatusBadRequest, c.wrongCode, message)
	})
}

var requestIDs = regexp.MustCompile(`(<[rR]equestI[dD]>)[0-9a-f-]{36}<`)

func TestEveryOperationAnswersAsTheGoldenFile(t *testing.T) {
	eachOperation(t, func(t *testing.T, c operationCase) {
		d := fixedDoor()
		got := d.call(t, c.service, c.name, c.request)
		if c.refused != "" {
			got.want(t, http.StatusBadRequest, c.refused, "")
			return
		}
		if got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
		extension, contentType := ".xml", contentTypeXML
		switch c.service {
		case serviceFirewall:
			extension, contentType = ".json", contentTypeJSON
		case serviceSTS:
			contentType = "text/xml"
		}
		if got.header.Get("Content-Type") != contentType || got.header.Get("Date") != "Fri, 02 Jan 2026 03:04:05 GMT" {
			t.Errorf("headers are %v", got.header)
		}
		if id := got.header["x-amzn-RequestId"]; len(id) != 1 || len(id[0]) != 36 {
			t.Errorf("x-amzn-RequestId is %v", id)
		}
		golden(t, c.name+extension, requestIDs.ReplaceAllString(got.body, "${1}REQUEST-ID<")+"\n")
		if want := []string{c.service + " " + c.name + " OK"}; strings.Join(d.observed, ",") != want[0] {
			t.Errorf("observed %q, want %q", d.observed, want)
		}
	})
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestEveryOperationWorksThroughTheSDK(t *testing.T) {
	d := newDoor(time.Now)
	server := httptest.NewServer(d)
	defer server.Close()
	cl := sdkClients(server.URL, testKey, testSecret, testRegion)
	eachOperation(t, func(t *testing.T, c operationCase) {
		if c.sdk == nil {
			t.Fatal("no call through the SDK in the case")
		}
		out, err := c.sdk(t.Context(), cl)
		if c.refused != "" {
			if got := codeOf(err); got != c.refused {
				t.Errorf("the SDK reads %v, want %s", err, c.refused)
			}
			return
		}
		if err != nil || out == nil {
			t.Error(err)
		}
	})
}

func sdkClients(url, key, secret, region string) clients {
	creds := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}, nil
	})
	cfg := aws.Config{Region: region, BaseEndpoint: &url, Credentials: creds, RetryMaxAttempts: 1}
	return clients{networkfirewall.NewFromConfig(cfg), ec2.NewFromConfig(cfg), sts.NewFromConfig(cfg)}
}

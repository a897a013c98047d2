package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	testKey    = "AKIDEXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	testARN    = "arn:aws:iam::000000000000:user/operator"
)

type oneKey struct{}

func (oneKey) Secret(id string) (string, string, bool) {
	if id != testKey {
		return "", "", false
	}
	return testSecret, testARN, true
}

var now = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

func verifier(region string, at time.Time) *Verifier {
	return &Verifier{Keys: oneKey{}, Region: region, Clock: func() time.Time { return at }}
}

// TestPublishedSignatures checks two signatures that AWS has published: get-vanilla
// of its test suite, and the worked example of its general reference.
func TestPublishedSignatures(t *testing.T) {
	vanilla := httptest.NewRequest("GET", "http://example.amazonaws.com/", nil)
	vanilla.Header.Set("X-Amz-Date", "20150830T123600Z")
	vanilla.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "+
		"SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")
	if _, err := verifier("us-east-1", now).Verify(vanilla, nil, "service"); err != nil {
		t.Errorf("get-vanilla: %v", err)
	}
	users := httptest.NewRequest("GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", nil)
	users.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	users.Header.Set("X-Amz-Date", "20150830T123600Z")
	users.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "+
		"SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")
	id, err := verifier("us-east-1", now).Verify(users, nil, "iam")
	if err != nil {
		t.Errorf("ListUsers: %v", err)
	}
	if want := (Identity{testKey, testARN}); id != want {
		t.Errorf("identity is %+v, want %+v", id, want)
	}
}

// request makes a POST to network-firewall.
func request(body string) *http.Request {
	r := httptest.NewRequest("POST", "http://127.0.0.1:7770/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", "NetworkFirewall_20201112.ListFirewalls")
	return r
}

func sum(body string) string {
	h := sha256.Sum256([]byte(body))
	return hex.EncodeToString(h[:])
}

// sign signs as the Go SDK does.
func sign(t *testing.T, r *http.Request, secret, body, service, region string, at time.Time) {
	t.Helper()
	creds := aws.Credentials{AccessKeyID: testKey, SecretAccessKey: secret}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, sum(body), service, region, at); err != nil {
		t.Fatal(err)
	}
}

const service, region = "network-firewall", "eu-west-1"

func TestSDKSignaturesAreAccepted(t *testing.T) {
	for name, prepare := range map[string]func(*http.Request){
		"plain":               func(*http.Request) {},
		"query":               func(r *http.Request) { r.URL.RawQuery = "b=2&a=x%20y&a=%2F+1&c" },
		"path":                func(r *http.Request) { r.URL.Path = "/prefix/a b/" },
		"folded header":       func(r *http.Request) { r.Header.Set("X-Amz-User-Agent", "  a   b  ") },
		"several values":      func(r *http.Request) { r.Header["X-Amz-Meta"] = []string{"one", " two"} },
		"stated payload hash": func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", sum("{}")) },
	} {
		t.Run(name, func(t *testing.T) {
			r := request("{}")
			prepare(r)
			sign(t, r, testSecret, "{}", service, region, now)
			if _, err := verifier(region, now).Verify(r, []byte("{}"), service); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUnsignedPayloadLeavesTheBodyOut(t *testing.T) {
	r := request("{}")
	r.Header.Set("X-Amz-Content-Sha256", UnsignedPayload)
	creds := aws.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, UnsignedPayload, service, region, now); err != nil {
		t.Fatal(err)
	}
	if _, err := verifier(region, now).Verify(r, []byte("whatever"), service); err != nil {
		t.Error(err)
	}
	r.Header.Del("X-Amz-Content-Sha256")
	if _, err := verifier(region, now).Verify(r, []byte("whatever"), service); err == nil {
		t.Error("a signature over UNSIGNED-PAYLOAD passes without the header that says so")
	}
}

func presigned(t *testing.T, expires string) *http.Request {
	t.Helper()
	r := httptest.NewRequest("GET", "http://127.0.0.1:7770/?Action=DescribeVpcs&Version=2016-11-15&X-Amz-Expires="+expires, nil)
	creds := aws.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret}
	uri, _, err := v4.NewSigner().PresignHTTP(t.Context(), creds, r, sum(""), "ec2", region, now)
	if err != nil {
		t.Fatal(err)
	}
	return httptest.NewRequest("GET", uri, nil)
}

func TestPresignedRequests(t *testing.T) {
	for _, c := range []struct {
		name, expires string
		at            time.Time
		want          Failure // 0: accepted
	}{
		{"in time", "60", now.Add(59 * time.Second), 0},
		{"a week", "604800", now.Add(6 * 24 * time.Hour), 0},
		{"too late", "60", now.Add(61 * time.Second), Expired},
		{"before its time", "60", now.Add(-16 * time.Minute), NotYetCurrent},
		{"longer than a week", "604801", now, Incomplete},
		{"no number", "soon", now, Incomplete},
		{"absent", "", now, Incomplete},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := verifier(region, c.at).Verify(presigned(t, c.expires), nil, "ec2")
			check(t, err, c.want, "")
		})
	}
	if got := Scope(presigned(t, "60")); got != "ec2" {
		t.Errorf("Scope is %q", got)
	}
}

func check(t *testing.T, err error, want Failure, message string) {
	t.Helper()
	if want == 0 {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("error is %v, want failure %d", err, want)
	}
	if e.Failure != want || message != "" && e.Message != message {
		t.Errorf("failure %d %q, want %d %q", e.Failure, e.Message, want, message)
	}
	if strings.Contains(e.Message, testSecret) {
		t.Error("the message shows the secret")
	}
}

func authorization(change func(string) string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", change(r.Header.Get("Authorization"))) }
}

func replace(old, new string) func(*http.Request) {
	return authorization(func(s string) string { return strings.Replace(s, old, new, 1) })
}

// TestRefusals goes through the table of the front end's answers. Every case starts
// from a request that would be accepted.
func TestRefusals(t *testing.T) {
	const missing = "Authorization header requires"
	for _, c := range []struct {
		name    string
		change  func(*http.Request)
		failure Failure
		message string // "" is any; a prefix when it ends in "…"
	}{
		{"no header", func(r *http.Request) { r.Header.Del("Authorization") }, MissingToken, "Missing Authentication Token"},
		{"basic", authorization(func(string) string { return "Basic Zm9vOmJhcg==" }), MissingToken, "Missing Authentication Token"},
		{"no credential", replace("Credential=", "C="), Incomplete, missing + " 'Credential' parameter. Authorization=…"},
		{"no signature", replace("Signature=", "S="), Incomplete, missing + " 'Signature' parameter. Authorization=…"},
		{"no signed headers", replace("SignedHeaders=", "H="), Incomplete, missing + " 'SignedHeaders' parameter. Authorization=…"},
		{"nothing", authorization(func(string) string { return "AWS4-HMAC-SHA256" }), Incomplete,
			missing + " 'Credential' parameter. " + missing + " 'Signature' parameter. " + missing + " 'SignedHeaders' parameter. Authorization=AWS4-HMAC-SHA256"},
		{"no date", func(r *http.Request) { r.Header.Del("X-Amz-Date") }, Incomplete,
			missing + " existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=…"},
		{"bad date", func(r *http.Request) { r.Header.Set("X-Amz-Date", "2015-08-30") }, Incomplete,
			"Date must be in ISO-8601 'basic format'. Got '2015-08-30'. …"},
		{"algorithm", replace("SHA256", "SHA512"), Incomplete, "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA512'…"},
		{"four parts", replace("/aws4_request", ""), Incomplete, "Credential must have exactly 5 slash-delimited elements, " +
			"e.g. keyid/date/region/service/term, got 'AKIDEXAMPLE/20150830/eu-west-1/network-firewall'"},
		{"region", replace("eu-west-1", "mars"), WrongScope, "Credential should be scoped to a valid region, not 'mars'. "},
		{"service", replace("network-firewall", "s3"), WrongScope, "Credential should be scoped to correct service: 'network-firewall'. "},
		{"terminator", replace("aws4_request", "aws5"), WrongScope,
			"Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5'. "},
		{"day", replace("20150830", "20150829"), WrongScope, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: " +
			"'20150829' != '20150830', from '20150830T123600Z'. "},
		{"everything in the scope", replace("20150830/eu-west-1/network-firewall/aws4_request", "1/2/3/4"), WrongScope,
			"Credential should be scoped to a valid region, not '2'. Credential should be scoped to correct service: 'network-firewall'. …"},
		{"host unsigned", replace("host;", ""), Mismatch, "'Host' must be a 'SignedHeader' in the AWS Authorization."},
		{"target unsigned", replace(";x-amz-target", ""), Mismatch, "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."},
		{"unknown key", replace("AKIDEXAMPLE", "AKIDOTHER"), UnknownKey, "The security token included in the request is invalid."},
		{"signature", replace("Signature=", "Signature=0"), Mismatch, messageMismatch},
		{"target changed", func(r *http.Request) { r.Header.Set("X-Amz-Target", "NetworkFirewall_20201112.DeleteFirewall") }, Mismatch, messageMismatch},
		{"host changed", func(r *http.Request) { r.Host = "elsewhere" }, Mismatch, messageMismatch},
		{"method changed", func(r *http.Request) { r.Method = "PUT" }, Mismatch, messageMismatch},
		{"path changed", func(r *http.Request) { r.URL.Path = "/other" }, Mismatch, messageMismatch},
		{"query changed", func(r *http.Request) { r.URL.RawQuery = "a=1" }, Mismatch, messageMismatch},
		{"query malformed", func(r *http.Request) { r.URL.RawQuery = "a=%zz" }, Incomplete, ""},
		{"false payload hash", func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", sum("other")) }, Mismatch, messageMismatch},
		{"both forms", func(r *http.Request) { r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256" }, Mismatch, ""},
		{"session token", func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "t") }, UnknownKey, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request("{}")
			sign(t, r, testSecret, "{}", service, region, now)
			c.change(r)
			_, err := verifier(region, now).Verify(r, []byte("{}"), service)
			if prefix, cut := strings.CutSuffix(c.message, "…"); cut {
				if !strings.HasPrefix(err.Error(), prefix) {
					t.Errorf("message is %q", err)
				}
				c.message = ""
			}
			check(t, err, c.failure, c.message)
		})
	}
}

func TestBodyAndSecretAreSigned(t *testing.T) {
	r := request("{}")
	sign(t, r, testSecret, "{}", service, region, now)
	_, err := verifier(region, now).Verify(r, []byte(`{"a":1}`), service)
	check(t, err, Mismatch, messageMismatch)
	r = request("{}")
	sign(t, r, "other", "{}", service, region, now)
	_, err = verifier(region, now).Verify(r, []byte("{}"), service)
	check(t, err, Mismatch, messageMismatch)
}

func TestSessionTokensAreNeverValid(t *testing.T) {
	r := request("{}")
	creds := aws.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret, SessionToken: "token"}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, sum("{}"), service, region, now); err != nil {
		t.Fatal(err)
	}
	_, err := verifier(region, now).Verify(r, []byte("{}"), service)
	check(t, err, UnknownKey, messageUnknown)
}

func TestClockSkew(t *testing.T) {
	for _, c := range []struct {
		off     time.Duration // of the server's clock
		failure Failure
		message string
	}{
		{15 * time.Minute, 0, ""},
		{-15 * time.Minute, 0, ""},
		{15*time.Minute + time.Second, Expired,
			"Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T125101Z - 15 min.)"},
		{-15*time.Minute - time.Second, NotYetCurrent,
			"Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T122059Z + 15 min.)"},
	} {
		r := request("{}")
		sign(t, r, testSecret, "{}", service, region, now)
		_, err := verifier(region, now.Add(c.off)).Verify(r, []byte("{}"), service)
		check(t, err, c.failure, c.message)
	}
}

func TestRequestsOverARealConnection(t *testing.T) {
	v := verifier(region, now)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, err = v.Verify(r, body, service)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
		}
	}))
	defer server.Close()
	r, err := http.NewRequest("POST", server.URL+"/p%2Fq/?x=%7E*'&y", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "NetworkFirewall_20201112.ListFirewalls")
	sign(t, r, testSecret, "{}", service, region, now)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != 200 {
		t.Errorf("%d %s", answer.StatusCode, text)
	}
}

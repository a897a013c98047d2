package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	testKey       = "AKIDEXAMPLE"
	testSecret    = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	testPrincipal = "arn:aws:iam::000000000000:user/operator"
)

type oneKey struct{}

func (oneKey) Secret(id string) (string, string, bool) {
	return testSecret, testPrincipal, id == testKey
}

// door is a handler in front of a fake backend, and what it logged and observed.
type door struct {
	http.Handler
	backend  *fakeBackend
	log      *bytes.Buffer
	mu       sync.Mutex
	observed []string
}

func newDoor(clock func() time.Time) *door {
	d := &door{backend: newFakeBackend(), log: &bytes.Buffer{}}
	d.Handler = New(Options{
		Backend: d.backend, Keys: oneKey{}, TokenKey: []byte("token key"), Clock: clock, MaxBody: 1 << 20,
		Logger: slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observer: func(service, operation, code string, took time.Duration) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.observed = append(d.observed, service+" "+operation+" "+code)
		},
	})
	return d
}

// fixedDoor has its clock stand at the time of the fixture.
func fixedDoor() *door { return newDoor(func() time.Time { return fixtureTime }) }

func jsonRequest(operation, body string) *http.Request {
	r := httptest.NewRequest("POST", "http://127.0.0.1:7770/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", "NetworkFirewall_20201112."+operation)
	return r
}

func formRequest(body string) *http.Request {
	r := httptest.NewRequest("POST", "http://127.0.0.1:7770/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return r
}

// serviceRequest makes a request of an operation: JSON, or the parameters after
// Action and Version.
func serviceRequest(service, operation, body string) *http.Request {
	version := map[string]string{serviceEC2: versionEC2, serviceSTS: versionSTS}[service]
	if version == "" {
		return jsonRequest(operation, body)
	}
	form := "Action=" + operation + "&Version=" + version
	if body != "" {
		form += "&" + body
	}
	return formRequest(form)
}

func signed(t testing.TB, r *http.Request, service, body string) *http.Request {
	t.Helper()
	h := sha256.Sum256([]byte(body))
	creds := aws.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hex.EncodeToString(h[:]), service, testRegion, fixtureTime); err != nil {
		t.Fatal(err)
	}
	return r
}

// answered is an answer, taken apart as a client would.
type answered struct {
	status        int
	code, message string
	header        http.Header
	body          string
}

func (d *door) send(t testing.TB, r *http.Request) answered {
	t.Helper()
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	out := answered{status: w.Code, header: w.Result().Header, body: w.Body.String()}
	if w.Code == http.StatusOK {
		return out
	}
	switch {
	case strings.Contains(w.Header().Get("Content-Type"), "json"):
		var e struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
			t.Fatalf("error is not JSON: %s", w.Body)
		}
		out.code, out.message = e.Type, e.Message
	case strings.Contains(out.body, "<Code>"):
		var e struct {
			EC2 struct{ Code, Message string } `xml:"Errors>Error"`
			STS struct{ Code, Message string } `xml:"Error"`
		}
		if err := xml.Unmarshal(w.Body.Bytes(), &e); err != nil {
			t.Fatalf("error is not XML: %s", w.Body)
		}
		out.code, out.message = e.EC2.Code+e.STS.Code, e.EC2.Message+e.STS.Message
	}
	return out
}

// call sends a signed request of an operation.
func (d *door) call(t testing.TB, service, operation, body string) answered {
	t.Helper()
	r := serviceRequest(service, operation, body)
	form := body
	if service != serviceFirewall {
		form = "Action=" + operation + "&Version=" + map[string]string{serviceEC2: versionEC2, serviceSTS: versionSTS}[service]
		if body != "" {
			form += "&" + body
		}
	}
	return d.send(t, signed(t, r, service, form))
}

func (a answered) want(t testing.TB, status int, code, message string) {
	t.Helper()
	if a.status != status || a.code != code || message != "" && a.message != message {
		t.Errorf("got  %d %s %q\nwant %d %s %q", a.status, a.code, a.message, status, code, message)
	}
}

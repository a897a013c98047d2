package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sluice"
)

func TestFrontEndChecksComeBeforeTheSignature(t *testing.T) {
	large := `{"a":"` + strings.Repeat("x", 1<<20) + `"}`
	target := func(r *http.Request, value string) *http.Request {
		r.Header.Set("X-Amz-Target", value)
		return r
	}
	contentType := func(r *http.Request, value string) *http.Request {
		r.Header.Set("Content-Type", value)
		return r
	}
	for _, c := range []struct {
		name    string
		request *http.Request
		status  int
		code    string
	}{
		{"body over the limit", jsonRequest("ListFirewalls", large), 413, "RequestEntityTooLargeException"},
		{"body over the limit that is of no service", httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader(large))), 413, ""},
		{"form over the limit", formRequest(large), 413, "RequestEntityTooLarge"},
		{"empty body", jsonRequest("ListFirewalls", ""), 400, "SerializationException"},
		{"broken JSON before an unknown target", jsonRequest("Nonsense", "{"), 400, "SerializationException"},
		{"unknown operation", jsonRequest("Nonsense", "{}"), 400, "UnknownOperationException"},
		{"operation of a later time", jsonRequest("CreateRuleGroup", "{}"), 400, "UnknownOperationException"},
		{"operation of EC2", jsonRequest("DescribeVpcs", "{}"), 400, "UnknownOperationException"},
		{"other service", target(jsonRequest("", "{}"), "DynamoDB_20120810.ListTables"), 400, "UnknownOperationException"},
		{"no target", contentType(httptest.NewRequest("POST", "/", strings.NewReader("{}")), contentTypeJSON), 400, "UnknownOperationException"},
		{"known operation", jsonRequest("ListFirewalls", "{}"), 403, "MissingAuthenticationTokenException"},
		{"JSON with a charset", contentType(jsonRequest("ListFirewalls", "{}"), "application/json; charset=utf-8"), 403, "MissingAuthenticationTokenException"},
		{"malformed form", formRequest("Action=%zz"), 400, "MalformedQueryString"},
		{"form without a signature", formRequest("Action=Nonsense"), 403, "MissingAuthenticationToken"},
		{"GET without a signature", httptest.NewRequest("GET", "/?Action=DescribeVpcs", nil), 403, "MissingAuthenticationToken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fixedDoor().send(t, c.request).want(t, c.status, c.code, "")
		})
	}
}

func TestWhatIsNoRequestOfAnyService(t *testing.T) {
	put := jsonRequest("ListFirewalls", "{}")
	put.Method = "PUT"
	xml := jsonRequest("ListFirewalls", "{}")
	xml.Header.Set("Content-Type", "text/xml")
	bare := jsonRequest("ListFirewalls", "{}")
	bare.Header.Del("Content-Type")
	for _, r := range []*http.Request{httptest.NewRequest("GET", "/", nil), httptest.NewRequest("POST", "/", nil), put, xml, bare} {
		got := fixedDoor().send(t, r)
		if got.status != 404 || got.body != "<UnknownOperationException/>\n" {
			t.Errorf("%s: %d %s", r.Method, got.status, got.body)
		}
	}
}

func TestBodyOfUnknownLengthIsBounded(t *testing.T) {
	r := jsonRequest("ListFirewalls", "")
	r.ContentLength = -1
	endless := &endlessBody{}
	r.Body = io.NopCloser(endless)
	fixedDoor().send(t, r).want(t, 413, "RequestEntityTooLargeException", "The request body is larger than 1048576 bytes")
	if endless.read > 4<<20 {
		t.Errorf("%d bytes were read", endless.read)
	}
}

type endlessBody struct{ read int }

func (b *endlessBody) Read(p []byte) (int, error) {
	b.read += len(p)
	return copy(p, bytes.Repeat([]byte{' '}, len(p))), nil
}

func TestErrorsAreReadableToAllClients(t *testing.T) {
	d := fixedDoor()
	got := d.send(t, jsonRequest("ListFirewalls", "{}"))
	if h := got.header["x-amzn-ErrorType"]; len(h) != 1 || h[0] != got.code {
		t.Errorf("x-amzn-ErrorType is %v", h)
	}
	if got.body != `{"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}` {
		t.Error(got.body)
	}
	if got.header.Get("Date") == "" || got.header.Get("Age") != "" || len(got.header["x-amzn-RequestId"]) != 1 {
		t.Errorf("headers are %v", got.header)
	}
	got = d.send(t, formRequest("Action=DescribeVpcs&Version="+versionEC2))
	golden(t, "ec2_error.xml", requestIDs.ReplaceAllString(got.body, "${1}REQUEST-ID<")+"\n")
	got = d.send(t, formRequest("Action=GetCallerIdentity&Version="+versionSTS))
	golden(t, "sts_error.xml", requestIDs.ReplaceAllString(got.body, "${1}REQUEST-ID<")+"\n")
}

func TestOnlyErrorsMadeForCallersAreShown(t *testing.T) {
	for _, inside := range []error{
		errors.New("dial /var/lib/secret: refused"),
		sluice.Errorf(sluice.KindInternal, "dial /var/lib/secret: refused"),
	} {
		for service, want := range map[string]string{serviceFirewall: "InternalServerError", serviceEC2: "InternalError"} {
			d := fixedDoor()
			d.backend.err = inside
			operation, body := "ListFirewalls", "{}"
			if service == serviceEC2 {
				operation, body = "DescribeVpcs", ""
			}
			got := d.call(t, service, operation, body)
			got.want(t, 500, want, messageInternal)
			if strings.Contains(got.body, "secret") {
				t.Errorf("the answer shows the inside: %s", got.body)
			}
			if id := got.header["x-amzn-RequestId"][0]; !strings.Contains(d.log.String(), id) || !strings.Contains(d.log.String(), "/var/lib/secret") {
				t.Errorf("the log does not join the request and the cause: %s", d.log)
			}
			if want := service + " " + operation + " " + want; d.observed[0] != want {
				t.Errorf("observed %q, want %q", d.observed[0], want)
			}
		}
	}
}

func TestPanicsAreCaught(t *testing.T) {
	d := fixedDoor()
	d.backend.panics = true
	got := d.call(t, serviceFirewall, "ListFirewalls", "{}")
	got.want(t, 500, "InternalServerError", messageInternal)
	if !strings.Contains(d.log.String(), "the inside of the process") || strings.Contains(got.body, "inside of") {
		t.Errorf("log %s, answer %s", d.log, got.body)
	}
	d.backend.panics = false
	if got := d.call(t, serviceFirewall, "ListFirewalls", "{}"); got.status != 200 {
		t.Errorf("after a panic: %d", got.status)
	}
}

func TestWrappedErrorsKeepTheirKind(t *testing.T) {
	d := fixedDoor()
	d.backend.err = errors.Join(errors.New("context"), sluice.Errorf(sluice.KindNotFound, "gone"))
	d.call(t, serviceFirewall, "ListFirewalls", "{}").want(t, 400, "ResourceNotFoundException", "gone")
}

func TestEveryKindHasACode(t *testing.T) {
	for kind := sluice.KindValidation; kind <= sluice.KindUnsupported; kind++ {
		for service, operation := range map[string]string{serviceFirewall: "ListFirewalls", serviceEC2: "DescribeVpcs"} {
			d := fixedDoor()
			d.backend.err = sluice.Errorf(kind, "kind %d", kind)
			body := "{}"
			if service == serviceEC2 {
				body = ""
			}
			if got := d.call(t, service, operation, body); got.status/100 != 4 && got.code != "RequestLimitExceeded" || got.message != d.backend.err.Error() {
				t.Errorf("%s, kind %d: %d %s %q", service, kind, got.status, got.code, got.message)
			}
		}
	}
}

func TestSecretsAndSignaturesAreNotLogged(t *testing.T) {
	d := fixedDoor()
	d.call(t, serviceFirewall, "ListFirewalls", "{}")
	r := signed(t, jsonRequest("ListFirewalls", "{}"), serviceFirewall, "other")
	d.send(t, r)
	_, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	if strings.Contains(d.log.String(), testSecret) || strings.Contains(d.log.String(), signature) {
		t.Errorf("the log holds a secret: %s", d.log)
	}
}

func TestQueryProtocolErrors(t *testing.T) {
	for _, c := range []struct {
		service, body string
		status        int
		code, message string
	}{
		{serviceEC2, "Version=2016-11-15", 400, "MissingAction", "MissingAction: The request is missing the action parameter."},
		{serviceEC2, "Action=DescribeFoo&Version=2016-11-15", 400, "InvalidAction", "The action DescribeFoo is not valid for this web service."},
		{serviceEC2, "Action=GetCallerIdentity&Version=2016-11-15", 400, "InvalidAction", "The action GetCallerIdentity is not valid for this web service."},
		{serviceEC2, "Action=DescribeVpcs&Version=2008-01-01", 400, "NoSuchVersion", "The requested version (2008-01-01) of service AmazonEC2 does not exist"},
		{serviceEC2, "Action=DescribeVpcs", 400, "MissingParameter", "The request must contain the parameter Version"},
		{serviceSTS, "Action=AssumeRole&Version=2011-06-15", 400, "InvalidAction", "The action AssumeRole is not valid for this web service."},
		{serviceSTS, "Action=DescribeVpcs&Version=2016-11-15", 403, "SignatureDoesNotMatch", "Credential should be scoped to correct service: 'ec2'. "},
		{serviceEC2, "Action=GetCallerIdentity&Version=2011-06-15", 403, "SignatureDoesNotMatch", "Credential should be scoped to correct service: 'sts'. "},
	} {
		fixedDoor().send(t, signed(t, formRequest(c.body), c.service, c.body)).want(t, c.status, c.code, c.message)
	}
}

func TestGetCarriesTheSameParameters(t *testing.T) {
	r := httptest.NewRequest("GET", "http://127.0.0.1:7770/?Action=DescribeVpcs&Version=2016-11-15&VpcId.1="+vpcA, nil)
	if got := fixedDoor().send(t, signed(t, r, serviceEC2, "")); got.status != 200 || !strings.Contains(got.body, vpcA) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestRootIsTheAccount(t *testing.T) {
	d := fixedDoor()
	h := New(Options{Backend: d.backend, Keys: rootKey{}, Clock: func() time.Time { return fixtureTime }})
	d.Handler = h
	if got := d.call(t, serviceSTS, "GetCallerIdentity", ""); !strings.Contains(got.body, "<UserId>"+testAccount+"</UserId>") {
		t.Error(got.body)
	}
}

type rootKey struct{}

func (rootKey) Secret(string) (string, string, bool) {
	return testSecret, "arn:aws:iam::000000000000:root", true
}

package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzJSONBody sends any body to any operation with a proper signature: the door may
// refuse it, but never panics and never answers that the fault is its own.
func FuzzJSONBody(f *testing.F) {
	for _, c := range operationCases() {
		if c.service == serviceFirewall {
			f.Add(c.name, c.request)
			f.Add(c.name, c.malformed)
		}
	}
	f.Add("StartFlowCapture", `{"FirewallArn":null,"FlowFilters":[{"Protocols":[[]]}],"FlowFilters":{}}`)
	f.Add("CreateFirewallPolicy", `{"FirewallPolicyName":"p","FirewallPolicy":`+fullPolicy+`}`)
	d := fixedDoor()
	f.Fuzz(func(t *testing.T, operation, body string) {
		d.log.Reset()
		d.observed = nil
		r := jsonRequest("", body)
		r.Header.Set("X-Amz-Target", targetPrefix+operation)
		got := d.send(t, signed(t, r, serviceFirewall, body))
		if got.status >= 500 {
			t.Errorf("%d: %s", got.status, d.log)
		}
	})
}

// FuzzQueryBody does the same for the Query protocol.
func FuzzQueryBody(f *testing.F) {
	for _, c := range operationCases() {
		if c.service == serviceEC2 {
			f.Add("Action=" + c.name + "&Version=" + versionEC2 + "&" + c.request)
			f.Add("Action=" + c.name + "&Version=" + versionEC2 + "&" + c.wrongRequest)
		}
	}
	f.Add("Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=tag:*&Filter.9.Value.9=%3F*&MaxResults=5&NextToken=%20")
	d := fixedDoor()
	f.Fuzz(func(t *testing.T, body string) {
		d.log.Reset()
		d.observed = nil
		got := d.send(t, signed(t, formRequest(body), serviceEC2, body))
		if got.status >= 500 {
			t.Errorf("%d: %s", got.status, d.log)
		}
	})
}

// FuzzAuthorization sends any Authorization, date and query with an honest body: the
// door never lets one in and never breaks.
func FuzzAuthorization(f *testing.F) {
	good := signed(f, jsonRequest("ListFirewalls", "{}"), serviceFirewall, "{}").Header.Get("Authorization")
	_, signature, _ := strings.Cut(good, "Signature=")
	f.Add(strings.Replace(good, "Signature=", "Signature=0", 1), "20260102T030405Z", "")
	f.Add(strings.Replace(good, "host;", "", 1), "20260102T030405Z", "a=1&b")
	f.Add("AWS4-HMAC-SHA256 Credential=/////, SignedHeaders=;;, Signature=,,", "Date", "%zz")
	f.Add("", "20260102T030405Z", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="+testKey+
		"/20260102/eu-west-1/network-firewall/aws4_request&X-Amz-Date=20260102T030405Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=0")
	d := fixedDoor()
	f.Fuzz(func(t *testing.T, authorization, date, query string) {
		d.log.Reset()
		d.observed = nil
		for _, r := range []*http.Request{jsonRequest("ListFirewalls", "{}"), httptest.NewRequest("GET", "/", nil), formRequest("Action=DescribeVpcs&Version=" + versionEC2)} {
			r.Header.Set("Authorization", authorization)
			r.Header.Set("X-Amz-Date", date)
			r.URL.RawQuery = query
			got := d.send(t, r)
			// A mutation may come upon the one signature that is right.
			if got.status < 400 && !strings.Contains(authorization, signature) || got.status >= 500 {
				t.Errorf("%d: %s", got.status, d.log)
			}
		}
	})
}

package api

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestAuthenticationErrorsOfEachProtocol goes through the failures in the codes of
// each service. Every request would be accepted but for the change.
func TestAuthenticationErrorsOfEachProtocol(t *testing.T) {
	const (
		token    = "The security token included in the request is invalid."
		mismatch = "The request signature we calculated does not match the signature you provided. " +
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
		skewed = "Signature expired: 20260102T030405Z is now earlier than 20260102T030406Z (20260102T031906Z - 15 min.)"
		region = "Credential should be scoped to a valid region, not 'mars'. "
	)
	type answer struct {
		status        int
		code, message string
	}
	edit := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
		}
	}
	for _, c := range []struct {
		name           string
		change         func(*http.Request)
		late           time.Duration
		json, ec2, sts answer
	}{
		{"unsigned", func(r *http.Request) { r.Header.Del("Authorization") }, 0,
			answer{403, "MissingAuthenticationTokenException", "Missing Authentication Token"},
			answer{403, "MissingAuthenticationToken", "Request is missing Authentication Token"},
			answer{403, "MissingAuthenticationToken", "Request is missing Authentication Token"}},
		{"incomplete", edit("Signature=", "S="), 0,
			answer{403, "IncompleteSignatureException", ""}, answer{400, "IncompleteSignature", ""}, answer{400, "IncompleteSignature", ""}},
		{"stale", func(*http.Request) {}, 15*time.Minute + time.Second,
			answer{403, "InvalidSignatureException", skewed}, answer{400, "RequestExpired", "Request has expired. " + skewed}, answer{403, "SignatureDoesNotMatch", skewed}},
		{"early", func(*http.Request) {}, -16 * time.Minute,
			answer{403, "InvalidSignatureException", ""}, answer{400, "RequestExpired", ""}, answer{403, "SignatureDoesNotMatch", ""}},
		{"region", edit(testRegion, "mars"), 0,
			answer{403, "InvalidSignatureException", region}, answer{403, "SignatureDoesNotMatch", region}, answer{403, "SignatureDoesNotMatch", region}},
		{"unknown key", edit(testKey, "AKIDOTHER"), 0,
			answer{403, "UnrecognizedClientException", token},
			answer{401, "AuthFailure", "AWS was not able to validate the provided access credentials"},
			answer{403, "InvalidClientTokenId", token}},
		{"session token", func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "t") }, 0,
			answer{403, "UnrecognizedClientException", token}, answer{401, "AuthFailure", ""}, answer{403, "InvalidClientTokenId", token}},
		{"signature", edit("Signature=", "Signature=f"), 0,
			answer{403, "InvalidSignatureException", mismatch}, answer{403, "SignatureDoesNotMatch", mismatch}, answer{403, "SignatureDoesNotMatch", mismatch}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for service, want := range map[string]answer{serviceFirewall: c.json, serviceEC2: c.ec2, serviceSTS: c.sts} {
				operation := map[string]string{serviceFirewall: "ListFirewalls", serviceEC2: "DescribeVpcs", serviceSTS: "GetCallerIdentity"}[service]
				version := map[string]string{serviceEC2: versionEC2, serviceSTS: versionSTS}[service]
				body := "{}"
				if service != serviceFirewall {
					body = "Action=" + operation + "&Version=" + version
				}
				r := serviceRequest(service, operation, strings.TrimPrefix(body, "Action="+operation+"&Version="+version))
				signed(t, r, service, body)
				c.change(r)
				d := newDoor(func() time.Time { return fixtureTime.Add(c.late) })
				d.send(t, r).want(t, want.status, want.code, want.message)
			}
		})
	}
}

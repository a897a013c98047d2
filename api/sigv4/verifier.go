package sigv4

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// Skew is how far the date of a signature may be from our own, either way (AWS:
	// 15 minutes for most services).
	Skew = 15 * time.Minute
	// MaxExpires is the longest life of a presigned request (AWS: seven days).
	MaxExpires = 7 * 24 * time.Hour
)

// Keys knows the access keys of the installation.
type Keys interface {
	// Secret returns the secret access key of an access key id and the ARN of the
	// principal that it stands for.
	Secret(accessKeyID string) (secret, principalARN string, ok bool)
}

// Verifier verifies requests for one region.
type Verifier struct {
	Keys   Keys
	Region string           // the only region in whose scope a request may be
	Clock  func() time.Time // the time of day
}

// Identity is who signed a request.
type Identity struct {
	AccessKeyID  string
	PrincipalARN string
}

// Scope returns the service that a request's credential names, without looking at
// anything else, and "" where there is none. It is a hint for dispatch and proves
// nothing.
func Scope(r *http.Request) string {
	params, ok := parseQuery(r.URL.RawQuery)
	if !ok {
		return ""
	}
	s, failure := readSigned(r, params)
	if failure != nil {
		return ""
	}
	return s.credential.service
}

// Verify checks that a request to a service was signed by a known key, not too long
// ago. The error is always an *Error.
func (v *Verifier) Verify(r *http.Request, body []byte, service string) (Identity, error) {
	params, ok := parseQuery(r.URL.RawQuery)
	if !ok {
		return Identity{}, &Error{Incomplete, "The query string is malformed. Re-examine the query-string parameters."}
	}
	s, failure := readSigned(r, params)
	if failure != nil {
		return Identity{}, failure
	}
	if failure := v.checkDate(s); failure != nil {
		return Identity{}, failure
	}
	if failure := v.checkScope(s, service); failure != nil {
		return Identity{}, failure
	}
	if failure := checkSignedHeaders(r, s.headers); failure != nil {
		return Identity{}, failure
	}
	secret, principal, ok := v.Keys.Secret(s.credential.accessKeyID)
	if !ok || secret == "" {
		return Identity{}, &Error{UnknownKey, messageUnknown}
	}
	payload, ok := payloadHash(r, params, body)
	if !ok {
		return Identity{}, &Error{Mismatch, messageMismatch}
	}
	want := signature(secret, s.date, s.credential, canonicalRequest(r, params, s.headers, payload))
	if subtle.ConstantTimeCompare([]byte(want), []byte(s.signature)) != 1 {
		return Identity{}, &Error{Mismatch, messageMismatch}
	}
	if s.token != "" || r.Header.Get("X-Amz-Security-Token") != "" {
		return Identity{}, &Error{UnknownKey, messageUnknown}
	}
	return Identity{AccessKeyID: s.credential.accessKeyID, PrincipalARN: principal}, nil
}

func (v *Verifier) checkDate(s signed) *Error {
	date, err := time.Parse(dateFormat, s.date)
	if err != nil {
		return &Error{Incomplete, "Date must be in ISO-8601 'basic format'. Got '" + clip(s.date) +
			"'. See http://en.wikipedia.org/wiki/ISO_8601"}
	}
	now := v.Clock().UTC()
	life := Skew
	if s.presigned {
		seconds, err := strconv.ParseUint(s.expires, 10, 32)
		if life = time.Duration(seconds) * time.Second; err != nil || life > MaxExpires {
			return &Error{Incomplete, "X-Amz-Expires must be a number of seconds from 0 to 604800, got '" + clip(s.expires) + "'"}
		}
	}
	minutes := int(life / time.Minute)
	if earliest := now.Add(-life); date.Before(earliest) {
		return &Error{Expired, fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - %d min.)",
			s.date, earliest.Format(dateFormat), now.Format(dateFormat), minutes)}
	}
	if latest := now.Add(Skew); date.After(latest) {
		return &Error{NotYetCurrent, fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + %d min.)",
			s.date, latest.Format(dateFormat), now.Format(dateFormat), int(Skew/time.Minute))}
	}
	return nil
}

func (v *Verifier) checkScope(s signed, service string) *Error {
	c := s.credential
	var wrong []string
	if c.region != v.Region {
		wrong = append(wrong, "Credential should be scoped to a valid region, not '"+clip(c.region)+"'. ")
	}
	if c.service != service {
		wrong = append(wrong, "Credential should be scoped to correct service: '"+service+"'. ")
	}
	if c.terminator != terminator {
		wrong = append(wrong, "Credential should be scoped with a valid terminator: 'aws4_request', not '"+clip(c.terminator)+"'. ")
	}
	if day, _, _ := strings.Cut(s.date, "T"); c.date != day {
		wrong = append(wrong, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '"+
			clip(c.date)+"' != '"+day+"', from '"+s.date+"'. ")
	}
	if len(wrong) > 0 {
		return &Error{WrongScope, strings.Join(wrong, "")}
	}
	return nil
}

// checkSignedHeaders makes sure that nobody on the way could have sent a signed
// request to another place or made another operation of it.
func checkSignedHeaders(r *http.Request, names []string) *Error {
	if !slices.Contains(names, "host") {
		return &Error{Mismatch, "'Host' must be a 'SignedHeader' in the AWS Authorization."}
	}
	if r.Header.Get("X-Amz-Target") != "" && !slices.Contains(names, "x-amz-target") {
		return &Error{Mismatch, "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."}
	}
	return nil
}

// payloadHash is the last line of the canonical request. A hash that the request
// states itself has to be that of the body.
func payloadHash(r *http.Request, params []parameter, body []byte) (string, bool) {
	stated := r.Header.Get("X-Amz-Content-Sha256")
	for _, p := range params {
		if p.name == "X-Amz-Content-Sha256" {
			stated = p.value
		}
	}
	actual := hash(body)
	switch {
	case stated == UnsignedPayload:
		return UnsignedPayload, true
	case stated != "" && !strings.EqualFold(stated, actual):
		return "", false
	case stated != "":
		return stated, true
	}
	return actual, true
}

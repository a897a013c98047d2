package sigv4

import (
	"net/http"
	"strings"
)

// maxEcho bounds what a message repeats of a request, in bytes.
const maxEcho = 1024

// credential is the Credential part of a signature: who signed, and for what.
type credential struct {
	accessKeyID, date, region, service, terminator string
}

func (c credential) scope() string {
	return c.date + "/" + c.region + "/" + c.service + "/" + c.terminator
}

func parseCredential(s string) (credential, bool) {
	p := strings.Split(s, "/")
	if len(p) != 5 {
		return credential{}, false
	}
	return credential{p[0], p[1], p[2], p[3], p[4]}, true
}

// signed is what a request says of its own signature, wherever it says so.
type signed struct {
	credential credential
	headers    []string // SignedHeaders, lower case, in the order given
	signature  string
	date       string // ISO 8601 basic, as sent
	expires    string // X-Amz-Expires, presigned requests only
	presigned  bool
	token      string // X-Amz-Security-Token
}

// readSigned finds the signature in the Authorization header or in the query.
func readSigned(r *http.Request, params []parameter) (signed, *Error) {
	query := map[string]string{}
	for _, p := range params {
		query[p.name] = p.value
	}
	header := r.Header.Get("Authorization")
	_, algorithm := query["X-Amz-Algorithm"]
	switch {
	case header != "" && algorithm:
		return signed{}, &Error{Mismatch,
			"Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."}
	case algorithm:
		return readQuery(query)
	case strings.HasPrefix(strings.TrimSpace(header), "AWS4-"):
		return readHeader(r, strings.TrimSpace(header))
	}
	return signed{}, &Error{MissingToken, messageMissing}
}

func readHeader(r *http.Request, header string) (signed, *Error) {
	algorithm, rest, _ := strings.Cut(header, " ")
	if algorithm != Algorithm {
		return signed{}, &Error{Incomplete, "Unsupported AWS 'algorithm': '" + clip(algorithm) + "'. Authorization=" + clip(header)}
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[name] = value
	}
	s := signed{
		signature: parts["Signature"],
		date:      r.Header.Get("X-Amz-Date"),
		token:     r.Header.Get("X-Amz-Security-Token"),
	}
	if s.date == "" {
		s.date = r.Header.Get("Date")
	}
	var missing strings.Builder
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if parts[name] == "" {
			missing.WriteString("Authorization header requires '" + name + "' parameter. ")
		}
	}
	if s.date == "" {
		missing.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
	}
	if missing.Len() > 0 {
		return signed{}, &Error{Incomplete, missing.String() + "Authorization=" + clip(header)}
	}
	return s.complete(parts["Credential"], parts["SignedHeaders"])
}

func readQuery(query map[string]string) (signed, *Error) {
	if a := query["X-Amz-Algorithm"]; a != Algorithm {
		return signed{}, &Error{Incomplete, "Unsupported AWS 'algorithm': '" + clip(a) + "'. Re-examine the query-string parameters."}
	}
	var missing strings.Builder
	for _, name := range []string{"X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date", "X-Amz-Expires"} {
		if query[name] == "" {
			missing.WriteString("AWS query-string parameters must include '" + name + "'. ")
		}
	}
	if missing.Len() > 0 {
		return signed{}, &Error{Incomplete, missing.String() + "Re-examine the query-string parameters."}
	}
	s := signed{
		signature: query["X-Amz-Signature"],
		date:      query["X-Amz-Date"],
		expires:   query["X-Amz-Expires"],
		presigned: true,
		token:     query["X-Amz-Security-Token"],
	}
	return s.complete(query["X-Amz-Credential"], query["X-Amz-SignedHeaders"])
}

func (s signed) complete(cred, headers string) (signed, *Error) {
	var ok bool
	if s.credential, ok = parseCredential(cred); !ok {
		return signed{}, &Error{Incomplete,
			"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '" + clip(cred) + "'"}
	}
	s.headers = strings.Split(strings.ToLower(headers), ";")
	return s, nil
}

// clip bounds a text that a message repeats.
func clip(s string) string {
	if len(s) > maxEcho {
		return s[:maxEcho] + "..."
	}
	return s
}

package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	// Algorithm is the only signing algorithm that is accepted.
	Algorithm = "AWS4-HMAC-SHA256"
	// UnsignedPayload stands for the hash of a body that the signature leaves out.
	UnsignedPayload = "UNSIGNED-PAYLOAD"

	terminator = "aws4_request"
	dateFormat = "20060102T150405Z"
)

// parameter is one name and value of a query string, decoded.
type parameter struct{ name, value string }

// parseQuery decodes a raw query string. "+" is a space, as the SDKs sign it. ok is
// false when an escape is malformed.
func parseQuery(raw string) (params []parameter, ok bool) {
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		n, nok := unescape(name)
		v, vok := unescape(value)
		if !nok || !vok {
			return nil, false
		}
		params = append(params, parameter{n, v})
	}
	return params, true
}

func unescape(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '+':
			b.WriteByte(' ')
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			b.WriteByte(byte(n))
			i += 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), true
}

// escape is the URI encoding of SigV4: all bytes but the unreserved ones of RFC 3986
// become %XX in capitals. keepSlash is for paths.
func escape(s string, keepSlash bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~', c == '/' && keepSlash:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// canonicalQuery is the query string in its canonical form, without the signature
// that a presigned one carries.
func canonicalQuery(params []parameter) string {
	encoded := make([]string, 0, len(params))
	for _, p := range params {
		if p.name != "X-Amz-Signature" {
			encoded = append(encoded, escape(p.name, false)+"="+escape(p.value, false))
		}
	}
	slices.SortFunc(encoded, func(a, b string) int {
		an, av, _ := strings.Cut(a, "=")
		bn, bv, _ := strings.Cut(b, "=")
		if c := strings.Compare(an, bn); c != 0 {
			return c
		}
		return strings.Compare(av, bv)
	})
	return strings.Join(encoded, "&")
}

// canonicalHeader is the value of a header as it is signed: each value trimmed, runs
// of spaces made one, several values joined by commas.
func canonicalHeader(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		if r.ContentLength >= 0 {
			return strconv.FormatInt(r.ContentLength, 10)
		}
	}
	values := r.Header.Values(name)
	folded := make([]string, len(values))
	for i, v := range values {
		folded[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(folded, ",")
}

// canonicalRequest is the text whose hash is signed. The path is encoded once more
// than it was on the wire, which is the rule of every service but S3.
func canonicalRequest(r *http.Request, params []parameter, signedHeaders []string, payloadHash string) string {
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	var b strings.Builder
	b.WriteString(r.Method + "\n" + escape(path, true) + "\n" + canonicalQuery(params) + "\n")
	for _, name := range signedHeaders {
		b.WriteString(name + ":" + canonicalHeader(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(signedHeaders, ";") + "\n" + payloadHash)
	return b.String()
}

// signature calculates the signature of a canonical request.
func signature(secret, date string, c credential, canonical string) string {
	key := mac([]byte("AWS4"+secret), c.date)
	key = mac(key, c.region)
	key = mac(key, c.service)
	key = mac(key, c.terminator)
	toSign := strings.Join([]string{Algorithm, date, c.scope(), hash([]byte(canonical))}, "\n")
	return hex.EncodeToString(mac(key, toSign))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

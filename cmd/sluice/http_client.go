package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
)

// httpClient sends the SDK's requests.
//
// The SDK closes the body of a request as soon as the answer begins. A server on
// the same host answers before net/http has looked for the end of that body, which
// then reads as an error and closes the connection under the answer (smithy-go
// 1.28, safeReadCloser.WriteTo): the SDK tries again, up to seconds later. A body
// that lies in memory as a whole has no such moment.
type httpClient struct{ client *http.Client }

// newHTTPClient makes a client that trusts the certificates in a PEM file, as the
// SDKs do with AWS_CA_BUNDLE; "" is the system's.
func newHTTPClient(bundle string) (*httpClient, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if bundle != "" {
		text, err := os.ReadFile(bundle)
		if err != nil {
			return nil, fmt.Errorf("read CA bundle: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read CA bundle %s: no certificate in it", bundle)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &httpClient{&http.Client{Transport: transport}}, nil
}

// Do sends a request whose body, if it has one, is small: filters at most.
func (c *httpClient) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return c.client.Do(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read own request: %w", err)
	}
	out := r.Clone(r.Context())
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return c.client.Do(out)
}

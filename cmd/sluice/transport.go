package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
)

// newTransport makes a transport that trusts the certificates in a PEM file, as the
// SDKs do with AWS_CA_BUNDLE; "" is the system's.
func newTransport(bundle string) (*http.Transport, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if bundle == "" {
		return transport, nil
	}
	text, err := os.ReadFile(bundle)
	if err != nil {
		return nil, fmt.Errorf("read CA bundle: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read CA bundle %s: no certificate in it", bundle)
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return transport, nil
}

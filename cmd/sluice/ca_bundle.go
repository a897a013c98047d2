package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"

	"sluice/daemon"
)

// ownBundle returns the file that makes clients trust the server: that of its
// certificate, if the certificate signs itself or the file holds its root as well.
// "" is that clients need something else, such as the system's authorities. A file
// that lacks the root would be worse than none: OpenSSL, and so Python, wants the
// chain to end in a certificate that signs itself.
func ownBundle(t *daemon.TLSConfig) (string, error) {
	if t == nil {
		return "", nil
	}
	text, err := os.ReadFile(t.Certificate)
	if err != nil {
		return "", fmt.Errorf("read certificate of the API: %w", err)
	}
	var leaf *x509.Certificate
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "", fmt.Errorf("read certificate of the API %s: %w", t.Certificate, err)
		}
		if leaf == nil {
			leaf = c
		}
		if bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
			roots.AddCert(c)
		} else {
			between.AddCert(c)
		}
	}
	if leaf == nil {
		return "", fmt.Errorf("read certificate of the API %s: no certificate in it", t.Certificate)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		return "", nil // not by this file alone
	}
	return t.Certificate, nil
}

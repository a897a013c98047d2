package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sluice/daemon"
)

// testIssuer signs certificates in a test.
type testIssuer struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// issue makes a certificate of 127.0.0.1; without an issuer it signs itself.
func issue(t *testing.T, name string, by *testIssuer, isCA bool) (*testIssuer, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: isCA, BasicConstraintsValid: true}
	if by == nil {
		by = &testIssuer{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &testIssuer{certificate, key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestTheCertificateIsABundleOnlyWhenItsRootIsInTheFile(t *testing.T) {
	root, rootPEM := issue(t, "root", nil, true)
	middle, middlePEM := issue(t, "middle", root, true)
	_, leafPEM := issue(t, "leaf", middle, false)
	_, selfPEM := issue(t, "self", nil, false)
	_, strangerPEM := issue(t, "stranger", nil, true)
	for name, c := range map[string]struct {
		parts [][]byte
		want  bool
	}{
		"signs itself":       {[][]byte{selfPEM}, true},
		"root that serves":   {[][]byte{rootPEM}, true},
		"whole chain":        {[][]byte{leafPEM, middlePEM, rootPEM}, true},
		"chain without root": {[][]byte{leafPEM, middlePEM}, false},
		"leaf alone":         {[][]byte{leafPEM}, false},
		"another root":       {[][]byte{leafPEM, middlePEM, strangerPEM}, false},
	} {
		file := filepath.Join(t.TempDir(), "tls.pem")
		var text []byte
		for _, p := range c.parts {
			text = append(text, p...)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		want := ""
		if c.want {
			want = file
		}
		if got, err := ownBundle(&daemon.TLSConfig{Certificate: file}); got != want || err != nil {
			t.Errorf("%s: bundle %q (%v), want %q", name, got, err, want)
		}
	}
	if got, err := ownBundle(nil); got != "" || err != nil {
		t.Errorf("without TLS: %q, %v", got, err)
	}
	if _, err := ownBundle(&daemon.TLSConfig{Certificate: "/none.pem"}); err == nil {
		t.Error("a file that is not there is no error")
	}
}

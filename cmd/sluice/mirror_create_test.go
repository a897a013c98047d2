package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sluice/internal/testnet"
)

func TestCreateRefusesValuesThatWouldMeanTheDefault(t *testing.T) {
	for _, c := range [][]string{{"--number", "0"}, {"--packet-length", "0"}, {"--vni", "-1"}, {"--max-packets", "0"}, {"--max-bytes", "0"}} {
		var stderr bytes.Buffer
		s := &shell{stdout: &stderr, stderr: &stderr, getenv: os.Getenv}
		code := run(t.Context(), s, append([]string{"mirror", "create", "--source", "a", "--target", "b"}, c...))
		if code != exitUsage || !strings.Contains(stderr.String(), c[0]+" wants ") {
			t.Errorf("%q: exit %d, %s", c, code, stderr.String())
		}
	}
}

// TestAnInterruptedCreateTellsWhatItHasMade interrupts it while it waits for a server
// whose counters don't come.
func TestAnInterruptedCreateTellsWhatItHasMade(t *testing.T) {
	l := startMirrorLab(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { interrupt() }))
	defer silent.Close()
	text, err := os.ReadFile(l.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), l.Admin, strings.TrimPrefix(silent.URL, "http://"), 1)
	if changed == string(text) {
		t.Fatalf("the configuration does not name %s", l.Admin)
	}
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	s := &shell{stdout: &stdout, stderr: &stderr, getenv: os.Getenv}
	code := run(ctx, s, []string{"mirror", "create", "--source", l.source(), "--target", l.sensor(), "--config", path})
	got := regexp.MustCompile(`session (tms-[0-9a-f]{17}) is made and stays: sluice mirror delete (tms-[0-9a-f]{17}) removes it`).FindStringSubmatch(stderr.String())
	if code != exitFailed || len(got) != 3 || got[1] != got[2] || !strings.Contains(stderr.String(), "interrupted") {
		t.Fatalf("exit %d: %s%s", code, stdout.String(), stderr.String())
	}
	l.must("mirror", "delete", got[1], "--all-made")
}

func TestCreateSaysWhatIsKnownOfAnAbsentSource(t *testing.T) {
	l := startMirrorLab(t)
	session := l.create("--source", l.source(), "--target", l.sensor())
	e := ec2{mustConfig(t, l.labConfig)}
	conn := connection{configFile: l.ConfigFile(), output: "table"}
	reader, err := conn.metrics(&shell{getenv: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	if err := testnet.RemoveLink(l.Network.Gateway, "client0"); err != nil {
		t.Fatal(err)
	}
	want := "the device of its source " + l.source() + " is not there; it is mirrored when it comes"
	for deadline := time.Now().Add(10 * time.Second); ; {
		why, err := whyNotInForce(t.Context(), e, reader, session.mirrorSession)
		if err != nil {
			t.Fatal(err)
		}
		if why == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it says %q, want %q", why, want)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

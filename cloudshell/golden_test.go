package cloudshell

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/control"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What differs from run to run: the token, and the id of a queued command.
var (
	tokenPattern = regexp.MustCompile(`Token="[^"]*"`)
	queuePattern = regexp.MustCompile(`(CommandExecutionIdResponseInfo" Id=")[0-9a-f-]{36}"`)
)

// goldenPairs are the request bodies of testdata/golden; each file there has a request
// in its first line and the answer in its second.
func goldenPairs(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/golden/*.xml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	return files
}

// TestGoldenPairs sends each request of testdata/golden, compares the answer byte for
// byte, and has the strict client read it.
func TestGoldenPairs(t *testing.T) {
	for _, file := range goldenPairs(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".xml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			request, want, _ := strings.Cut(strings.TrimSuffix(string(text), "\n"), "\n")
			operation, _, _ := strings.Cut(name, ".")
			d := testDoor(t, &fakeBackend{})
			token := d.testToken()
			status, got := post(t, d, token, operation, strings.ReplaceAll(request, "TOKEN", token))
			if status != 200 {
				t.Errorf("status %d", status)
			}
			got = tokenPattern.ReplaceAllString(got, `Token="TOKEN"`)
			got = queuePattern.ReplaceAllString(got, `${1}ID"`)
			if err := d.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(request+"\n"+got+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			_, err = strictParse(operation, got)
			var refused *apiError
			if isError := errors.As(err, &refused); err != nil && !isError || isError != strings.Contains(name, ".refused") {
				t.Errorf("the strict client: %v", err)
			}
		})
	}
}

// TestEveryOperationHasItsProof walks the table: each operation owes a pair that
// succeeds and, where it can fail by what is asked, one that is refused; without a token
// it does nothing.
func TestEveryOperationHasItsProof(t *testing.T) {
	var have []string
	for _, file := range goldenPairs(t) {
		have = append(have, filepath.Base(file))
	}
	cannotFail := []string{"Logoff", "GetServerDateAndTime", "GetCurrentReservations", "ReleaseFromPool"}
	for _, o := range operations() {
		if !slices.Contains(have, o.name+".xml") {
			t.Errorf("%s has no golden pair", o.name)
		}
		if !slices.Contains(cannotFail, o.name) && !slices.ContainsFunc(have, func(s string) bool { return strings.HasPrefix(s, o.name+".refused") }) {
			t.Errorf("%s has no golden pair of a refusal", o.name)
		}
		if o.public {
			continue
		}
		backend := &fakeBackend{}
		status, text := post(t, testDoor(t, backend), "none", o.name, "<"+o.name+"/>")
		if _, err := strictParse(o.name, text); status != 401 || err == nil || backend.called() != "" {
			t.Errorf("%s without a token: %d, %v, did %q", o.name, status, err, backend.called())
		}
	}
}

// TestFaultsInsideSayNothing: what breaks inside is told in general words.
func TestFaultsInsideSayNothing(t *testing.T) {
	d := testDoor(t, &fakeBackend{err: errInside})
	_, text := post(t, d, d.testToken(), "EndReservation", "<EndReservation><reservationId>"+sandboxID+"</reservationId></EndReservation>")
	_, err := strictParse("EndReservation", text)
	var refused *apiError
	if !errors.As(err, &refused) || strings.Contains(text, "secret") || refused.code != "100" {
		t.Errorf("got %v", err)
	}
}

// TestErrorsKeepTheirCodes: the codes of the control room reach the client.
func TestErrorsKeepTheirCodes(t *testing.T) {
	d := testDoor(t, &fakeBackend{err: control.SandboxErrorf(control.SandboxErrorExists, "it is there")})
	_, text := post(t, d, d.testToken(), "EndReservation", "<EndReservation><reservationId>"+sandboxID+"</reservationId></EndReservation>")
	_, err := strictParse("EndReservation", text)
	if err == nil || err.Error() != "CloudShell API error 114: it is there" {
		t.Errorf("got %v", err)
	}
}

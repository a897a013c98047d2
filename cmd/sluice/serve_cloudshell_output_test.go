package main

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shellOf reads the example of docs/cloudshell.md that has some text.
func shellOf(t *testing.T, part string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/cloudshell.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, example := range strings.Split(string(text), "```sh\n")[1:] {
		if example, _, _ = strings.Cut(example, "```"); strings.Contains(example, part) {
			return example
		}
	}
	t.Fatalf("docs/cloudshell.md has no example with %s", part)
	return ""
}

// TestTheOutputOfASandboxIsReadAsTheDocsSay from a lab as it is made.
func TestTheOutputOfASandboxIsReadAsTheDocsSay(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	b := articleBed{mirrorLab: startMirrorLab(t)}
	b.sandbox = b.python(sandboxScript)
	b.python(sessionScript + "session.WriteMessageToReservationOutput('SANDBOX', 'mirroring is on')\n")
	_, port, err := net.SplitHostPort(labWebAPI)
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer("localhost:"+port, b.WebAPI, "curl ", curl+" ").Replace(shellOf(t, "/output?tail"))
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Env = append(os.Environ(), "SANDBOX="+b.sandbox)
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Entries []struct{ Text string }
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if diff := cmp.Diff([]struct{ Text string }{{"mirroring is on"}}, got.Entries); diff != "" {
		t.Errorf("%s\n%s", text, diff)
	}
}

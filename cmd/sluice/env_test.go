package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sluice/daemon"
	"sluice/internal/testnet"
)

func TestExportsSurviveTheShell(t *testing.T) {
	for _, s := range []string{"/var/lib/sluice", "", "a b", "it's", `"$HOME" \ *`, "new\nline", "-n", "~root", "ü", "=x", "a;b&c|d"} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellQuote("x"+s)).Output()
		if err != nil || string(out) != "x"+s {
			t.Errorf("shell reads %s as %q (%v)", shellQuote("x"+s), out, err)
		}
	}
}

func TestEnvPrintsTheFilesOfTheConfiguration(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's here")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	config := labConfig{Dir: dir, Network: testnet.Lab("x-"), API: labAPI, Admin: labAdmin}
	var text bytes.Buffer
	if err := config.write(&text); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config.ConfigFile(), text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := runCommand("env", "--config", config.ConfigFile())
	if code != exitOK || !strings.Contains(stderr, "not there") {
		t.Errorf("code %d, stderr %q: want 0 and a warning that the server has not run", code, stderr)
	}
	out, err := exec.Command("sh", "-c", stdout+`printf '%s\n' "$AWS_SHARED_CREDENTIALS_FILE" "$AWS_CONFIG_FILE"`).Output()
	want := filepath.Join(dir, "state/aws/credentials") + "\n" + filepath.Join(dir, "state/aws/config") + "\n"
	if err != nil || string(out) != want {
		t.Errorf("after eval: %q (%v), want %q", out, err, want)
	}
}

func TestEnvNamesVariablesThatGoBeforeTheFiles(t *testing.T) {
	s := &shell{getenv: func(name string) string {
		return map[string]string{"AWS_PROFILE": "prod", "AWS_REGION": "us-east-1"}[name]
	}}
	got := strings.Join(envWarnings(s, sharedFilesIn(t.TempDir())), "\n")
	if !strings.Contains(got, "AWS_PROFILE AWS_REGION") {
		t.Errorf("warnings %q", got)
	}
}

func TestWithoutConfigTheFirstThatIsThereCounts(t *testing.T) {
	dir := t.TempDir()
	system, lab := filepath.Join(dir, "system.yaml"), filepath.Join(dir, "lab.yaml")
	expect := func(named, wantPath, wantState string) {
		t.Helper()
		c, path, err := findConfig(named, []string{system, lab})
		if err != nil || path != wantPath || c.StateDir != wantState {
			t.Errorf("found %q with state %q (%v), want %q with %q", path, c.StateDir, err, wantPath, wantState)
		}
	}
	write := func(path, state string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("state_dir: "+state+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	expect("", "", daemon.DefaultStateDir)
	write(lab, "/lab")
	expect("", lab, "/lab")
	write(system, "/system")
	expect("", system, "/system")
	expect(lab, lab, "/lab")
	if _, _, err := findConfig(filepath.Join(dir, "none.yaml"), nil); err == nil {
		t.Error("a configuration that is named and not there is no error")
	}
}

func TestTheLabsConfigurationIsValid(t *testing.T) {
	config := labConfig{Dir: "/run/it's: #odd", Network: testnet.Lab("x-"), API: labAPI, Admin: labAdmin}
	var text bytes.Buffer
	if err := config.write(&text); err != nil {
		t.Fatal(err)
	}
	c, err := daemon.ParseConfig(text.Bytes())
	if err != nil {
		t.Fatalf("%v in\n%s", err, text.String())
	}
	if c.StateDir != config.StateDir() || c.API.Listen != labAPI || c.Admin.Listen != labAdmin || len(c.Interfaces) != 6 {
		t.Errorf("read back %+v", c)
	}
	if last := c.Interfaces[5]; last.Netns != "x-gateway" || last.Device != "sensor0" || last.Firewall != nil {
		t.Errorf("last interface %+v", last)
	}
}

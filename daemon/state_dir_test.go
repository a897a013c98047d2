package daemon

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testLog returns a logger and what it wrote.
func testLog() (*slog.Logger, *bytes.Buffer) {
	var out bytes.Buffer
	return slog.New(slog.NewTextHandler(&out, nil)), &out
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestStateDirIsPrivate(t *testing.T) {
	log, out := testLog()
	dir := filepath.Join(t.TempDir(), "var", "sluice")
	if err := PrepareStateDir(dir, log); err != nil {
		t.Fatal(err)
	}
	if got := mode(t, dir); got != 0o700 || out.Len() != 0 {
		t.Errorf("mode %v, log %s", got, out)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := PrepareStateDir(dir, log); err != nil {
		t.Fatal(err)
	}
	if got := mode(t, dir); got != 0o700 || !strings.Contains(out.String(), "level=WARN") {
		t.Errorf("mode %v, log %s", got, out)
	}
}

func TestStateDirOfSomebodyElseIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("must be root: CI runs every test")
		}
		t.Skip("must be root to give a directory away")
	}
	log, _ := testLog()
	dir := t.TempDir()
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := PrepareStateDir(dir, log); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Errorf("got %v", err)
	}
}

func TestCredentialsAreMadeOnceAndKept(t *testing.T) {
	log, _ := testLog()
	dir := t.TempDir()
	first, err := OpenCredentials(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(first.AccessKeyID) ||
		!regexp.MustCompile(`^[A-Za-z0-9]{40}$`).MatchString(first.SecretAccessKey) {
		t.Errorf("malformed: %s", first.AccessKeyID)
	}
	if got := mode(t, CredentialsPath(dir)); got != 0o600 {
		t.Errorf("mode %v", got)
	}
	again, err := OpenCredentials(dir, log)
	if err != nil || again != first {
		t.Errorf("the second start has others: %v", err)
	}
	other, err := OpenCredentials(t.TempDir(), log)
	if err != nil || other == first {
		t.Errorf("two installations have the same credentials: %v", err)
	}
}

func TestCredentialsThatOthersCanReadAreCorrected(t *testing.T) {
	log, out := testLog()
	dir := t.TempDir()
	if _, err := OpenCredentials(dir, log); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(CredentialsPath(dir), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCredentials(dir, log); err != nil {
		t.Fatal(err)
	}
	if got := mode(t, CredentialsPath(dir)); got != 0o600 || !strings.Contains(out.String(), CredentialsPath(dir)) {
		t.Errorf("mode %v, log %s", got, out)
	}
}

func TestCredentialsOfPeopleAreRead(t *testing.T) {
	log, _ := testLog()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(CredentialsPath(dir), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("; mine\n[other]\naws_access_key_id=no\n\n[ default ]\r\nAWS_ACCESS_KEY_ID=AKIAMINE\naws_secret_access_key = a+b/c==\nregion = x\n")
	c, err := OpenCredentials(dir, log)
	if err != nil || c != (Credentials{"AKIAMINE", "a+b/c=="}) {
		t.Errorf("got %#v, %v", c, err)
	}
	for text, want := range map[string]string{
		"":                                   "want aws_access_key_id",
		"[default]\naws_access_key_id = x\n": "want aws_access_key_id and",
		"[default]\nhunter2\n":               "line 2: want key = value",
	} {
		write(text)
		_, err := OpenCredentials(dir, log)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestCredentialsDoNotPrintTheirSecret(t *testing.T) {
	c := Credentials{"AKIAX", "hunter2"}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "credentials", fmt.Sprint(c))
	for _, s := range []string{fmt.Sprintf("%v %+v %#v %s", c, c, c, c), log.String()} {
		if strings.Contains(s, "hunter2") {
			t.Errorf("the secret is in %q", s)
		}
	}
}

func TestAWSConfigFollowsTheListenAddress(t *testing.T) {
	dir := t.TempDir()
	for _, url := range []string{"http://127.0.0.1:7770", "http://127.0.0.1:7780"} {
		if err := WriteAWSConfig(dir, "eu-west-1", url); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(AWSConfigPath(dir))
		if err != nil || !strings.Contains(string(text), "region = eu-west-1\nendpoint_url = "+url+"\n") {
			t.Errorf("got %q, %v", text, err)
		}
	}
	before, err := os.Stat(AWSConfigPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteAWSConfig(dir, "eu-west-1", "http://127.0.0.1:7780"); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(AWSConfigPath(dir))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("a file that was right is another one now: %v", err)
	}
}

func TestTokenKeyIsKept(t *testing.T) {
	log, _ := testLog()
	dir := t.TempDir()
	first, err := TokenKey(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	again, err := TokenKey(dir, log)
	if err != nil || !bytes.Equal(first, again) || len(first) != tokenKeyBytes {
		t.Errorf("got %d bytes, %v", len(again), err)
	}
	path := filepath.Join(dir, "token.key")
	if got := mode(t, path); got != 0o600 {
		t.Errorf("mode %v", got)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := TokenKey(dir, log); err == nil {
		t.Error("accepted a key that is too short")
	}
}

func TestWriteFileLeavesNothingBesideIt(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		if err := writeFile(filepath.Join(dir, "a"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeFile(filepath.Join(dir, "no", "b"), nil, 0o600); err == nil {
		t.Error("wrote into a directory that is not there")
	}
	// A directory in the way: the temporary file must go again.
	if err := os.Mkdir(filepath.Join(dir, "c"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(filepath.Join(dir, "c"), nil, 0o600); err == nil {
		t.Error("replaced a directory")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("got %v, %v", entries, err)
	}
}

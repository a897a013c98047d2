package daemon

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// Credentials are the access key of the account's only principal.
type Credentials struct {
	AccessKeyID     string // "AKIA" and 16 of A-Z and 2-7, as AWS makes them
	SecretAccessKey string // 40 characters
}

// String hides the secret from logs.
func (c Credentials) String() string { return "access key " + c.AccessKeyID }

// GoString hides the secret too.
func (c Credentials) GoString() string { return c.String() }

// CredentialsPath and AWSConfigPath are where a state directory has the two files
// that AWS tools share.
func CredentialsPath(stateDir string) string { return filepath.Join(stateDir, "aws", "credentials") }

// AWSConfigPath is the second of the two; see CredentialsPath.
func AWSConfigPath(stateDir string) string { return filepath.Join(stateDir, "aws", "config") }

// OpenCredentials reads the credentials of a state directory, or makes them when
// there are none.
func OpenCredentials(stateDir string, log *slog.Logger) (Credentials, error) {
	path := CredentialsPath(stateDir)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return Credentials{}, fmt.Errorf("make directory of credentials: %w", err)
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		c := newCredentials()
		text := fmt.Sprintf("# Made by sluice when it first started.\n[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n",
			c.AccessKeyID, c.SecretAccessKey)
		return c, writeFile(path, []byte(text), 0o600)
	}
	if err != nil {
		return Credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	if err := requirePrivate(path, 0o600, log); err != nil {
		return Credentials{}, err
	}
	c, err := parseCredentials(string(text))
	if err != nil {
		return Credentials{}, fmt.Errorf("read credentials %s: %w", path, err)
	}
	return c, nil
}

// WriteAWSConfig makes aws/config name the region and the endpoint, and leaves a
// file that does so already alone.
func WriteAWSConfig(stateDir, region, endpointURL string) error {
	path := AWSConfigPath(stateDir)
	want := fmt.Appendf(nil, "# Written by sluice at each start.\n[default]\nregion = %s\nendpoint_url = %s\n", region, endpointURL)
	have, err := os.ReadFile(path)
	if err == nil && bytes.Equal(have, want) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read AWS config: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make directory of AWS config: %w", err)
	}
	return writeFile(path, want, 0o644)
}

const (
	base32Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" // RFC 4648 §6
	secretAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

func newCredentials() Credentials {
	return Credentials{
		AccessKeyID:     "AKIA" + randomText(base32Alphabet, 16),
		SecretAccessKey: randomText(secretAlphabet, 40),
	}
}

// randomText draws from an alphabet without favouring its beginning: bytes beyond
// the last whole multiple of its length are thrown away.
func randomText(alphabet string, n int) string {
	out := make([]byte, 0, n)
	limit := 256 - 256%len(alphabet)
	var b [64]byte
	for len(out) < n {
		rand.Read(b[:]) // never fails since Go 1.24
		for _, x := range b {
			if int(x) < limit && len(out) < n {
				out = append(out, alphabet[int(x)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// parseCredentials reads the default profile of a shared credentials file. Other
// profiles and other keys may stand beside it.
func parseCredentials(text string) (Credentials, error) {
	var c Credentials
	section := ""
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' && line[len(line)-1] == ']' {
			section = strings.TrimSpace(line[1 : len(line)-1])
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok { // the line itself may be a secret, so it is not shown
			return c, fmt.Errorf("line %d: want key = value", i+1)
		}
		if section != "default" {
			continue
		}
		switch value = strings.TrimSpace(value); strings.ToLower(strings.TrimSpace(key)) {
		case "aws_access_key_id":
			c.AccessKeyID = value
		case "aws_secret_access_key":
			c.SecretAccessKey = value
		}
	}
	if c.AccessKeyID == "" || c.SecretAccessKey == "" {
		return Credentials{}, errors.New("profile default: want aws_access_key_id and aws_secret_access_key")
	}
	return c, nil
}

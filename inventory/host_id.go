package inventory

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var hostIDPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// HostID returns the id of this host: 32 hexadecimal digits that stay the same
// over restarts. They follow from /etc/machine-id, hashed with a purpose of our
// own as machine-id(5) asks; a host without one gets random digits, which are kept
// in the state directory and from then on come first.
func HostID(stateDir string) (string, error) { return hostID(stateDir, "/etc/machine-id") }

func hostID(stateDir, machineID string) (string, error) {
	stored := filepath.Join(stateDir, "host-id")
	text, err := os.ReadFile(stored)
	if err == nil {
		id := strings.TrimSpace(string(text))
		if !hostIDPattern.MatchString(id) {
			return "", fmt.Errorf("read host id %s: not 32 hexadecimal digits", stored)
		}
		return id, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read host id: %w", err)
	}
	text, err = os.ReadFile(machineID)
	if id := strings.TrimSpace(string(text)); err == nil && hostIDPattern.MatchString(id) {
		h := hmac.New(sha256.New, []byte(id))
		h.Write([]byte("sluice host id"))
		return hex.EncodeToString(h.Sum(nil)[:16]), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read machine id: %w", err)
	}
	var random [16]byte
	rand.Read(random[:]) // never fails since Go 1.24
	id := hex.EncodeToString(random[:])
	return id, storeHostID(stored, id)
}

// storeHostID writes the id so that a crash leaves it whole or not there.
func storeHostID(path, id string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".host-id-*")
	if err != nil {
		return fmt.Errorf("store host id: %w", err)
	}
	_, err = f.WriteString(id + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("store host id: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// pinDir is where a server pins its programs, links and maps. It follows from
// the state directory, so that servers with states of their own (a lab beside
// the host's) don't share a flow table.
func pinDir(bpffs, stateDir string) string {
	hash := sha256.Sum256([]byte(filepath.Clean(stateDir)))
	return filepath.Join(bpffs, "sluice-"+hex.EncodeToString(hash[:6]))
}

// serveLock is the file that a running server holds locked.
func serveLock(stateDir string) string { return filepath.Join(stateDir, "serve.lock") }

// removePins takes a server's programs, links and maps out of the kernel. Removing
// the pin of a link detaches its program, and of a map frees it, once no process
// has it open.
func removePins(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove pins: %w", err)
	}
	return nil
}

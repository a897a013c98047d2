package main

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"
)

// maxPinName bounds the readable part of a pin directory's name.
const maxPinName = 100

// pinDir is where a server pins its programs, links and maps. It follows from
// the state directory, so that servers with states of their own (a lab beside
// the host's) don't share a flow table. The hash keeps apart what reads alike,
// since a bpf file system takes no dots and a name has no slashes.
func pinDir(bpffs, stateDir string) string {
	stateDir = filepath.Clean(stateDir)
	readable := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, stateDir)
	readable = strings.Trim(readable[max(0, len(readable)-maxPinName):], "-")
	hash := sha256.Sum256([]byte(stateDir))
	return filepath.Join(bpffs, "sluice-"+readable+"-"+hex.EncodeToString(hash[:4]))
}

// serveLock is the file that a running server holds locked.
func serveLock(stateDir string) string { return filepath.Join(stateDir, "serve.lock") }

package main

import (
	"os"
	"path/filepath"
)

// sharedFiles are the files in the AWS shared-file format that a server writes
// into its state directory when it first starts.
type sharedFiles struct{ credentials, config string }

func sharedFilesIn(stateDir string) sharedFiles {
	return sharedFiles{
		credentials: filepath.Join(stateDir, "aws", "credentials"),
		config:      filepath.Join(stateDir, "aws", "config"),
	}
}

// labConfigFile is where sluice lab up puts its configuration.
const labConfigFile = "/run/sluice-lab/sluice.yaml"

// systemConfigFile is the configuration of the host's own server.
const systemConfigFile = "/etc/sluice/sluice.yaml"

// findConfigFile returns the configuration that a command line without --config
// means: the system's, or else that of a lab that is up. "" is neither.
func findConfigFile(named string, candidates ...string) string {
	if named != "" {
		return named
	}
	for _, name := range candidates {
		if _, err := os.Stat(name); err == nil {
			return name
		}
	}
	return ""
}

// defaultStateDir is the state directory of a server without a configuration.
const defaultStateDir = "/var/lib/sluice"

// findSharedFiles returns the files of the server that a command line means.
func findSharedFiles(s *shell, configFile string) (sharedFiles, error) {
	return sharedFilesIn(defaultStateDir), nil
}

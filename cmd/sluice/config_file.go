package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sluice/daemon"
)

// systemConfigFile is the configuration of the host's own server.
const systemConfigFile = "/etc/sluice/sluice.yaml"

// configSearch is where a configuration is looked for without --config: the
// host's own first, then that of a lab that is up.
func configSearch() []string {
	return []string{systemConfigFile, filepath.Join(defaultLabDir, "sluice.yaml")}
}

// findConfig reads the configuration that a command line means: the file named,
// else the first of search that is there, else the defaults, whose path is "".
func findConfig(named string, search []string) (config daemon.Config, path string, err error) {
	if named != "" {
		config, err = daemon.LoadConfig(named)
		return config, named, err
	}
	for _, path := range search {
		_, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return daemon.Config{}, "", fmt.Errorf("look for a configuration: %w", err)
		}
		config, err = daemon.LoadConfig(path)
		return config, path, err
	}
	return daemon.DefaultConfig(), "", nil
}

package main

import "sluice/daemon"

// The variables of the AWS SDKs that name the shared files.
const (
	credentialsVariable = "AWS_SHARED_CREDENTIALS_FILE"
	configVariable      = "AWS_CONFIG_FILE"
)

// sharedFiles are the files in the AWS shared-file format that a server writes
// into its state directory.
type sharedFiles struct{ credentials, config string }

func sharedFilesIn(stateDir string) sharedFiles {
	return sharedFiles{credentials: daemon.CredentialsPath(stateDir), config: daemon.AWSConfigPath(stateDir)}
}

// findSharedFiles returns the files of the server that a command line means: those
// of --config, else those that the shell was given by sluice env, else those of
// the configuration that is found.
func findSharedFiles(s *shell, configFile string) (sharedFiles, error) {
	fromEnv := sharedFiles{credentials: s.getenv(credentialsVariable), config: s.getenv(configVariable)}
	if configFile == "" && fromEnv.credentials != "" && fromEnv.config != "" {
		return fromEnv, nil
	}
	config, _, err := findConfig(configFile, configSearch())
	if err != nil {
		return sharedFiles{}, err
	}
	return sharedFilesIn(config.StateDir), nil
}

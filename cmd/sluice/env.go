package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

func env(_ context.Context, s *shell, args []string) error {
	f := newFlags("sluice env", "", "Prints the exports that point aws, boto3 and the SDKs at a server:\n  eval \"$(sluice env)\"")
	configFile := f.String("config", "", "configuration `FILE` of the server (default "+systemConfigFile+", else that of a lab)")
	if _, err := f.parse(s, args, 0, 0); err != nil {
		return err
	}
	config, _, err := findConfig(*configFile, configSearch())
	if err != nil {
		return err
	}
	files := sharedFilesIn(config.StateDir)
	for _, w := range envWarnings(s, files) {
		fmt.Fprintf(s.stderr, "sluice env: %s\n", w)
	}
	exports := fmt.Sprintf("export %s=%s\nexport %s=%s\n",
		credentialsVariable, shellQuote(files.credentials), configVariable, shellQuote(files.config))
	bundle, err := ownBundle(config.API.TLS)
	if err != nil {
		fmt.Fprintf(s.stderr, "sluice env: %s\n", err)
	}
	if bundle != "" {
		exports += fmt.Sprintf("export %s=%s\n", caBundleVariable, shellQuote(bundle))
	}
	_, err = fmt.Fprint(s.stdout, exports)
	return err
}

// envWarnings says why the exports would not do what is expected of them: files
// that can't be read, and variables that the SDKs prefer to files.
func envWarnings(s *shell, files sharedFiles) []string {
	var warnings []string
	for _, name := range []string{files.credentials, files.config} {
		file, err := os.Open(name)
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("%s and %s: %s", files.credentials, files.config, whyUnreadable(files, err)))
			break
		}
		file.Close()
	}
	var set []string
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE",
		"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_NETWORK_FIREWALL", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"} {
		if s.getenv(name) != "" {
			set = append(set, name)
		}
	}
	if len(set) > 0 {
		warnings = append(warnings, "these variables go before the files, unset them: "+strings.Join(set, " "))
	}
	return warnings
}

// shellQuote quotes a string for POSIX shells (POSIX.1-2024, XCU 2.2.2): what is
// plain stays as it is.
func shellQuote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+,="
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

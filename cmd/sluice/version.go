package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the Makefile with -ldflags "-X main.version=…". It is never
// written at run time.
var version string

func printVersion(_ context.Context, s *shell, args []string) error {
	f := newFlags("sluice version", "", "Prints the version, the Go release and the platform.")
	if _, err := f.parse(s, args, 0, 0); err != nil {
		return err
	}
	fmt.Fprintf(s.stdout, "sluice %s %s %s/%s\n", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// versionText is the version that the build was given, or else what the Go tool
// recorded: the module version of go install, or the commit of a plain build.
func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return "unknown"
}

package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// runCommand runs a command line in this process.
func runCommand(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	s := &shell{stdout: &out, stderr: &errs, getenv: func(string) string { return "" }, euid: os.Geteuid()}
	code = run(context.Background(), s, args)
	return code, out.String(), errs.String()
}

func TestWrongUseIsExitCode2AndSaysWhereToLook(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", "say what to do"},
		{"flow", "say what to do"},
		{"florw", `no command "florw"`},
		{"flow capture --nope", "flag provided but not defined: -nope"},
		{"flow capture extra", `unexpected argument "extra"`},
		{"flow capture --sort size", `--sort "size"`},
		{"flow capture --output xml", `--output "xml"`},
		{"flow capture --min-age -1", "--min-age -1"},
		{"flow capture --min-age 2147483648", "--min-age 2147483648"},
		{"flow capture --limit -1", "can't be negative"},
		{"flow capture --min-age x", "invalid value"},
		{"flow capture --source here", `source "here"`},
		{"flow flush", "needs a filter, or --all"},
		{"flow flush --all --source 10.0.0.1", "needs a filter, or --all"},
		{"flow show", "needs OPERATION"},
		{"flow list --limit -1", "can't be negative"},
		{"flow list --type dump", `--type "dump"`},
		{"firewall create", "needs NAME"},
		{"firewall delete a b", `unexpected argument "b"`},
		{"help nothing", `no command "nothing"`},
	} {
		code, stdout, stderr := runCommand(strings.Fields(c.args)...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, "--help") {
			t.Errorf("sluice %s: code %d, stdout %q, stderr %q: want code 2 and %q", c.args, code, stdout, stderr, c.want)
		}
	}
}

func TestWhatIsGivenButEmptyIsRefused(t *testing.T) {
	for _, args := range []string{
		"flow capture --zone=", "flow capture --firewall=", "flow capture --sort=", "flow capture --config=", "flow capture --filter=",
		"flow flush --source=", "flow flush --destination=", "flow flush --source-port=", "flow flush --destination-port=",
		"flow flush --protocol=", "flow flush --all --zone=", "flow list --type=", "flow list --firewall=", "flow show id --zone=",
		"firewall create fw --subnet=", "firewall create fw --subnet=a --subnet=", "firewall create fw --policy=", "firewall create fw --zone=",
		"lab down --dir=", "env --config=", "detach --config=", "serve --config=",
	} {
		code, stdout, stderr := runCommand(strings.Fields(args)...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, "empty") {
			t.Errorf("sluice %s: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
	for _, args := range [][]string{{"flow", "show", ""}, {"firewall", "show", ""}, {"firewall", "delete", ""}, {"flow", "capture", "--zone", ""}} {
		if code, _, stderr := runCommand(args...); code != exitUsage || !strings.Contains(stderr, "empty") {
			t.Errorf("sluice %q: code %d, stderr %q", args, code, stderr)
		}
	}
}

func TestWhatNeedsRootSaysSo(t *testing.T) {
	for _, args := range []string{"serve", "demo", "lab up", "lab status", "lab down", "detach"} {
		var stderr bytes.Buffer
		s := &shell{stdout: &stderr, stderr: &stderr, getenv: func(string) string { return "" }, euid: 1000}
		if code := run(t.Context(), s, strings.Fields(args)); code != exitFailed || !strings.HasSuffix(stderr.String(), ": run this as root (sudo)\n") {
			t.Errorf("sluice %s: code %d, stderr %q", args, code, stderr.String())
		}
	}
}

// TestEveryVerbHasHelp walks all verbs, so that none is without a summary or
// starts to work when it is asked for help.
func TestEveryVerbHasHelp(t *testing.T) {
	var walk func(list []command, path []string)
	walk = func(list []command, path []string) {
		for _, c := range list {
			words := append(path[:len(path):len(path)], c.name)
			if c.summary == "" {
				t.Errorf("%v has no summary", words)
			}
			for _, args := range [][]string{append(words, "--help"), append([]string{"help"}, words...)} {
				code, stdout, stderr := runCommand(args...)
				if code != exitOK || stderr != "" || !strings.HasPrefix(stdout, "Usage: sluice "+strings.Join(words, " ")) {
					t.Errorf("sluice %v: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
				}
			}
			walk(c.sub, words)
		}
	}
	walk(commands(), nil)
}

func TestFlagsMayStandAfterOperands(t *testing.T) {
	f := newFlags("sluice test", "A B", "")
	zone := f.String("zone", "", "")
	got, err := f.parse(&shell{}, []string{"one", "--zone", "z", "two", "--", "--three"}, 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one", "two", "--three"}, got); diff != "" || *zone != "z" {
		t.Errorf("zone %q, operands %s", *zone, diff)
	}
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// command is a verb, or a noun with verbs under it.
type command struct {
	name    string
	summary string
	run     func(ctx context.Context, s *shell, args []string) error
	sub     []command
}

// commands is everything that sluice can be asked to do.
func commands() []command {
	return []command{
		{name: "serve", summary: "run the controller, the agent and the API on this host", run: serve},
		{name: "env", summary: "print the exports that point aws, boto3 and the SDKs here", run: env},
		{name: "lab", summary: "namespaces to try things in", sub: []command{
			{name: "up", summary: "build client, server, sensor and the gateway between them", run: labUp},
			{name: "down", summary: "remove them, and what a server left in the kernel", run: labDown},
			{name: "status", summary: "say what is there", run: labStatus},
		}},
		{name: "demo", summary: "show it all on real traffic, and clean up", run: demo},
		{name: "flow", summary: "the flows of a firewall", sub: []command{
			{name: "capture", summary: "show the live flows that match", run: flowCapture},
			{name: "flush", summary: "cut the live flows that match", run: flowFlush},
			{name: "list", summary: "list the captures and flushes of the last 12 hours", run: flowList},
			{name: "show", summary: "show one of them with its flows", run: flowShow},
		}},
		{name: "firewall", summary: "firewalls", sub: []command{
			{name: "create", summary: "make a firewall, with a policy where none is named", run: firewallCreate},
			{name: "list", summary: "list them", run: firewallList},
			{name: "show", summary: "show one: its zones, endpoints and policy", run: firewallShow},
			{name: "delete", summary: "remove one", run: firewallDelete},
		}},
		{name: "mirror", summary: "traffic mirroring", sub: []command{
			{name: "create", summary: "copy the packets of an interface to another", run: mirrorCreate},
			{name: "list", summary: "list the sessions with what they have copied", run: mirrorList},
			{name: "show", summary: "show one: its source, target, rules and counters", run: mirrorShow},
			{name: "check", summary: "prove one with a probe packet", run: mirrorCheck},
			{name: "delete", summary: "remove one", run: mirrorDelete},
		}},
		{name: "receive", summary: "receive mirrored packets: pcapng, a tap device or a summary", run: receiveMirror},
		{name: "password", summary: "hash a password for the configuration", run: password},
		{name: "detach", summary: "take what a stopped server left out of the kernel", run: detach},
		{name: "version", summary: "print the version", run: printVersion},
	}
}

// usageError is a command line that cannot be carried out as written.
type usageError struct {
	command string // as typed, "sluice flow capture"
	problem string
}

// Error returns the problem.
func (e *usageError) Error() string { return e.problem }

func usagef(command, format string, args ...any) error {
	return &usageError{command: command, problem: fmt.Sprintf(format, args...)}
}

// dispatch finds the command that args name and runs it.
func dispatch(ctx context.Context, s *shell, list []command, path string, args []string) error {
	if len(args) == 0 {
		printCommands(s.stderr, list, path)
		return usagef(path, "say what to do")
	}
	switch args[0] {
	case "help":
		return help(ctx, s, list, path, args[1:])
	case "-h", "-help", "--help":
		printCommands(s.stdout, list, path)
		return nil
	case "-v", "--version":
		if path == "sluice" {
			return printVersion(ctx, s, nil)
		}
	}
	for _, c := range list {
		if c.name != args[0] {
			continue
		}
		if c.sub != nil {
			return dispatch(ctx, s, c.sub, path+" "+c.name, args[1:])
		}
		return c.run(ctx, s, args[1:])
	}
	return usagef(path, "%s has no command %q", path, args[0])
}

// help answers "sluice help VERB…" as "sluice VERB… --help".
func help(ctx context.Context, s *shell, list []command, path string, args []string) error {
	if len(args) == 0 {
		printCommands(s.stdout, list, path)
		return nil
	}
	return dispatch(ctx, s, list, path, append(args[:len(args):len(args)], "--help"))
}

func printCommands(w io.Writer, list []command, path string) {
	if path == "sluice" {
		fmt.Fprint(w, "Sluice: a firewall with a live flow table, and traffic mirroring, driven by AWS's APIs.\n\n")
	}
	fmt.Fprintf(w, "Usage: %s COMMAND [flags]\n\n", path)
	width := 0
	for _, c := range list {
		width = max(width, len(c.name))
	}
	for _, c := range list {
		summary := c.summary
		if c.sub != nil {
			verbs := make([]string, len(c.sub))
			for i, v := range c.sub {
				verbs[i] = v.name
			}
			summary += ": " + strings.Join(verbs, ", ")
		}
		fmt.Fprintf(w, "  %-*s  %s\n", width, c.name, summary)
	}
	fmt.Fprintf(w, "\n%s COMMAND --help tells more.\n", path)
}

// flags is a flag set that takes flags before, between and after operands, and
// writes its help with two dashes.
type flags struct {
	*flag.FlagSet
	command  string // "sluice flow capture"
	operands string // "[NAME|ARN]"
	about    string
	notes    string // below the flags
	empty    string // the flag that may be given an empty value; "" is none
}

func newFlags(command, operands, about string) *flags {
	f := &flags{FlagSet: flag.NewFlagSet(command, flag.ContinueOnError), command: command, operands: operands, about: about}
	f.SetOutput(io.Discard)
	return f
}

// parse reads the flags and returns the operands, of which there may be between
// least and most.
func (f *flags) parse(s *shell, args []string, least, most int) ([]string, error) {
	var operands []string
	for {
		err := f.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			f.printHelp(s.stdout)
			return nil, err
		}
		if err != nil {
			return nil, usagef(f.command, "%s: %s", f.command, err)
		}
		rest := f.Args()
		if len(rest) == 0 {
			break
		}
		if dashes := len(args) - len(rest); dashes > 0 && args[dashes-1] == "--" {
			operands = append(operands, rest...)
			break
		}
		operands, args = append(operands, rest[0]), rest[1:]
	}
	if err := f.refuseEmpty(operands); err != nil {
		return nil, err
	}
	if len(operands) < least {
		return nil, usagef(f.command, "%s needs %s", f.command, f.operands)
	}
	if len(operands) > most {
		return nil, usagef(f.command, "%s: unexpected argument %q", f.command, operands[most])
	}
	return operands, nil
}

// given tells whether a flag is on the command line, whatever its value.
func (f *flags) given(name string) (given bool) {
	f.Visit(func(fl *flag.Flag) { given = given || fl.Name == name })
	return given
}

// refuseEmpty refuses what is there but empty: a script's unset variable must not
// widen one zone to all of them.
func (f *flags) refuseEmpty(operands []string) error {
	if slices.Contains(operands, "") {
		return usagef(f.command, "%s: %s is empty", f.command, f.operands)
	}
	var err error
	f.Visit(func(fl *flag.Flag) {
		if fl.Value.String() == "" && fl.Name != f.empty && err == nil {
			err = usagef(f.command, "--%s is empty: give it a value, or leave it out", fl.Name)
		}
	})
	return err
}

func (f *flags) printHelp(w io.Writer) {
	operands := f.operands
	if operands != "" {
		operands = " " + operands
	}
	fmt.Fprintf(w, "Usage: %s%s [flags]\n\n%s\n", f.command, operands, f.about)
	type line struct{ left, right string }
	var lines []line
	width := 0
	f.VisitAll(func(fl *flag.Flag) {
		value, usage := flag.UnquoteUsage(fl)
		left := "--" + fl.Name
		if value != "" {
			left += " " + value
		}
		// Where the default is none of the values that can be meant, the usage tells.
		if !slices.Contains([]string{"", "false", "0", "0s", "-1"}, fl.DefValue) {
			usage += " (default " + fl.DefValue + ")"
		}
		width = max(width, len(left))
		lines = append(lines, line{left, usage})
	})
	if len(lines) > 0 {
		fmt.Fprint(w, "\nFlags:\n")
	}
	for _, l := range lines {
		fmt.Fprintf(w, "  %-*s  %s\n", width, l.left, l.right)
	}
	if f.notes != "" {
		fmt.Fprintf(w, "\n%s\n", f.notes)
	}
}

// stringList is a flag that may be repeated.
type stringList []string

// String returns the values, joined by spaces.
func (l *stringList) String() string { return strings.Join(*l, " ") }

// Set adds a value, which can't be empty.
func (l *stringList) Set(v string) error {
	if v == "" {
		return errors.New("it is empty")
	}
	*l = append(*l, v)
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"sluice/internal/testnet"
	"sluice/receive"
)

// receivePlan is the command line of receive.
type receivePlan struct {
	listen, netns, write, tap, output string
	duration                          time.Duration
	snap, keep                        int
	rotate                            string
}

func receiveMirror(ctx context.Context, s *shell, args []string) error {
	f := newFlags("sluice receive", "", "Receives what sessions mirror: VXLAN in; pcapng, a tap device or a summary out. Ends\nwith ctrl-C, or after --duration.")
	var plan receivePlan
	f.StringVar(&plan.listen, "listen", fmt.Sprintf("[::]:%d", receive.Port), "`ADDRESS:PORT` to listen on")
	f.StringVar(&plan.netns, "netns", "", "listen, and make the tap, in a named network `NAMESPACE`")
	f.StringVar(&plan.write, "write", "", "write pcapng to `FILE`; - is stdout, to pipe into tshark or tcpdump")
	f.StringVar(&plan.rotate, "rotate", "", "begin a new file whenever one has reached a `SIZE` such as 100M")
	f.IntVar(&plan.keep, "keep", 0, "with --rotate: keep only the newest `N` files")
	f.IntVar(&plan.snap, "snap", 0, "write only the first `BYTES` of each frame (default all)")
	f.StringVar(&plan.tap, "tap", "", "feed the frames to a tap device of this `NAME`, for Suricata or Zeek")
	f.DurationVar(&plan.duration, "duration", 0, "end after a `TIME` such as 10s (default at ctrl-C)")
	f.StringVar(&plan.output, "output", "table", "`FORMAT` of the summary at the end: table or json")
	f.notes = `A network is a session's VXLAN network identifier. In the file each one is an
interface of its own. The summary goes to stderr while the capture goes to stdout:
  sluice receive --write - | tshark -r -`
	if _, err := f.parse(s, args, 0, 0); err != nil {
		return err
	}
	size, err := plan.check(f)
	if err != nil {
		return err
	}
	if plan.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, plan.duration)
		defer cancel()
	}
	return plan.run(ctx, s, size)
}

// check refuses what can't be meant, and returns the size of a file in bytes.
func (p *receivePlan) check(f *flags) (size int64, err error) {
	if p.output != "table" && p.output != "json" {
		return 0, usagef(f.command, "--output %q: want table or json", p.output)
	}
	if p.duration < 0 || p.keep < 0 || p.snap < 0 {
		return 0, usagef(f.command, "--duration, --keep and --snap can't be negative")
	}
	if p.rotate == "" {
		if p.keep > 0 {
			return 0, usagef(f.command, "--keep needs --rotate")
		}
		return 0, nil
	}
	if p.write == "" || p.write == "-" {
		return 0, usagef(f.command, "--rotate needs --write FILE")
	}
	if size, err = parseSize(p.rotate); err != nil {
		return 0, usagef(f.command, "--rotate %s", err)
	}
	return size, nil
}

// parseSize reads a number of bytes with one of the suffixes k, M and G, powers of
// 1000.
func parseSize(text string) (int64, error) {
	unit := int64(1)
	number := text
	for suffix, u := range map[string]int64{"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9} {
		if n, ok := strings.CutSuffix(text, suffix); ok {
			number, unit = n, u
		}
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q: want a size such as 500k, 100M or 2G", text)
	}
	return n * unit, nil
}

func (p *receivePlan) run(ctx context.Context, s *shell, size int64) (err error) {
	var sinks []receive.Sink
	switch p.write {
	case "":
	case "-":
		if isTerminal(s.stdout) {
			return errors.New("a capture is no text for a terminal: pipe it into tshark or tcpdump, or give --write FILE")
		}
		sinks = append(sinks, receive.NewPcapngWriter(s.stdout, p.snap))
	default:
		files := &receive.Files{Path: p.write, Size: size, Keep: p.keep, Snap: p.snap}
		if err := files.Open(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, files.Close()) }()
		sinks = append(sinks, files)
	}
	var tap *receive.Tap
	var receiver *receive.Receiver
	err = testnet.Do(p.netns, func() (err error) {
		if p.tap != "" {
			if tap, err = receive.OpenTap(p.tap); err != nil {
				return err
			}
			sinks = append(sinks, tap)
		}
		receiver, err = receive.Listen(ctx, p.listen, sinks...)
		return err
	})
	if tap != nil {
		defer func() { err = errors.Join(err, tap.Close()) }()
	}
	if err != nil {
		return err
	}
	if p.write == "-" { // so that its reader knows at once what it reads
		if err := sinks[0].Flush(); err != nil {
			return err
		}
	}
	return p.receive(ctx, s, receiver, tap)
}

// receive runs the receiver with a live summary beside it.
func (p *receivePlan) receive(ctx context.Context, s *shell, r *receive.Receiver, tap *receive.Tap) error {
	fmt.Fprintf(s.stderr, "listening on %s\n", r.Address())
	live := startSummary(s.stderr, r)
	err := r.Run(ctx)
	live.done()
	counts, countErr := r.Counts()
	if err = errors.Join(err, countErr); err != nil {
		return err
	}
	var w io.Writer = s.stdout
	if p.write == "-" {
		w = s.stderr
	}
	if p.output == "json" {
		return writeJSON(w, summaryJSON(counts))
	}
	if tap != nil && tap.Drops() > 0 {
		fmt.Fprintf(s.stderr, "%s not taken by tap %s: it was down\n", count(int64(tap.Drops()), "frame"), tap.Name)
	}
	return writeSummary(w, counts, nil, 0)
}

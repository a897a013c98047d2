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
	f.StringVar(&plan.rotate, "rotate", "", "begin a new file whenever one has reached a `SIZE` such as 100M, behind those of earlier runs")
	f.IntVar(&plan.keep, "keep", 0, "with --rotate: keep only the newest `N` files, those of earlier runs included")
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
	for name, n := range map[string]int64{"duration": int64(p.duration), "keep": int64(p.keep), "snap": int64(p.snap)} {
		if n <= 0 && f.given(name) {
			return 0, usagef(f.command, "--%s wants more than 0", name)
		}
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
	if p.write == "-" && isTerminal(s.stdout) {
		return errors.New("a capture is no text for a terminal: pipe it into tshark or tcpdump, or give --write FILE")
	}
	var tap *receive.Tap
	var receiver *receive.Receiver
	err = testnet.Do(p.netns, func() (err error) {
		if receiver, err = receive.Listen(ctx, p.listen); err != nil || p.tap == "" {
			return err
		}
		tap, err = receive.OpenTap(p.tap)
		return err
	})
	if receiver != nil {
		defer func() { err = errors.Join(err, receiver.Close()) }()
	}
	if tap != nil {
		defer func() { err = errors.Join(err, tap.Close()) }()
	}
	if err != nil {
		return err
	}
	// The file comes last: one that is there is written over, and nothing that can be
	// refused may do that.
	switch p.write {
	case "":
	case "-":
		w := receive.NewPcapngWriter(s.stdout, p.snap)
		if err := w.Flush(); err != nil { // so that its reader knows at once what it reads
			return err
		}
		receiver.AddSinks(w)
	default:
		files := &receive.Files{Path: p.write, Size: size, Keep: p.keep, Snap: p.snap}
		defer func() { err = errors.Join(err, files.Close()) }()
		if err := files.Open(); err != nil {
			return err
		}
		receiver.AddSinks(files)
	}
	if tap != nil {
		receiver.AddSinks(tap)
	}
	return p.receive(ctx, s, receiver, tap)
}

// receive runs the receiver with a live summary beside it. What was received is summed
// up also when it ends with an error, such as a full disk.
func (p *receivePlan) receive(ctx context.Context, s *shell, r *receive.Receiver, tap *receive.Tap) error {
	fmt.Fprintf(s.stderr, "listening on %s\n", r.Address())
	live := startSummary(s.stderr, r)
	err := r.Run(ctx)
	live.done()
	counts, countErr := r.Counts()
	summary := receivedSummary{Counts: counts}
	if tap != nil {
		summary.tap, summary.tapDrops = tap.Name, tap.Drops()
	}
	var w io.Writer = s.stdout
	if p.write == "-" {
		w = s.stderr
	}
	write := summary.write
	if p.output == "json" {
		write = func(w io.Writer) error { return writeJSON(w, summary.json()) }
	}
	return errors.Join(err, countErr, write(w))
}

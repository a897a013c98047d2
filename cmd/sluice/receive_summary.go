package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/receive"
)

// summaryInterval is how often the live summary is written.
const summaryInterval = time.Second

// maxLiveRows bounds the live summary, so that it fits a terminal.
const maxLiveRows = 20

// liveSummary writes what a receiver has counted over and over, on a terminal
// alone: elsewhere the summary at the end tells everything.
type liveSummary struct {
	w       io.Writer
	stop    chan struct{}
	stopped sync.WaitGroup
}

func startSummary(w io.Writer, r *receive.Receiver) *liveSummary {
	l := &liveSummary{w: w, stop: make(chan struct{})}
	if isTerminal(w) {
		l.stopped.Go(func() { l.loop(r) })
	}
	return l
}

// done ends the summary and wipes it.
func (l *liveSummary) done() {
	close(l.stop)
	l.stopped.Wait()
}

func (l *liveSummary) loop(r *receive.Receiver) {
	tick := time.NewTicker(summaryInterval)
	defer tick.Stop()
	var before receive.Counts
	lines := 0
	for {
		// Up to the first line of the last summary, and everything below it away.
		wipe := "\r\x1b[J"
		if lines > 0 {
			wipe = fmt.Sprintf("\x1b[%dA%s", lines, wipe)
		}
		select {
		case <-l.stop:
			io.WriteString(l.w, wipe)
			return
		case <-tick.C:
		}
		now, err := r.Counts()
		if err != nil {
			continue // the verb's end tells it
		}
		var text bytes.Buffer
		shown := now
		shown.Networks = now.Networks[:min(len(now.Networks), maxLiveRows)]
		if err := writeSummary(&text, shown, before.Networks, summaryInterval); err != nil {
			continue // a buffer takes everything
		}
		if hidden := len(now.Networks) - len(shown.Networks); hidden > 0 {
			fmt.Fprintf(&text, "and %s more\n", count(int64(hidden), "network"))
		}
		io.WriteString(l.w, wipe+text.String())
		lines, before = strings.Count(text.String(), "\n"), now
	}
}

// writeSummary writes a row per network, with rates since before where an interval
// is given, and below them what was lost and why.
func writeSummary(w io.Writer, c receive.Counts, before []receive.Network, interval time.Duration) error {
	t := &table{columns: []column{{heading: "NETWORK", right: true}, {heading: "PACKETS", right: true}, {heading: "BYTES", right: true}, {heading: "CUT", right: true}}}
	if interval > 0 {
		t.columns = append(t.columns, column{heading: "PACKETS/S", right: true}, column{heading: "MBIT/S", right: true})
	}
	t.columns = append(t.columns, column{heading: "FROM"})
	earlier := map[uint32]receive.Network{}
	for _, n := range before {
		earlier[n.VNI] = n
	}
	for _, n := range c.Networks {
		row := []string{strconv.FormatUint(uint64(n.VNI), 10), grouped(int64(n.Packets)), grouped(int64(n.Bytes)), grouped(int64(n.Cut))}
		if interval > 0 {
			e := earlier[n.VNI]
			row = append(row, grouped(int64(float64(n.Packets-e.Packets)/interval.Seconds())),
				fmt.Sprintf("%.1f", float64(n.Bytes-e.Bytes)*8/1e6/interval.Seconds()))
		}
		t.add(append(row, n.From.Addr().String())...)
	}
	if len(c.Networks) > 0 {
		if err := t.write(w, ""); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintln(w, "nothing received"); err != nil {
		return err
	}
	for _, line := range losses(c) {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// losses says what did not get through, or not as on a wire.
func losses(c receive.Counts) []string {
	var lines []string
	if n := c.Uncut(); n > 0 {
		lines = append(lines, count(int64(n), "super-packet")+" that no wire has cut: the sender is on this host. ethtool -K DEVICE tx off, at the sender's device, cuts them")
	}
	if c.Dropped > 0 {
		lines = append(lines, count(int64(c.Dropped), "datagram")+" lost: the socket was full, or the checksum wrong")
	}
	for _, f := range slices.Sorted(maps.Keys(c.Faults)) {
		lines = append(lines, count(int64(c.Faults[f]), "datagram")+" refused: "+f.String())
	}
	return lines
}

// receivedSummary is what receive sums up at its end.
type receivedSummary struct {
	receive.Counts
	tap      string // name of the device; "" where there is none
	tapDrops uint64 // frames that it did not take
}

// write writes the summary as a table.
func (r receivedSummary) write(w io.Writer) error {
	if err := writeSummary(w, r.Counts, nil, 0); err != nil || r.tapDrops == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "%s not taken by tap %s: it was down\n", count(int64(r.tapDrops), "frame"), r.tap)
	return err
}

// receivedNetwork is a network of the summary in JSON.
type receivedNetwork struct {
	VirtualNetworkID uint32 `json:"VirtualNetworkId"`
	Packets, Bytes   uint64
	Cut              uint64 // packets shorter than their IP header tells
	Uncut            uint64 // super-packets
	From             string
	First, Last      time.Time
}

// receivedTap is the tap device of the summary in JSON.
type receivedTap struct {
	Name    string
	Dropped uint64 // frames that it did not take: it was down
}

// json is the summary for scripts.
func (r receivedSummary) json() any {
	networks := []receivedNetwork{}
	for _, n := range r.Networks {
		networks = append(networks, receivedNetwork{n.VNI, n.Packets, n.Bytes, n.Cut, n.Uncut, n.From.Addr().String(), n.First, n.Last})
	}
	refused := map[string]uint64{}
	for f, n := range r.Faults {
		refused[f.String()] = n
	}
	var tap *receivedTap
	if r.tap != "" {
		tap = &receivedTap{r.tap, r.tapDrops}
	}
	return struct {
		Dropped  uint64
		Networks []receivedNetwork
		Refused  map[string]uint64
		Tap      *receivedTap `json:",omitempty"`
	}{r.Dropped, networks, refused, tap}
}

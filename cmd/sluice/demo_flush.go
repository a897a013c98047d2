package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"
)

// flushOne cuts one TCP connection, and shows what its two ends and the others
// see of it.
func (d *demoRun) flushOne(ctx context.Context) error {
	victim := d.held[1]
	d.story.begin("A flush of one of them: " + victim.what)
	var cut []types.Flow
	shown := false
	tallies, err := d.whileQuiet(ctx, func() error {
		if shown { // a flow can be cut only once
			return errors.New("packets passed during the flush, so that counts can't be compared")
		}
		shown = true
		var err error
		cut, err = d.flows(ctx, false, "flow", "flush", "--source", victim.tuple.Source.String(),
			"--source-port", strconv.Itoa(int(victim.tuple.SourcePort)), "--protocol", "tcp")
		return err
	})
	if err != nil {
		return err
	}
	checked, problems := compareFlows(cut, []*talk{victim}, tallies, time.Now())
	if err := checkedTable(checked).write(d.shell.stdout, "   "); err != nil {
		return err
	}
	if len(problems) > 0 {
		return fmt.Errorf("the flush is wrong:\n  %s", strings.Join(problems, "\n  "))
	}
	return d.watchCut(victim)
}

// watchCut lets everybody talk on: the victim must be reset, the others must not
// notice anything.
func (d *demoRun) watchCut(victim *talk) error {
	began := time.Now()
	err := victim.exchange(80)
	if !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("the client of the flushed connection was to be reset, and got: %v", err)
	}
	d.story.tell("The client writes on and is reset after %.1f ms, as the policy's stream exception", float64(time.Since(began).Microseconds())/1000)
	d.story.tell("policy REJECT has it: its packet belongs to no flow.")
	d.held = slices.DeleteFunc(d.held, func(t *talk) bool { return t == victim })
	others := 0
	for _, t := range d.held {
		if t.conn == nil {
			continue
		}
		if err := t.exchange(1000); err != nil {
			return fmt.Errorf("%s was to go on, and got: %w", t.what, err)
		}
		others++
	}
	d.story.tell("The other %d connections go on as before.", others)
	return nil
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

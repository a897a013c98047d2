package main

import (
	"context"
	"fmt"
)

// deletion is a verb that removes what its only operand names.
type deletion struct {
	command, operands, about string
	with, withUsage          string // the flag that asks for more than that to go
	// remove removes it, and with it more. It returns the answer in JSON, and the names
	// of what is gone, these also with an error.
	remove func(ctx context.Context, c *apiClient, name string, more bool) (answer any, gone []string, err error)
}

func (d deletion) run(ctx context.Context, s *shell, args []string) error {
	f := newFlags(d.command, d.operands, d.about)
	var conn connection
	more := f.Bool(d.with, false, d.withUsage)
	conn.register(f)
	operands, err := f.parse(s, args, 1, 1)
	if err != nil {
		return err
	}
	if err := conn.check(f); err != nil {
		return err
	}
	c, err := conn.client(ctx, s)
	if err != nil {
		return err
	}
	p := startProgress(s.stderr, "removing "+nameOfARN(operands[0]))
	answer, gone, err := d.remove(ctx, c, operands[0], *more)
	p.done()
	if err == nil && conn.json() {
		return writeJSON(s.stdout, answer)
	}
	out := s.stdout
	if err != nil {
		out = s.stderr
	}
	for _, name := range gone {
		fmt.Fprintf(out, "%s is gone\n", name)
	}
	return err
}

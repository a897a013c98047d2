package main

import (
	"fmt"
	"io"
	"time"
)

// story prints the demo in numbered steps.
type story struct {
	w     io.Writer
	start time.Time
	step  int
}

// begin starts a step with its heading.
func (s *story) begin(heading string) {
	s.step++
	fmt.Fprintf(s.w, "\n%d. %s\n", s.step, heading)
}

// tell prints a line of the step.
func (s *story) tell(format string, args ...any) {
	fmt.Fprintf(s.w, "   "+format+"\n", args...)
}

// elapsed is how long the demo runs.
func (s *story) elapsed() string { return fmt.Sprintf("%.1f s", time.Since(s.start).Seconds()) }

package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// progressDelay is how long a verb may stay silent: what is done sooner needs no
// progress line.
const progressDelay = time.Second

// progress says on stderr what a verb waits for. On a terminal it is one line
// that is written over and wiped at the end; elsewhere it is one plain line.
type progress struct {
	w        io.Writer
	terminal bool
	start    time.Time
	stop     chan struct{}
	stopped  sync.WaitGroup

	mu   sync.Mutex
	text string
}

// startProgress begins to say text, once a second has passed.
func startProgress(w io.Writer, text string) *progress {
	p := &progress{w: w, terminal: isTerminal(w), start: time.Now(), stop: make(chan struct{}), text: text}
	p.stopped.Go(p.loop)
	return p
}

// say replaces the text.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = fmt.Sprintf(format, args...)
}

// done ends the progress line; nothing of it is left on a terminal.
func (p *progress) done() {
	close(p.stop)
	p.stopped.Wait()
}

func (p *progress) loop() {
	select {
	case <-p.stop:
		return
	case <-time.After(progressDelay):
	}
	if !p.terminal {
		p.print("", "\n")
		<-p.stop
		return
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		p.print("\r", fmt.Sprintf(" %ds\x1b[K", int(time.Since(p.start).Seconds())))
		select {
		case <-p.stop:
			io.WriteString(p.w, "\r\x1b[K")
			return
		case <-tick.C:
		}
	}
}

func (p *progress) print(before, after string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	io.WriteString(p.w, before+p.text+after)
}

// isTerminal tells whether w is a terminal that can write over its last line.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

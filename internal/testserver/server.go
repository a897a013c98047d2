package testserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// readyTimeout bounds the wait for /readyz. The product's own budget is 1.5 s;
// this only ends a hopeless wait on a busy machine.
const readyTimeout = 30 * time.Second

// Interface is an entry of interfaces in the configuration; empty members are
// left out.
type Interface struct{ Netns, Device, Zone string }

// Options describe a server.
type Options struct {
	Binary     string // path of the sluice binary
	Dir        string // holds the configuration and the state; must exist
	MaxFlows   int    // 0 is the default
	Interfaces []Interface
	// Extra is appended to the configuration as it is.
	Extra string
}

// Server is a sluice process with its configuration.
type Server struct {
	Config  string // path of the configuration file
	API     string // base URL
	Admin   string // base URL
	options Options

	mu  sync.Mutex
	cmd *exec.Cmd
	log *lockedBuffer
	end chan struct{} // closed when cmd has ended
}

// New writes the configuration of a server; nothing runs before Start.
func New(o Options) (*Server, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Config:  filepath.Join(o.Dir, "sluice.yaml"),
		API:     "http://" + ports[0],
		Admin:   "http://" + ports[1],
		options: o,
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "region: eu-west-1\naccount_id: \"000000000000\"\nstate_dir: %s\n", filepath.Join(o.Dir, "state"))
	fmt.Fprintf(&b, "api: {listen: %q}\nadmin: {listen: %q}\n", ports[0], ports[1])
	if o.MaxFlows != 0 {
		fmt.Fprintf(&b, "flow_table: {max_flows: %d}\n", o.MaxFlows)
	}
	fmt.Fprintln(&b, "interfaces:")
	for _, i := range o.Interfaces {
		fmt.Fprintf(&b, "  - device: %s\n    netns: %s\n", i.Device, i.Netns)
		if i.Zone != "" {
			fmt.Fprintf(&b, "    availability_zone: %s\n", i.Zone)
		}
	}
	b.WriteString(o.Extra)
	if err := os.WriteFile(s.Config, b.Bytes(), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return s, nil
}

// Start runs the server and returns when it is ready. The process dies with this
// one.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cmd := exec.Command(s.options.Binary, "serve", "--config", s.Config)
	s.log = &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	end := make(chan struct{})
	go func() {
		cmd.Wait() // how it ended is told by the log
		close(end)
	}()
	s.cmd, s.end = cmd, end
	if err := s.awaitReady(ctx, end); err != nil {
		cmd.Process.Kill()
		<-end
		return fmt.Errorf("start server: %w\n%s", err, s.log.text())
	}
	return nil
}

func (s *Server) awaitReady(ctx context.Context, end <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if body, err := get(ctx, s.Admin+"/readyz"); err == nil && body != "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("it did not become ready")
		case <-end:
			return errors.New("it ended")
		case <-tick.C:
		}
	}
}

// Log returns what the process that runs, or ran last, has written.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log == nil {
		return ""
	}
	return s.log.text()
}

// lockedBuffer keeps the first MiB of a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write keeps what there is room for and takes the rest, too.
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() < 1<<20 {
		l.b.Write(p)
	}
	return len(p), nil
}

func (l *lockedBuffer) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Metrics returns the text of /metrics.
func (s *Server) Metrics(ctx context.Context) (string, error) { return get(ctx, s.Admin+"/metrics") }

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("get %s: %s", url, resp.Status)
	}
	return string(body), err
}

// Kill ends the server with SIGKILL, as a crash would.
func (s *Server) Kill() { s.signal(syscall.SIGKILL) }

// Stop ends the server with SIGTERM.
func (s *Server) Stop() { s.signal(syscall.SIGTERM) }

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(sig) // fails only when it has ended
	<-s.end
	s.cmd = nil
}

// Pid is the process id of the running server.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

// freePorts finds loopback addresses that nobody listens on.
func freePorts(n int) ([]string, error) {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out, nil
}

// Detach takes what a stopped server left in the kernel out of it.
func (s *Server) Detach() error {
	s.Stop()
	out, err := exec.Command(s.options.Binary, "detach", "--config", s.Config).CombinedOutput()
	if err != nil {
		return fmt.Errorf("detach: %w: %s", err, out)
	}
	return nil
}

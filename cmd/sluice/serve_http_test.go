package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRequestsInFlightFinishWhenTheServerStops(t *testing.T) {
	l, err := listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		io.WriteString(w, "whole answer")
	})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- serveHTTP(ctx, newHTTPServer(h, slog.New(slog.DiscardHandler)), l) }()
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get(endpointURL(l, false))
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-entered
	cancel()
	close(release)
	if got := <-answer; got != "whole answer" {
		t.Errorf("the client got %q", got)
	}
	if err := <-served; err != nil {
		t.Errorf("serve ended with %v", err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	l, err := listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, maxConnections+1)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	for range maxConnections + 1 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first := <-accepted
	for range maxConnections - 1 {
		defer (<-accepted).Close()
	}
	select {
	case <-accepted:
		t.Fatal("one connection too many was accepted")
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	defer (<-accepted).Close()
	l.Close()
	if _, open := <-accepted; open {
		t.Error("Accept went on after Close")
	}
}

func TestClientsAreToldAnAddressThatTheyCanReach(t *testing.T) {
	for _, c := range []struct {
		listen string
		secure bool
		prefix string
	}{
		{"127.0.0.1:0", false, "http://127.0.0.1:"},
		{"0.0.0.0:0", true, "https://127.0.0.1:"},
		{"[::]:0", false, "http://127.0.0.1:"},
		{"[::1]:0", false, "http://[::1]:"},
	} {
		l, err := net.Listen("tcp", c.listen)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if got := endpointURL(l, c.secure); !strings.HasPrefix(got, c.prefix) {
			t.Errorf("endpoint of %s is %s, want %s…", c.listen, got, c.prefix)
		}
	}
}

func TestTheFirstFailureEndsAllTasks(t *testing.T) {
	tasks := newTasks(t.Context())
	tasks.start("obedient", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	tasks.start("broken", func(context.Context) error { return errors.New("out of luck") })
	<-tasks.ctx.Done()
	if err := tasks.stop(); err == nil || err.Error() != "broken: out of luck" {
		t.Errorf("failure %v", err)
	}
}

func TestTasksThatAreStoppedHaveNotFailed(t *testing.T) {
	tasks := newTasks(t.Context())
	tasks.start("obedient", func(ctx context.Context) error { <-ctx.Done(); return nil })
	if err := tasks.stop(); err != nil {
		t.Errorf("failure %v", err)
	}
}

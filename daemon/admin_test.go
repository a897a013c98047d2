package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAdminAnswersItsThreePaths(t *testing.T) {
	var problem error
	log, _ := testLog()
	h := AdminHandler(AdminOptions{Metrics: NewRegistry(), Ready: func(context.Context) error { return problem }, Logger: log})
	tests := []struct {
		method, path string
		problem      error
		status       int
		body         string
	}{
		{"GET", "/healthz", nil, 200, "ok\n"},
		{"GET", "/healthz", errors.New("store is closed"), 200, "ok\n"},
		{"GET", "/readyz", nil, 200, "ok\n"},
		{"GET", "/readyz", errors.New("store is closed"), 503, "store is closed\n"},
		{"GET", "/metrics", nil, 200, "go_goroutines"},
		{"GET", "/metrics", nil, 200, "process_resident_memory_bytes"},
		{"GET", "/", nil, 404, ""},
		{"POST", "/readyz", nil, 405, ""},
	}
	for _, test := range tests {
		problem = test.problem
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(test.method, test.path, nil))
		body, _ := io.ReadAll(w.Result().Body)
		if w.Code != test.status || !strings.Contains(string(body), test.body) {
			t.Errorf("%s %s: got %d %.80q, want %d %q", test.method, test.path, w.Code, body, test.status, test.body)
		}
	}
	console := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "console") })
	h = AdminHandler(AdminOptions{Metrics: NewRegistry(), Ready: func(context.Context) error { return nil }, Logger: log, Console: console})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/flows", nil))
	if w.Body.String() != "console" {
		t.Errorf("got %q", w.Body)
	}
}

func TestLoggerWritesJSONWhereNobodyLooks(t *testing.T) {
	var out bytes.Buffer
	log := NewLogger(&out, slog.LevelWarn)
	log.Info("quiet")
	log.Warn("loud", "n", 1)
	if got := out.String(); !strings.HasPrefix(got, `{"time":`) || !strings.Contains(got, `"msg":"loud","n":1`) || strings.Contains(got, "quiet") {
		t.Errorf("got %s", got)
	}
	if f, err := os.Open(os.DevNull); err != nil || Terminal(f) {
		t.Errorf("the null device is a terminal: %v", err)
	}
}

func TestLevelsAreRead(t *testing.T) {
	for s, want := range map[string]slog.Level{"debug": slog.LevelDebug, "INFO": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		if got, err := ParseLevel(s); err != nil || got != want {
			t.Errorf("%s: got %v, %v", s, got, err)
		}
	}
	if _, err := ParseLevel("loud"); err == nil {
		t.Error("accepted loud")
	}
}

func TestServiceManagerIsTold(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := NotifyReady(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	if err := NotifyReady(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if n, err := l.Read(buf); err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
	t.Setenv("NOTIFY_SOCKET", name+"-gone")
	if err := NotifyReady(); err == nil {
		t.Error("told nobody")
	}
}

package cloudshell

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestAnswersNobodyReadsEnd their connection, which would take a place for ever.
func TestAnswersNobodyReadsEnd(t *testing.T) {
	d := testDoor(t, &fakeBackend{})
	d.answerTimeout = 50 * time.Millisecond
	ended := make(chan struct{}, 1)
	s := httptest.NewUnstartedServer(d.AutomationHandler())
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			ended <- struct{}{}
		}
	}
	s.Start()
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() {
		request := []byte("POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n<x/>")
		for ctx.Err() == nil {
			if _, err := c.Write(bytes.Repeat(request, 1000)); err != nil {
				return
			}
		}
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		t.Error("the connection is still there")
	}
}

// TestSlowBodiesOfStrangersEnd soon; those of who has logged on may take longer.
func TestSlowBodiesOfStrangersEnd(t *testing.T) {
	d := testDoor(t, &fakeBackend{})
	d.patience = 50 * time.Millisecond
	s := httptest.NewServer(d.AutomationHandler())
	defer s.Close()
	for token, want := range map[string]string{"": "can&#39;t be read", d.testToken(): `Success="true"`} {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		body := whenBody
		fmt.Fprintf(c, "POST %sGetServerDateAndTime HTTP/1.1\r\nHost: x\r\nAuthorization: Token=%s\r\nContent-Length: %d\r\n\r\n%s",
			automationPath, token, len(body), body[:5])
		if token != "" {
			time.Sleep(4 * d.patience)
			io.WriteString(c, body[5:])
		}
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("token %q: %v", token, err)
		}
		text, err := io.ReadAll(r.Body)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("token %q: %s, %v", token, text, err)
		}
	}
}

// TestLogsRepeatLittleOfARequest: neither passwords nor what is long.
func TestLogsRepeatLittleOfARequest(t *testing.T) {
	var log bytes.Buffer
	d := testDoor(t, &fakeBackend{})
	d.Logger = slog.New(slog.NewTextHandler(&log, nil))
	_, text := post(t, d, "", "Logon", "<Logon><username>dana</username><password>p&ssw0rd1;x</password></Logon>")
	if strings.Contains(log.String()+text, "ssw0rd") || !strings.Contains(text, "line 1") {
		t.Errorf("log %s\nanswer %s", &log, text)
	}
	log.Reset()
	post(t, d, "", "Logon", logonBody("dana", "wrong"))
	if !strings.Contains(log.String(), "user=dana") {
		t.Errorf("nobody learns whose password is guessed: %s", &log)
	}
	log.Reset()
	long := strings.Repeat("x", 60_000)
	w := httptest.NewRecorder()
	d.AutomationHandler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/"+long, strings.NewReader("<x/>")))
	_, text = post(t, d, "", "Logon", "<"+long+"/>")
	if n, m := log.Len(), w.Body.Len()+len(text); n > 4000 || m > 4000 {
		t.Errorf("%d bytes of log and %d of answers", n, m)
	}
}

func TestActionIDsAreBounded(t *testing.T) {
	_, err := parseRemoveRequest(`{"driverRequest": {"actions": [{"actionId": "` + strings.Repeat("a", maxActionID+1) +
		`", "type": "RemoveTrafficMirroring", "sessionId": "tms-1", "targetNicId": ""}]}}`)
	if err == nil || !strings.Contains(err.Error(), "1025 bytes, want 1024") || len(err.Error()) > 300 {
		t.Error(err)
	}
}

package cloudshell

import (
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func executeBody(operation, request string, output bool) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(request))
	print := map[bool]string{true: "true", false: "false"}[output]
	return "<" + operation + "><reservationId>" + sandboxID + "</reservationId><targetName>AWS</targetName><targetType>Resource</targetType>" +
		"<commandName>CreateTrafficMirroring</commandName><commandInputs><InputNameValue><Name>request</Name><Value>\n" + b.String() +
		"\n</Value></InputNameValue></commandInputs><printOutput>" + print + "</printOutput></" + operation + ">"
}

// slowBackend holds CreateMirroring until released.
func slowBackend() (f *fakeBackend, entered, release chan struct{}) {
	entered, release = make(chan struct{}, 10), make(chan struct{})
	f = &fakeBackend{creating: func(context.Context) {
		entered <- struct{}{}
		<-release
	}}
	return f, entered, release
}

func send(ctx context.Context, t *testing.T, url, token, operation, body string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+automationPath+operation, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Token="+token+";MachineName=x")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// TestABrokenConnectionRunsTheCommandOnce breaks the connection in the middle of a
// command. The command goes on to its end; the repeated request gets its outcome,
// whether it comes while the command runs or after.
func TestABrokenConnectionRunsTheCommandOnce(t *testing.T) {
	for _, late := range []bool{false, true} {
		backend, entered, release := slowBackend()
		d := testDoor(t, backend)
		server := httptest.NewServer(d.AutomationHandler())
		token := d.testToken()
		body := executeBody("ExecuteCommand", createText("", ""), false)
		ctx, breakIt := context.WithCancel(t.Context())
		broken := make(chan error, 1)
		go func() {
			_, err := send(ctx, t, server.URL, token, "ExecuteCommand", body)
			broken <- err
		}()
		<-entered
		breakIt()
		if err := <-broken; err == nil {
			t.Error("the connection did not break")
		}
		server.CloseClientConnections()
		if late {
			close(release)
			if err := d.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else {
			time.AfterFunc(50*time.Millisecond, func() { close(release) })
		}
		text, err := send(t.Context(), t, server.URL, token, "ExecuteCommand", body)
		if err != nil || !strings.Contains(text, "tms-0d100000000000000") {
			t.Errorf("late %t: %v, %s", late, err, text)
		}
		if n := strings.Count(backend.called(), "create mirroring"); n != 1 {
			t.Errorf("late %t: ran %d times", late, n)
		}
		// Once its outcome is delivered, the same request is a new one.
		if _, err = send(t.Context(), t, server.URL, token, "ExecuteCommand", body); err != nil {
			t.Error(err)
		}
		if n := strings.Count(backend.called(), "create mirroring"); n != 2 {
			t.Errorf("late %t: a new request ran the command %d times in all", late, n)
		}
		server.Close()
	}
}

// TestEqualRequestsAtOnceShareOneRun, and other tokens and other bodies don't.
func TestEqualRequestsAtOnceShareOneRun(t *testing.T) {
	backend, entered, release := slowBackend()
	d := testDoor(t, backend)
	server := httptest.NewServer(d.AutomationHandler())
	defer server.Close()
	token, other := d.testToken(), d.testToken()
	body := executeBody("ExecuteCommand", createText("", ""), false)
	var wg sync.WaitGroup
	for _, r := range [][2]string{{token, body}, {token, body}, {token, body}, {other, body}, {token, body + " "}} {
		wg.Go(func() {
			text, err := send(t.Context(), t, server.URL, r[0], "ExecuteCommand", r[1])
			if _, parseErr := strictParse("ExecuteCommand", text); err != nil || parseErr != nil {
				t.Errorf("%v, %v", err, parseErr)
			}
		})
	}
	for range 3 {
		<-entered
	}
	for d.flights.callers() < 5 { // until all have joined; the test's own deadline ends it
		runtime.Gosched()
	}
	close(release)
	wg.Wait()
	if n := strings.Count(backend.called(), "create mirroring"); n != 3 {
		t.Errorf("ran %d times", n)
	}
}

// TestStatusAnswersWhileACommandRuns: poll loops never wait for a command.
func TestStatusAnswersWhileACommandRuns(t *testing.T) {
	backend, entered, release := slowBackend()
	d := testDoor(t, backend)
	token := d.testToken()
	done := make(chan struct{})
	go func() {
		defer close(done)
		post(t, d, token, "ExecuteCommand", executeBody("ExecuteCommand", createText("", ""), false))
	}()
	<-entered
	if _, text := post(t, d, token, "GetReservationStatus", "<GetReservationStatus><reservationId>"+sandboxID+"</reservationId></GetReservationStatus>"); !strings.Contains(text, `Status="Started"`) {
		t.Error(text)
	}
	close(release)
	<-done
}

// TestEnqueuedCommandsAnswerAtOnce, and tell how they end in the sandbox's output.
func TestEnqueuedCommandsAnswerAtOnce(t *testing.T) {
	backend, entered, release := slowBackend()
	d := testDoor(t, backend)
	token := d.testToken()
	body := executeBody("EnqueueCommand", createText("", ""), false)
	_, first := post(t, d, token, "EnqueueCommand", body)
	got, err := strictParse("EnqueueCommand", first)
	if err != nil || got["Id"] == "" {
		t.Fatalf("%v, %v", got, err)
	}
	if _, again := post(t, d, token, "EnqueueCommand", body); again != first {
		t.Errorf("repeated: %s", again)
	}
	<-entered
	close(release)
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(backend.messages) != 1 || !strings.HasPrefix(backend.messages[0], `CreateTrafficMirroring: {"driverResponse"`) {
		t.Errorf("output %q", backend.messages)
	}
}

// TestPrintOutputWritesBothOutcomes to the sandbox's output.
func TestPrintOutputWritesBothOutcomes(t *testing.T) {
	backend := &fakeBackend{}
	d := testDoor(t, backend)
	post(t, d, d.testToken(), "ExecuteCommand", executeBody("ExecuteCommand", createText("", ""), true))
	post(t, d, d.testToken(), "ExecuteCommand", executeBody("ExecuteCommand", createText(`"5"`, "5"), true))
	if len(backend.messages) != 2 || !strings.Contains(backend.messages[0], "tms-") || backend.messages[1] != "CreateTrafficMirroring failed: 5 is not of type 'string'" {
		t.Errorf("output %q", backend.messages)
	}
}

// TestAPanicInACommandIsAnError and the door goes on.
func TestAPanicInACommandIsAnError(t *testing.T) {
	d := testDoor(t, &fakeBackend{creating: func(context.Context) { panic("boom") }})
	_, text := post(t, d, d.testToken(), "ExecuteCommand", executeBody("ExecuteCommand", createText("", ""), false))
	if _, err := strictParse("ExecuteCommand", text); err == nil || strings.Contains(text, "boom") {
		t.Error(text)
	}
}

// TestTooManyCommandsAreRefused instead of queued.
func TestTooManyCommandsAreRefused(t *testing.T) {
	var f flights
	release := make(chan struct{})
	wait := func(context.Context) (string, error) { <-release; return "", nil }
	for k := range maxRunning {
		if _, err := f.start(t.Context(), string(rune('a'+k)), "", wait); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.start(t.Context(), "one more", "", wait); err == nil {
		t.Error("started one more")
	}
	close(release)
	if err := f.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.start(t.Context(), "one more", "", wait); err != nil {
		t.Error(err)
	}
}

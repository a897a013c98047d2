package cloudshell

import (
	"bufio"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
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
	<-entered
	// Whoever has the answer and asks again wants a second run, while the first goes on.
	_, second := post(t, d, token, "EnqueueCommand", body)
	if again, err := strictParse("EnqueueCommand", second); err != nil || again["Id"] == got["Id"] {
		t.Errorf("repeated: %v, %v", again, err)
	}
	<-entered
	close(release)
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(backend.messages) != 2 || !strings.HasPrefix(backend.messages[0], `CreateTrafficMirroring: {"driverResponse"`) {
		t.Errorf("output %q", backend.messages)
	}
}

// exchange sends one request over a connection of its own, and closes it as soon as the
// answer is read. header is a line more of the request.
func exchange(t *testing.T, address, token, body, header string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST %sExecuteCommand HTTP/1.1\r\nHost: x\r\nAuthorization: Token=%s\r\nContent-Length: %d\r\n%s\r\n%s", automationPath, token, len(body), header, body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, resp.ContentLength)
	if _, err := io.ReadFull(resp.Body, text); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAClientThatHangsUpHasItsAnswer: clients close a connection once they have read the
// bytes that Content-Length promised. That is no broken connection: what they ask next
// is new, also where it has the same bytes.
func TestAClientThatHangsUpHasItsAnswer(t *testing.T) {
	for name, header := range map[string]string{"a connection per call": "Connection: close\r\n", "kept alive": ""} {
		t.Run(name, func(t *testing.T) {
			backend := &fakeBackend{}
			d := testDoor(t, backend)
			server := httptest.NewServer(d.AutomationHandler())
			defer server.Close()
			address, token := server.Listener.Addr().String(), d.testToken()
			create := executeBody("ExecuteCommand", createText("", ""), false)
			remove := strings.Replace(executeBody("ExecuteCommand", removeText("", ""), false), createMirroring, removeMirroring, 1)
			const rounds = 300
			for range rounds {
				for _, body := range []string{create, create, remove, remove} {
					if text := exchange(t, address, token, body, header); !strings.Contains(text, `Success="true"`) {
						t.Fatal(text)
					}
				}
			}
			for kind, want := range map[string]int{"create mirroring": 2 * rounds, "remove mirroring": 2 * rounds} {
				if n := strings.Count(backend.called(), kind); n != want {
					t.Errorf("%s ran %d times of %d", kind, n, want)
				}
			}
		})
	}
}

// TestAnOutcomeNobodyWasToldIsForgotten when another command of the same token begins in
// the sandbox: a removal that is repeated after another creation has something new to
// remove. What others do there makes no repetition run again.
func TestAnOutcomeNobodyWasToldIsForgotten(t *testing.T) {
	ran := map[string]int{}
	var f flights
	// Nobody is told: forget is not called.
	fly := func(command, sandbox, token string) {
		t.Helper()
		key := command + " " + sandbox + " " + token
		one, err := f.start(t.Context(), errand{user: "dana", token: token, key: key, sandboxID: sandbox}, func(context.Context) (string, error) { ran[key]++; return "", nil })
		if err != nil {
			t.Fatal(err)
		}
		<-one.done
	}
	for _, c := range [][3]string{
		{"remove", "a", "1"}, {"remove", "a", "1"}, // shared: the caller never heard of the first
		{"create", "b", "1"}, {"remove", "a", "1"}, // another sandbox changes nothing
		{"create", "a", "2"}, {"remove", "a", "1"}, // nor does another script
		{"create", "a", "1"}, {"remove", "a", "1"}, // here the kept outcome is no longer true
	} {
		fly(c[0], c[1], c[2])
	}
	want := map[string]int{"remove a 1": 2, "create b 1": 1, "create a 2": 1, "create a 1": 1}
	if diff := cmp.Diff(want, ran); diff != "" {
		t.Error(diff)
	}
}

// TestACommandThatIsRefusedForgetsNoOutcome of those that nobody was told.
func TestACommandThatIsRefusedForgetsNoOutcome(t *testing.T) {
	for limit, busy := range map[int]func(k int) string{
		maxRunningOf: func(int) string { return "dana" },
		maxRunning:   func(k int) string { return string(rune('a' + k)) },
	} {
		var f flights
		ran := 0
		create := func() {
			t.Helper()
			one, err := f.start(t.Context(), errand{user: "dana", token: "1", key: "create", sandboxID: "a"}, func(context.Context) (string, error) { ran++; return "", nil })
			if err != nil {
				t.Fatal(err)
			}
			<-one.done
		}
		create()
		release := make(chan struct{})
		for k := range limit {
			if _, err := f.start(t.Context(), errand{user: busy(k), key: string(rune('a' + k)), sandboxID: "b"}, func(context.Context) (string, error) { <-release; return "", nil }); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.start(t.Context(), errand{user: "dana", token: "1", key: "remove", sandboxID: "a"}, nil); err == nil {
			t.Errorf("with %d commands another one has begun", limit)
		}
		create()
		close(release)
		if err := f.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ran != 1 {
			t.Errorf("the creation ran %d times beside %d commands", ran, limit)
		}
	}
}

// TestAnOutcomeNobodyWasToldIsKeptForTheRepetition and not for what comes later.
func TestAnOutcomeNobodyWasToldIsKeptForTheRepetition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flights
		ran := 0
		for _, wait := range []time.Duration{0, 3 * time.Second, undelivered} {
			time.Sleep(wait)
			synctest.Wait()
			one, err := f.start(t.Context(), errand{user: "dana", key: "create", sandboxID: "a"}, func(context.Context) (string, error) { ran++; return "", nil })
			if err != nil {
				t.Fatal(err)
			}
			<-one.done
		}
		if ran != 2 {
			t.Errorf("ran %d times", ran)
		}
	})
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
	groups, err := os.ReadFile("testdata/golden/SetAppSecurityGroups.xml")
	if err != nil {
		t.Fatal(err)
	}
	body, _, _ := strings.Cut(string(groups), "\n")
	post(t, d, d.testToken(), "SetAppSecurityGroups", strings.Replace(body, "<printOutput>false", "<printOutput>true", 1))
	if want := `SetAppSecurityGroups: [{"appName": "web-7e11", "success": true, "error": ""}]`; len(backend.messages) != 3 || backend.messages[2] != want {
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
		if _, err := f.start(t.Context(), errand{user: string(rune('a' + k)), key: string(rune('a' + k))}, wait); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.start(t.Context(), errand{user: "dana", key: "one more"}, wait); err == nil {
		t.Error("started one more")
	}
	close(release)
	if err := f.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.start(t.Context(), errand{user: "dana", key: "one more"}, wait); err != nil {
		t.Error(err)
	}
}

// TestTheCommandsOfOneUserLeaveRoomForOthers in whatever case the name is written.
func TestTheCommandsOfOneUserLeaveRoomForOthers(t *testing.T) {
	var f flights
	release := make(chan struct{})
	wait := func(context.Context) (string, error) { <-release; return "", nil }
	start := func(user, key string) error {
		_, err := f.start(t.Context(), errand{user: user, key: key}, wait)
		return err
	}
	for k := range maxRunningOf {
		if err := start([]string{"dana", "Dana"}[k%2], string(rune('a'+k))); err != nil {
			t.Fatal(err)
		}
	}
	if err := start("dana", "one more"); err == nil || err.Error() != "16 commands of user 'dana' are running; try again later" {
		t.Errorf("one more: %v", err)
	}
	if err := start("dana", "a"); err != nil {
		t.Errorf("a repetition: %v", err)
	}
	if err := start("erin", "another's"); err != nil {
		t.Error(err)
	}
	close(release)
	if err := f.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(f.byUser) > 0 {
		t.Errorf("when none runs: %v", f.byUser)
	}
	if err := start("dana", "afterwards"); err != nil {
		t.Error(err)
	}
}

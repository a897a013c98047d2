package cloudshell

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/control"
)

func logonBody(name, password string) string {
	return "<Logon><username>" + name + "</username><password>" + password + "</password><domainName>Global</domainName></Logon>"
}

const whenBody = "<GetServerDateAndTime/>"

// TestTokensLiveFromLogonToLogoff through the front of the door.
func TestTokensLiveFromLogonToLogoff(t *testing.T) {
	d := testDoor(t, &fakeBackend{})
	_, text := post(t, d, "null", "Logon", logonBody("dana", "anad"))
	got, err := strictParse("Logon", text)
	if err != nil {
		t.Fatal(err)
	}
	token := got["Token"].(map[string]any)["Token"].(string)
	if !strings.Contains(text, `<Token Token="`+token+`"/>`) {
		t.Error("the token is not where regular expressions look for it")
	}
	if status, text := post(t, d, token, "GetServerDateAndTime", whenBody); status != 200 || !strings.Contains(text, `Success="true"`) {
		t.Errorf("with a token: %d %s", status, text)
	}
	post(t, d, token, "Logoff", "<Logoff/>")
	if status, text := post(t, d, token, "GetServerDateAndTime", whenBody); status != 401 || !strings.Contains(text, "log on again") {
		t.Errorf("after Logoff: %d %s", status, text)
	}
}

func TestTokensExpire(t *testing.T) {
	d := testDoor(t, &fakeBackend{})
	now := testTime
	d.Clock = func() time.Time { return now }
	token := d.testToken()
	now = now.Add(TokenLifetime - time.Second)
	if status, _ := post(t, d, token, "GetServerDateAndTime", whenBody); status != 200 {
		t.Errorf("a second before: %d", status)
	}
	now = now.Add(time.Second)
	if status, _ := post(t, d, token, "GetServerDateAndTime", whenBody); status != 401 {
		t.Errorf("at the end: %d", status)
	}
}

// TestPythonsUrllibReadsWhatIsWrong: it shows a status other than 200 and no text.
func TestPythonsUrllibReadsWhatIsWrong(t *testing.T) {
	d := testDoor(t, &fakeBackend{})
	r := httptest.NewRequest(http.MethodPost, automationPath+"GetServerDateAndTime", strings.NewReader(whenBody))
	r.Header.Set("User-Agent", "Python-urllib/3.11")
	w := httptest.NewRecorder()
	d.AutomationHandler().ServeHTTP(w, r)
	var refused *apiError
	if _, err := strictParse("GetServerDateAndTime", w.Body.String()); w.Code != 200 || !errors.As(err, &refused) || refused.code != "100" {
		t.Errorf("%d, %v", w.Code, err)
	}
}

func TestTokensAreBounded(t *testing.T) {
	var k tokens
	first := k.issue(control.SandboxUser{Name: "first"}, testTime)
	for range maxTokens {
		k.issue(control.SandboxUser{Name: "other"}, testTime.Add(time.Second))
	}
	if len(k.sessions) > maxTokens {
		t.Errorf("%d tokens", len(k.sessions))
	}
	if _, ok := k.user(first, testTime); ok {
		t.Error("the oldest is still there")
	}
	last := k.issue(control.SandboxUser{Name: "last"}, testTime.Add(TokenLifetime*2))
	if u, ok := k.user(last, testTime.Add(TokenLifetime*2)); !ok || u.Name != "last" || len(k.sessions) != 1 {
		t.Errorf("%v, %t, %d tokens", u, ok, len(k.sessions))
	}
}

func TestFailedLogonsSlowDown(t *testing.T) {
	var th throttle
	for k, want := range []time.Duration{0, 0, 0, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second} {
		if got := th.delay(testTime, "user dana", "address 1"); got != want {
			t.Errorf("after %d failures: %s, want %s", k, got, want)
		}
		th.failed(testTime, "user dana", "address 1")
	}
	for range 100 {
		th.failed(testTime, "user dana")
	}
	if got := th.delay(testTime, "user dana"); got != maxDelay {
		t.Errorf("after many: %s", got)
	}
	if got := th.delay(testTime, "user noam", "address 2"); got != 0 {
		t.Errorf("others wait %s", got)
	}
	if got := th.delay(testTime.Add(failureMemory), "user dana"); got != 0 {
		t.Errorf("after a while: %s", got)
	}
	th.succeeded("user dana", "address 1")
	if got := th.delay(testTime, "user dana", "address 1"); got != 0 {
		t.Errorf("after a success: %s", got)
	}
	for k := range maxFailures + 100 {
		th.failed(testTime, fmt.Sprint(k))
	}
	if len(th.fails) > maxFailures {
		t.Errorf("%d are remembered", len(th.fails))
	}
}

// TestLogonsWaitAtTheDoor measures the first delay, and that others don't wait with it.
func TestLogonsWaitAtTheDoor(t *testing.T) {
	d := testDoor(t, &fakeBackend{})
	for range freeFailures {
		d.throttle.failed(testTime, "user dana")
	}
	started := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() { post(t, d, "", "Logon", logonBody("dana", "anad")) })
	post(t, d, "", "Logon", logonBody("noam", "maon"))
	if took := time.Since(started); took >= firstDelay {
		t.Errorf("another user waited %s", took)
	}
	wg.Wait()
	if took := time.Since(started); took < firstDelay {
		t.Errorf("who had failed waited only %s", took)
	}
	for range maxWaiting {
		d.waiting <- struct{}{}
	}
	for range freeFailures {
		d.throttle.failed(testTime, "user dana")
	}
	if _, text := post(t, d, "", "Logon", logonBody("dana", "anad")); !strings.Contains(text, "too many log-ons") {
		t.Error(text)
	}
}

func TestAuthorizationIsReadInAnyOrder(t *testing.T) {
	for header, want := range map[string]string{
		"MachineName=ws7:8029;Token=abc": "abc", "token=a=b; machinename=x": "a=b", "MachineName=x;Token=": "", "": "", "Bearer x": "",
	} {
		if got := authorizationToken(header); got != want {
			t.Errorf("%q: %q", header, got)
		}
	}
}

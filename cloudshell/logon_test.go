package cloudshell

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

func TestTokensOfAUserAreBounded(t *testing.T) {
	var k tokens
	dana, noam := control.SandboxUser{Name: "dana"}, control.SandboxUser{Name: "noam"}
	other, first := k.issue(noam, testTime.Add(-time.Second)), k.issue(dana, testTime)
	for range maxTokens {
		k.issue(dana, testTime.Add(time.Second))
	}
	if len(k.sessions) != maxTokens+1 {
		t.Errorf("%d tokens, want %d of one and 1 of the other", len(k.sessions), maxTokens)
	}
	if _, ok := k.user(first, testTime); ok {
		t.Error("the oldest of the user is still there")
	}
	if _, ok := k.user(other, testTime); !ok {
		t.Error("the other user has none any more")
	}
	last := k.issue(dana, testTime.Add(TokenLifetime*2))
	if u, ok := k.user(last, testTime.Add(TokenLifetime*2)); !ok || u.Name != "dana" || len(k.sessions) != 2 {
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
}

// TestGuessesWaitForEachOther: whoever asks many times at once is no faster than one by
// one, and what is too many is refused at once.
func TestGuessesWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := testDoor(t, &fakeBackend{})
		started := time.Now()
		var wg sync.WaitGroup
		var wrong, refused atomic.Int32
		guess := func() {
			_, _, err := d.logOn(t.Context(), "192.0.2.1", credentials{name: "dana", password: "x"})
			switch f := (*fault)(nil); {
			case errors.As(err, &f) && f.code == codePassword:
				wrong.Add(1)
			case errors.As(err, &f) && strings.Contains(f.message, "too many log-ons") && time.Since(started) == 0:
				refused.Add(1)
			default:
				t.Errorf("got %v", err)
			}
		}
		for range maxHashing { // no password is compared until all have come
			d.logons.hashing <- struct{}{}
		}
		for range 100 {
			wg.Go(guess)
		}
		synctest.Wait()
		for range maxHashing {
			<-d.logons.hashing
		}
		wg.Wait()
		if n := wrong.Load(); n != freeFailures+maxSlowed || refused.Load() != 100-n {
			t.Errorf("%d passwords were looked at, %d log-ons refused", n, refused.Load())
		}
		if took, want := time.Since(started), (1+2+4+8)*firstDelay; took != want {
			t.Errorf("took %s, want %s", took, want)
		}
		if len(d.logons.from) != 0 {
			t.Errorf("%d addresses are remembered", len(d.logons.from))
		}
	})
}

// TestScriptsLogOnTogether: many log-ons as one user at a time are no guesses.
func TestScriptsLogOnTogether(t *testing.T) {
	d := testDoor(t, &fakeBackend{})
	var wg sync.WaitGroup
	for range maxInLine {
		wg.Go(func() {
			if _, _, err := d.logOn(t.Context(), "192.0.2.1", credentials{name: "dana", password: "anad"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestGuessesKeepNobodyOut has an address guess at once under its own names and under
// those of users, and looks how long a user waits for a comparison that takes 100 ms.
func TestGuessesKeepNobodyOut(t *testing.T) {
	const one = 100 * time.Millisecond
	for name, test := range map[string]struct {
		address string
		most    time.Duration
	}{
		"from another address":   {"192.0.2.2", 2 * one},
		"from the same address":  {"2001:db8::1", (maxStrangers + 3) * one},
		"from the same subnet":   {"2001:db8::2", (maxStrangers + 3) * one},
		"from another interface": {"2001:db8::2%eth0", (maxStrangers + 3) * one},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLogons()
				logon := func(ctx context.Context, address, name string, known bool) error {
					line, err := l.join(address, name, known)
					if err != nil {
						return err
					}
					defer l.leave(line)
					if err := line.turn(ctx); err != nil {
						return err
					}
					defer line.next()
					_, err = l.hash(ctx, line, func() bool { time.Sleep(one); return false })
					return err
				}
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				for k := range 200 {
					wg.Go(func() {
						for ctx.Err() == nil {
							if logon(ctx, "2001:db8::1", fmt.Sprint("x", k), false) != nil {
								time.Sleep(20 * time.Millisecond) // and again
							}
						}
					})
					wg.Go(func() {
						for ctx.Err() == nil {
							if logon(ctx, "2001:db8::1", "noam", true) != nil {
								time.Sleep(20 * time.Millisecond)
							}
						}
					})
				}
				time.Sleep(time.Second)
				started := time.Now()
				if err := logon(t.Context(), test.address, "dana", true); err != nil {
					t.Error(err)
				}
				if took := time.Since(started); took > test.most {
					t.Errorf("waited %s, want %s at most", took, test.most)
				}
				cancel()
				wg.Wait()
				if len(l.from) != 0 {
					t.Errorf("%d addresses are remembered", len(l.from))
				}
			})
		})
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

package cloudshell

import (
	"strconv"
	"strings"
	"testing"
)

// TestTheOutputOfASandboxIsRead as CloudShell's Sandbox API has it.
func TestTheOutputOfASandboxIsRead(t *testing.T) {
	d := testDoor(t, &fakeBackend{messages: []string{"one", "two <&>", "three"}})
	w := webAPI(d, "PUT", "/api/login", "", `{"username": "dana", "password": "anad", "domain": "Global"}`)
	token, err := strconv.Unquote(w.Body.String())
	if err != nil || w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	path := "/api/v2/sandboxes/" + sandboxID + "/output"
	const links = `"_links":{"self":{"href":"/sandboxes/` + sandboxID + `/output","method":"GET"}}}`
	for _, test := range []struct {
		name, method, path, authorization string
		status                            int
		want                              string
	}{
		{"all", "GET", path, "Basic " + token, 200, `{"number_of_returned_entries":3,"next_entry_id":null,"more_pages":false,"entries":[{"text":"one"},{"text":"two \u003c\u0026\u003e"},{"text":"three"}],` + links},
		{"the last", "GET", path + "?tail=1", "Bearer " + token, 200, `{"number_of_returned_entries":1,"next_entry_id":null,"more_pages":false,"entries":[{"text":"three"}],` + links},
		{"the id in upper case", "GET", strings.ToUpper(path) + "?tail=1", "Basic " + token, 200, `"entries":[{"text":"three"}]`},
		{"more than there are", "GET", path + "?tail=9", "Basic " + token, 200, `{"number_of_returned_entries":3,`},
		{"no token", "GET", path, "", 401, `{"message":"The token is not valid or has expired; log on again"}`},
		{"unknown sandbox", "GET", strings.Replace(path, "5b1e", "0000", 1), "Basic " + token, 400, "not exists."},
		{"tail of nothing", "GET", path + "?tail=0", "Basic " + token, 400, "want a whole number from 1 on"},
		{"what is not there", "GET", path + "?since=PT1H", "Basic " + token, 400, "The parameter 'since' is not supported; tail is"},
		{"written", "POST", path, "Basic " + token, 405, "is read with GET"},
		{"another path", "GET", "/api/v2/sandboxes/a/b/output", "Basic " + token, 200, "names no operation"},
	} {
		w := webAPI(d, test.method, test.path, test.authorization, "")
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: %d %s", test.name, w.Code, w.Body)
		}
	}
}

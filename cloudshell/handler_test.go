package cloudshell

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestBodiesThatAreNoRequests are answered with an error that clients read.
func TestBodiesThatAreNoRequests(t *testing.T) {
	d := testDoor(t, &fakeBackend{})
	for name, test := range map[string]struct{ body, want string }{
		"empty":         {"", "not well-formed"},
		"cut":           {"<GetReservationStatus>", "not well-formed"},
		"two roots":     {"<GetReservationStatus/><x/>", "a second root"},
		"text outside":  {"<GetReservationStatus/>x", "text outside"},
		"another root":  {"<EndReservation/>", "names the operation 'GetReservationStatus' and the body 'EndReservation'"},
		"other case":    {"<getReservationStatus/>", "the body 'getReservationStatus'"},
		"a DTD":         {"<!DOCTYPE x [<!ENTITY a 'b'>]><GetReservationStatus/>", "document type declaration"},
		"an entity":     {"<GetReservationStatus>&a;</GetReservationStatus>", "not well-formed"},
		"deep":          {"<GetReservationStatus>" + strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100) + "</GetReservationStatus>", "inside each other"},
		"another text":  {`<?xml version="1.0" encoding="koi8-r"?><GetReservationStatus/>`, "the body is in koi8-r, which is not accepted; send UTF-8"},
		"said UTF-16":   {`<?xml version="1.0" encoding="utf-16"?><GetReservationStatus/>`, "the body is in utf-16, which is not accepted; send UTF-8"},
		"is UTF-16":     {"\xff\xfe<\x00G\x00/\x00>\x00", "the body is in UTF-16, which is not accepted; send UTF-8"},
		"big-endian":    {"\x00<\x00G\x00/\x00>", "the body is in UTF-16, which is not accepted; send UTF-8"},
		"not US-ASCII":  {"<?xml version=\"1.0\" encoding=\"us-ascii\"?><GetReservationStatus>\xe9</GetReservationStatus>", "byte 0xe9 is not US-ASCII"},
		"declared over": {"<?xml version=\"1.0\"?><GetReservationStatus><?xml version=\"1.0\" encoding=\"latin1\"?></GetReservationStatus>", "a second XML declaration"},
		"not utf-8":     {"<GetReservationStatus>\xff</GetReservationStatus>", "not well-formed"},
		"a json object": {"{}", "not well-formed"},
	} {
		status, text := post(t, d, d.testToken(), "GetReservationStatus", test.body)
		_, err := strictParse("GetReservationStatus", text)
		var refused *apiError
		if status != 200 || !errors.As(err, &refused) || refused.code != "100" || !strings.Contains(refused.message, test.want) {
			t.Errorf("%s: %d, %v", name, status, err)
		}
	}
}

// TestEncodingsOfRequests: what the declaration says is how the bytes are read.
func TestEncodingsOfRequests(t *testing.T) {
	for _, test := range []struct{ encoding, text, want string }{
		{"utf-8", "caf\u00e9 \u20ac", "caf\u00e9 \u20ac"},
		{"UTF8", "caf\u00e9", "caf\u00e9"},
		{"us-ascii", "caf&#233;", "caf\u00e9"},
		{"ISO-8859-1", "caf\xe9", "caf\u00e9"},
		{"Windows-1252", "\x80\x81\x99\x9f\xe9", "\u20ac\u0081\u2122\u0178\u00e9"},
		{"iso-8859-1", strings.Repeat("\xe9", 10_000), strings.Repeat("\u00e9", 10_000)},
	} {
		e, err := parseXML([]byte(`<?xml version="1.0" encoding="` + test.encoding + `"?><message>` + test.text + "</message>"))
		if err != nil || e.text != test.want {
			t.Errorf("%s: %+v, %v", test.encoding, e, err)
		}
	}
}

// TestFormsThatMeanTheSame are all the request of the golden pair.
func TestFormsThatMeanTheSame(t *testing.T) {
	d := testDoor(t, &fakeBackend{})
	token := d.testToken()
	_, want := post(t, d, token, "GetReservationStatus", "<GetReservationStatus><reservationId>"+sandboxID+"</reservationId></GetReservationStatus>")
	for _, body := range []string{
		"<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<GetReservationStatus>\n  <reservationId>\n" + strings.ToUpper(sandboxID) + "\n</reservationId>\n</GetReservationStatus>\n",
		"\ufeff<GetReservationStatus><other>1</other><reservationId>" + sandboxID + "</reservationId></GetReservationStatus>",
		"<GetReservationStatus><!-- a comment --><reservationId><![CDATA[" + sandboxID + "]]></reservationId></GetReservationStatus>",
	} {
		if _, got := post(t, d, token, "GetReservationStatus", body); got != want {
			t.Errorf("%s\ngot %s", body, got)
		}
	}
	if _, got := post(t, d, token, "GetReservationStatus/", "<GetReservationStatus><reservationId>"+sandboxID+"</reservationId></GetReservationStatus>"); got != want {
		t.Errorf("with a slash: %s", got)
	}
}

func TestPathsAndMethods(t *testing.T) {
	d := testDoor(t, &fakeBackend{})
	for _, test := range []struct{ method, path, want string }{
		{"POST", "/", "names no operation"},
		{"POST", "/ResourceManagerApiService/", "names no operation"},
		{"POST", "/ResourceManagerApiService/a/b", "names no operation"},
		{"POST", "/ResourceManagerApiService/%3Cscript%3E", "names no operation"},
		{"GET", "/ResourceManagerApiService/Logon", "is called with POST"},
	} {
		w := httptest.NewRecorder()
		d.AutomationHandler().ServeHTTP(w, httptest.NewRequest(test.method, test.path, strings.NewReader("<x/>")))
		if w.Code != 200 || !strings.Contains(w.Body.String(), test.want) || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/xml") {
			t.Errorf("%s %s: %d %s", test.method, test.path, w.Code, w.Body)
		}
		if w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
			t.Errorf("%s %s: Content-Length %s", test.method, test.path, w.Header().Get("Content-Length"))
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	d := testDoor(t, &fakeBackend{})
	d.MaxBody = 100
	_, text := post(t, d, "", "Logon", logonBody(strings.Repeat("x", 100), "y"))
	if _, err := strictParse("Logon", text); err == nil || !strings.Contains(err.Error(), "larger than 100 bytes") {
		t.Error(err)
	}
	// Who has not logged on gets less.
	d.MaxBody = DefaultMaxBody
	_, text = post(t, d, "none", "Logon", logonBody(strings.Repeat("x", maxAnonymousBody), "y"))
	if _, err := strictParse("Logon", text); err == nil || !strings.Contains(err.Error(), "larger than 65536 bytes") {
		t.Error(err)
	}
	// A client with a stale token is to log on again, however long its request is.
	status, text := post(t, d, "stale", "SetSandboxData", "<SetSandboxData>"+strings.Repeat(" ", maxAnonymousBody)+"</SetSandboxData>")
	if _, err := strictParse("SetSandboxData", text); status != 401 || err == nil || !strings.Contains(err.Error(), "log on again") {
		t.Errorf("with a stale token: %d, %v", status, err)
	}
	_, text = post(t, d, d.testToken(), "GetServerDateAndTime", "<GetServerDateAndTime>"+strings.Repeat(" ", maxAnonymousBody)+"</GetServerDateAndTime>")
	if _, err := strictParse("GetServerDateAndTime", text); err != nil {
		t.Error(err)
	}
}

// TestObserverHearsOfEveryRequest, of those that are in no table without their names.
func TestObserverHearsOfEveryRequest(t *testing.T) {
	d := testDoor(t, &fakeBackend{})
	var got []string
	d.Observer = func(operation, code string, _ time.Duration) { got = append(got, operation+" "+code) }
	post(t, d, d.testToken(), "GetServerDateAndTime", whenBody)
	post(t, d, "", "GetServerDateAndTime", whenBody)
	post(t, d, d.testToken(), "Invented", "<Invented/>")
	if want := "GetServerDateAndTime OK,GetServerDateAndTime 100, 100"; strings.Join(got, ",") != want {
		t.Errorf("got %q", got)
	}
}

func webAPI(d *Door, method, path, authorization, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", authorization)
	w := httptest.NewRecorder()
	d.WebAPIHandler().ServeHTTP(w, r)
	return w
}

// TestTheRESTVariant: it logs on with JSON, calls with JSON, and answers with the same
// bytes as the Automation API; tokens go both ways.
func TestTheRESTVariant(t *testing.T) {
	backend := &fakeBackend{}
	d := testDoor(t, backend)
	w := webAPI(d, "PUT", "/Api/Auth/Login", "", `{"Username": "dana", "PASSWORD": "anad", "domain": "Global"}`)
	token, err := strconv.Unquote(w.Body.String())
	if w.Code != 200 || err != nil || token == "" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	_, want := post(t, d, token, "GetReservationStatus", "<GetReservationStatus><reservationId>"+sandboxID+"</reservationId></GetReservationStatus>")
	for _, path := range []string{"/Api//RmApi/GetReservationStatus", "/Api/RmApi/GetReservationStatus", "/api//rmapi/getreservationstatus/"} {
		w = webAPI(d, "POST", path, "Bearer "+token, `{"reservationId": "`+sandboxID+`", "disableCache": false, "none": null}`)
		if w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	w = webAPI(d, "POST", "/Api//RmApi/AddResourcesToReservation", "Bearer "+token, `{"reservationId": "`+sandboxID+`", "resourcesFullPath": ["a", "b"], "shared": true}`)
	if w.Code != 200 || !strings.Contains(backend.called(), "add [a b] shared true") {
		t.Errorf("%s, did %s", w.Body, backend.called())
	}
	in := `{"reservationId": "` + sandboxID + `", "targetName": "AWS", "targetType": "Resource", "commandName": "RemoveTrafficMirroring", "printOutput": false,
		"commandInputs": [{"__name__": "InputNameValue", "Name": "request", "Value": ` + strconv.Quote(removeText("", "")) + `}]}`
	if w = webAPI(d, "POST", "/Api//RmApi/EnqueueCommand", "Bearer "+token, in); !strings.Contains(w.Body.String(), "CommandExecutionIdResponseInfo") {
		t.Error(w.Body)
	}
	if err := d.Close(t.Context()); err != nil || !strings.Contains(backend.called(), "remove mirroring") {
		t.Errorf("%v, did %s", err, backend.called())
	}
	for _, body := range []string{"", "[]", "{", `{"username": "dana", "password": "x"}`, `{"token": "stale"}`} {
		if w = webAPI(d, "PUT", "/Api/Auth/Login", "", body); w.Code != 401 || w.Body.Len() == 0 {
			t.Errorf("log-on with %s: %d %s", body, w.Code, w.Body)
		}
	}
	if w = webAPI(d, "PUT", "/Api/Auth/Login", "", `{"token": "`+token+`"}`); w.Code != 200 {
		t.Errorf("with a token: %d %s", w.Code, w.Body)
	}
	if w = webAPI(d, "POST", "/Api//RmApi/GetReservationStatus", "Bearer x", "{}"); w.Code != http.StatusUnauthorized {
		t.Errorf("with a wrong token: %d", w.Code)
	}
	for _, body := range []string{"", " ", "null", "{}"} {
		if w = webAPI(d, "POST", "/Api//RmApi/GetServerDateAndTime", "Bearer "+token, body); w.Code != 200 || !strings.Contains(w.Body.String(), "ServerDateTime=") {
			t.Errorf("without parameters, body %q: %d %s", body, w.Code, w.Body)
		}
	}
	for _, body := range []string{"", "[]", "{} {}", "null null", "5"} {
		if w = webAPI(d, "POST", "/Api//RmApi/GetReservationStatus", "Bearer "+token, body); w.Code != 200 || !strings.Contains(w.Body.String(), `Success="false"`) {
			t.Errorf("body %q: %d %s", body, w.Code, w.Body)
		}
	}
}

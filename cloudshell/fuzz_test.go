package cloudshell

import (
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"sluice/control"
)

// FuzzAutomationRequest sends anything to any operation: every answer is one that the
// strict client reads, and nothing panics.
func FuzzAutomationRequest(f *testing.F) {
	for _, file := range []string{"ExecuteCommand", "SetAppSecurityGroups", "CheckoutFromPool", "GetReservationDetails", "SetSandboxData.refused", "Logon"} {
		text, err := os.ReadFile("testdata/golden/" + file + ".xml")
		if err != nil {
			f.Fatal(err)
		}
		operation, _, _ := strings.Cut(file, ".")
		body, _, _ := strings.Cut(string(text), "\n")
		f.Add(operation, body, "MM/dd/yyyy HH:mm")
	}
	f.Add("Nothing", "<Nothing/>", "'")
	for _, encoded := range []string{
		"<?xml version='1.0' encoding='ISO-8859-1'?><WriteMessageToReservationOutput><reservationId>" + sandboxID + "</reservationId><message>caf\xe9</message></WriteMessageToReservationOutput>",
		"<?xml version='1.0' encoding='windows-1252'?><WriteMessageToReservationOutput><reservationId>" + sandboxID + "</reservationId><message>5 \x80 \x81</message></WriteMessageToReservationOutput>",
	} {
		f.Add("WriteMessageToReservationOutput", encoded, "dd/MM/yyyy")
	}
	backend := &fakeBackend{}
	d := testDoor(f, backend)
	f.Fuzz(func(t *testing.T, operation, body, pattern string) {
		if !operationPattern.MatchString(operation) {
			return
		}
		backend.calls, backend.messages = nil, nil
		d.throttle.fails = nil // no wait for those who fail to log on
		token := d.testToken() // of its own: a Logoff ends it
		defer d.tokens.revoke(token)
		formatTime(pattern, testTime)
		status, text := post(t, d, token, operation, body)
		_, err := strictParse(operation, text)
		var refused *apiError
		if status != 200 || err != nil && !errors.As(err, &refused) {
			t.Errorf("%d %v\n%s", status, err, text)
		}
		if strings.Contains(text, "internal error") {
			t.Errorf("%s", text)
		}
	})
}

// FuzzDriverRequest reads anything as a driver request: what is accepted is in its
// bounds, what is refused has the driver's code, and answers are JSON.
func FuzzDriverRequest(f *testing.F) {
	f.Add(createText("", ""))
	f.Add(removeText("", ""))
	f.Add(createText(`"5"`, `" +7_0 "`))
	f.Add(`{"driverRequest": {"actions": [{"type": "createTrafficMirroring", "actionId": null}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		actions, err := parseCreateRequest(text)
		requireDriverFault(t, err)
		if err == nil && len(actions) == 0 {
			t.Error("no actions and no error")
		}
		for _, a := range actions {
			if a.SourceNIC == "" || a.TargetNIC == "" || a.SessionNumber < 0 || a.SessionNumber > 32766 {
				t.Errorf("accepted %+v", a)
			}
			if !json.Valid([]byte(driverResponse(createMirroring, []control.MirroringResult{{ActionID: a.ActionID, Info: ruleFault(a)}}))) {
				t.Errorf("answer to %q is no JSON", a.ActionID)
			}
		}
		removals, err := parseRemoveRequest(text)
		requireDriverFault(t, err)
		for _, a := range removals {
			if a.SessionID == "" && a.TargetNIC == "" {
				t.Errorf("accepted %+v", a)
			}
		}
	})
}

// ruleFault is what is wrong with the rules of an action.
func ruleFault(a control.CreateMirroringAction) (fault string) {
	for _, r := range a.Rules {
		fault = cmp.Or(fault, r.Fault)
	}
	return fault
}

func requireDriverFault(t *testing.T, err error) {
	t.Helper()
	var refused *fault
	if err != nil && (!errors.As(err, &refused) || refused.code != 151 || refused.message == "") {
		t.Errorf("error %#v", err)
	}
}

package cloudshell

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/control"
)

// createText is a request of one action; from and to replace a part of it.
func createText(from, to string) string {
	return strings.Replace(`{"driverRequest": {"actions": [{"actionId": "a1", "type": "CreateTrafficMirroring", "actionParams": {"type": "CreateTrafficMirroringParams", "sourceNicId": "eni-1", "targetNicId": "eni-2", "sessionNumber": "5", "filterRules": [{"type": "TrafficFilterRule", "direction": "ingress", "protocol": "tcp", "sourcePortRange": {"type": "PortRange", "fromPort": "1", "toPort": "2"}, "sourceCidr": "10.0.0.1/24"}]}}]}}`, from, to, 1)
}

// TestTheDriverRefuses has every violation of the schema of CreateTrafficMirroring and
// every message of its checks.
func TestTheDriverRefuses(t *testing.T) {
	tests := []struct{ name, request, want string }{
		{"not JSON", "{", "Invalid request: not valid JSON: unexpected EOF"},
		{"something behind", createText("", "") + "x", "Invalid request: not valid JSON: "},
		{"no object", "[]", "Invalid request: []"},
		{"no driverRequest", "{}", "Invalid request: {}"},
		{"driverRequest is no object", `{"driverRequest": 5}`, `Invalid request: {"driverRequest": 5}`},
		{"no actions", `{"driverRequest": {}}`, `Invalid request: {"driverRequest": {}}`},
		{"empty actions", `{"driverRequest": {"actions": []}}`, `Invalid request: {"driverRequest": {"actions": []}}`},
		{"action is no object", `{"driverRequest": {"actions": [5]}}`, "Invalid request: action 1 is not an object"},
		{"no type", createText(`"type": "CreateTrafficMirroring", `, ""), "Invalid request: action 'a1' has no type, want 'CreateTrafficMirroring'"},
		{"type null", createText(`"CreateTrafficMirroring"`, "null"), "Invalid request: action 'a1' has no type"},
		{"type is a number", createText(`"CreateTrafficMirroring"`, "5"), "Invalid request: action 'a1' has the type 5"},
		{"unknown type", createText(`"CreateTrafficMirroring"`, `"Nonsense"`), "Invalid request: action 'a1' has the unknown type 'Nonsense', want 'CreateTrafficMirroring'"},
		{"type of the other command", createText(`"CreateTrafficMirroring"`, `"RemoveTrafficMirroring"`), "Invalid request: action 'a1' has the unknown type 'RemoveTrafficMirroring'"},
		{"no type of params", createText(`"type": "CreateTrafficMirroringParams", `, ""), "Invalid request: actionParams of action 'a1' has no type, want 'CreateTrafficMirroringParams'"},
		{"no type of rule", createText(`"type": "TrafficFilterRule", `, ""), "Invalid request: rule 1 of action 'a1' has no type, want 'TrafficFilterRule'"},
		{"no type of range", createText(`"type": "PortRange", `, ""), "Invalid request: sourcePortRange of rule 1 of action 'a1' has no type, want 'PortRange'"},

		{"no actionId", createText(`"actionId": "a1", `, ""), "'actionId' is a required property"},
		{"actionId is a number", createText(`"a1"`, "7"), "7 is not of type 'string'"},
		{"extra in action", createText(`"actionId"`, `"foo": 1, "actionId"`), "Additional properties are not allowed ('foo' was unexpected)"},
		{"two extras", createText(`"actionId"`, `"foo": 1, "actionTarget": {}, "actionId"`), "Additional properties are not allowed ('foo', 'actionTarget' were unexpected)"},
		{"no params", `{"driverRequest": {"actions": [{"actionId": "a1", "type": "createTrafficMirroring"}]}}`, "'actionParams' is a required property"},
		{"params is a list", `{"driverRequest": {"actions": [{"actionId": "a1", "type": "CreateTrafficMirroring", "actionParams": [true, null, "it's"]}]}}`, `[True, None, "it's"] is not of type 'object'`},
		{"no source", createText(`"sourceNicId": "eni-1", `, ""), "'sourceNicId' is a required property"},
		{"no target", createText(`"targetNicId": "eni-2", `, ""), "'targetNicId' is a required property"},
		{"source null", createText(`"eni-1"`, "null"), "None is not of type 'string'"},
		{"number is a number", createText(`"5"`, "5"), "5 is not of type 'string'"},
		{"rules null", `{"driverRequest": {"actions": [{"actionId": "a1", "type": "CreateTrafficMirroring", "actionParams": {"type": "CreateTrafficMirroringParams", "sourceNicId": "a", "targetNicId": "b", "filterRules": null}}]}}`, "None is not of type 'array'"},
		{"extra in params", createText(`"sourceNicId"`, `"x": 1, "sourceNicId"`), "Additional properties are not allowed ('x' was unexpected)"},
		{"rule is text", `{"driverRequest": {"actions": [{"actionId": "a1", "type": "CreateTrafficMirroring", "actionParams": {"type": "CreateTrafficMirroringParams", "sourceNicId": "a", "targetNicId": "b", "filterRules": ["all"]}}]}}`, "'all' is not of type 'object'"},
		{"no direction", createText(`"direction": "ingress", `, ""), "'direction' is a required property"},
		{"no protocol", createText(`"protocol": "tcp", `, ""), "'protocol' is a required property"},
		{"protocol null", createText(`"tcp"`, "null"), "None is not of type 'string'"},
		{"range is text", createText(`{"type": "PortRange", "fromPort": "1", "toPort": "2"}`, `"1-2"`), "'1-2' is not of type 'object', 'null'"},
		{"protocol is a fraction", createText(`"tcp"`, "6.5"), "6.5 is not of type 'string'"},
		{"many actions", `{"driverRequest": {"actions": [` + strings.Repeat("{},", 50) + `{}]}}`, "Invalid request: 51 actions, expected 1 to 50"},
		{"cidr null", createText(`"10.0.0.1/24"`, "null"), "None is not of type 'string'"},
		{"extra in rule", createText(`"direction"`, `"foo": 1, "direction"`), "Additional properties are not allowed ('foo' was unexpected)"},

		{"source empty", createText(`"eni-1"`, `""`), "Missing a source nic on actionId a1"},
		{"target empty", createText(`"eni-2"`, `" "`), "Missing a target nic on actionId a1"},
		{"number text", createText(`"5"`, `"abc"`), "Session number must be an integer, or an empty string! Passed an invalid session number abc in action a1"},
		{"number 0", createText(`"5"`, `"0"`), "Session number must be either empty or an integer in the range 1-32766"},
		{"number 32767", createText(`"5"`, `"32767"`), "Session number must be either empty or an integer in the range 1-32766"},
		{"number huge", createText(`"5"`, `"99999999999999999999"`), "Session number must be either empty or an integer in the range 1-32766"},
		{"number negative", createText(`"5"`, `"-1"`), "Session number must be either empty or an integer in the range 1-32766"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseCreateRequest(test.request)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v\nwant %q", err, test.want)
			} else if f, ok := err.(*fault); !ok || f.code != 151 {
				t.Errorf("got code of %#v", err)
			}
		})
	}
}

// TestWhatFailsWhileCreating has the causes that are told in the results.
func TestWhatFailsWhileCreating(t *testing.T) {
	tests := []struct{ name, request, want string }{
		{"protocol", createText(`"tcp"`, `"nonsense"`), "protocol not found"},
		{"protocol number", createText(`"tcp"`, `256`), "protocol not found"},
		{"port text", createText(`"fromPort": "1"`, `"fromPort": "a"`), "invalid literal for int() with base 10: 'a'"},
		{"port empty", createText(`"fromPort": "1"`, `"fromPort": ""`), "invalid literal for int() with base 10: ''"},
		{"port list", createText(`"fromPort": "1"`, `"fromPort": [1]`), "invalid literal for int() with base 10: [1]"},
		{"port fraction in text", createText(`"fromPort": "1"`, `"fromPort": "1.0"`), "invalid literal for int() with base 10: '1.0'"},
		{"port large", createText(`"toPort": "2"`, `"toPort": 1e400`), "toPort 1e400 is not a port from 0 to 65535"},
		{"the first of two faults", createText(`"protocol": "tcp", "sourcePortRange": {"type": "PortRange", "fromPort": "1"`, `"protocol": "none", "sourcePortRange": {"type": "PortRange", "fromPort": "b"`), "protocol not found"},
		{"port huge", createText(`"toPort": "2"`, `"toPort": "99999999999"`), "toPort '99999999999' is not a port from 0 to 65535"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			actions, err := parseCreateRequest(test.request)
			if err != nil || len(actions) != 1 || ruleFault(actions[0]) != test.want || actions[0].ActionID != "a1" || actions[0].SessionNumber != 5 {
				t.Errorf("got %+v, %v\nwant %q", actions, err, test.want)
			}
		})
	}
}

// TestWhatTheDriverAccepts has the variants that mean the same.
func TestWhatTheDriverAccepts(t *testing.T) {
	port := func(n int32) *int32 { return &n }
	base := func() control.CreateMirroringAction {
		return control.CreateMirroringAction{ActionID: "a1", SourceNIC: "eni-1", TargetNIC: "eni-2", SessionNumber: 5, Rules: []control.MirroringRule{{
			Direction: "ingress", Protocol: 6, SourcePorts: &control.MirroringPorts{From: port(1), To: port(2)}, SourceCIDR: "10.0.0.1/24",
		}}}
	}
	with := func(change func(*control.CreateMirroringAction)) control.CreateMirroringAction {
		a := base()
		change(&a)
		return a
	}
	number := func(n int32) control.CreateMirroringAction {
		return with(func(a *control.CreateMirroringAction) { a.SessionNumber = n })
	}
	protocol := func(n int32) control.CreateMirroringAction {
		return with(func(a *control.CreateMirroringAction) { a.Rules[0].Protocol = n })
	}
	tests := []struct {
		name, request string
		want          control.CreateMirroringAction
	}{
		{"the example", createText("", ""), base()},
		{"blanks and byte order mark", "\ufeff\n" + createText("", "") + "\n", base()},
		{"type in lower case", createText(`"CreateTrafficMirroring"`, `"createTrafficMirroring"`), base()},
		{"a key twice", createText(`"actionId": "a1"`, `"actionId": "a0", "actionId": "a1"`), base()},
		{"number in blanks", createText(`"5"`, `" 7 "`), number(7)},
		{"number empty", createText(`"5"`, `""`), number(0)},
		{"number blank", createText(`"5"`, `"  "`), number(0)},
		{"number absent", createText(`"sessionNumber": "5", `, ""), number(0)},
		{"protocol in upper case", createText(`"tcp"`, `"UDP"`), protocol(17)},
		{"protocol number in text", createText(`"tcp"`, `"6"`), protocol(6)},
		{"protocol number", createText(`"tcp"`, `47`), protocol(47)},
		{"any protocol", createText(`"tcp"`, `"-1"`), protocol(-1)},
		{"all protocols", createText(`"tcp"`, `"all"`), protocol(-1)},
		{"direction is not looked at", createText(`"ingress"`, `"sideways"`), with(func(a *control.CreateMirroringAction) { a.Rules[0].Direction = "sideways" })},
		{"ports as numbers", createText(`"fromPort": "1", "toPort": "2"`, `"fromPort": 1, "toPort": 2`), base()},
		{"ports as fractions", createText(`"fromPort": "1", "toPort": "2"`, `"fromPort": 1.9, "toPort": 0.2e1`), base()},
		{"port as bool", createText(`"fromPort": "1"`, `"fromPort": true`), base()},
		{"one port", createText(`, "toPort": "2"`, ""), with(func(a *control.CreateMirroringAction) { a.Rules[0].SourcePorts.To = nil })},
		{"range null", createText(`{"type": "PortRange", "fromPort": "1", "toPort": "2"}`, "null"), with(func(a *control.CreateMirroringAction) { a.Rules[0].SourcePorts = nil })},
		{"range of nothing", createText(`, "fromPort": "1", "toPort": "2"`, ""), with(func(a *control.CreateMirroringAction) { a.Rules[0].SourcePorts = nil })},
		{"cidr empty", createText(`"10.0.0.1/24"`, `""`), with(func(a *control.CreateMirroringAction) { a.Rules[0].SourceCIDR = "" })},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseCreateRequest(test.request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]control.CreateMirroringAction{test.want}, got); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
		})
	}
}

// TestProtocolNames has those of the driver's own table, in any case.
func TestProtocolNames(t *testing.T) {
	for name, want := range map[string]int32{
		"tcp": 6, "UDP": 17, "Icmp": 1, "IPv6-ICMP": 58, "hopopt": 0, "ip": 0, "ospf": 89, "OSPFIGP": 89, "ax.25": 93, "mpls-in-ip": 137, "rohc": 142,
		"a/n": 107, "tp++": 39, "any": -1, "-1": -1, "0": 0, "255": 255, " gre ": 47,
	} {
		if n, err := protocolNumber(name); err != nil || n != want {
			t.Errorf("%q is %d, %v; want %d", name, n, err, want)
		}
	}
	for _, name := range []string{"", "tcp udp", "256", "-2", "nonsense", "6 tcp", "\n"} {
		if n, err := protocolNumber(name); err == nil {
			t.Errorf("%q is %d", name, n)
		}
	}
	seen := map[string]bool{}
	for entry := range strings.Lines(assignedProtocols) {
		for _, field := range strings.Fields(entry) {
			if seen[field] {
				t.Errorf("%s stands there twice", field)
			}
			seen[field] = true
		}
	}
}

func removeText(from, to string) string {
	return strings.Replace(`{"driverRequest": {"actions": [{"actionId": "r1", "type": "RemoveTrafficMirroring", "sessionId": "tms-1", "targetNicId": ""}]}}`, from, to, 1)
}

func TestRemoveRequests(t *testing.T) {
	refused := []struct{ name, request, want string }{
		{"no actions", `{"driverRequest": {"actions": []}}`, "Invalid request, expected remove actions but none found"},
		{"no request", `{}`, "Invalid request, expected remove actions but none found"},
		{"unknown type", removeText("Remove", "Delete"), "Invalid request: action 'r1' has the unknown type 'DeleteTrafficMirroring'"},
		{"no actionId", removeText(`"actionId": "r1", `, ""), "'actionId' is a required property"},
		{"no sessionId", removeText(`"sessionId": "tms-1", `, ""), "'sessionId' is a required property"},
		{"no target", removeText(`, "targetNicId": ""`, ""), "'targetNicId' is a required property"},
		{"session null", removeText(`"tms-1"`, "null"), "None is not of type 'string'"},
		{"extra", removeText(`"sessionId"`, `"sourceNic": "eni-1", "sessionId"`), "Additional properties are not allowed ('sourceNic' was unexpected)"},
		{"both empty", removeText(`"tms-1"`, `""`), "Must have either sessionId or target_nic_id for actionId r1 but received empty values"},
	}
	for _, test := range refused {
		if _, err := parseRemoveRequest(test.request); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
	for text, want := range map[string]control.RemoveMirroringAction{
		removeText("", ""): {ActionID: "r1", SessionID: "tms-1"},
		removeText(`"tms-1", "targetNicId": ""`, `"", "targetNicId": "eni-2"`): {ActionID: "r1", TargetNIC: "eni-2"},
		removeText(`"targetNicId": ""`, `"targetNicId": "eni-2"`):              {ActionID: "r1", SessionID: "tms-1", TargetNIC: "eni-2"},
	} {
		got, err := parseRemoveRequest(text)
		if diff := cmp.Diff([]control.RemoveMirroringAction{want}, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
}

func TestDriverResponseIsWrittenAsPythonDoes(t *testing.T) {
	got := driverResponse(createMirroring, []control.MirroringResult{
		{ActionID: "a\"1", Success: true, Info: "Success", SessionID: "tms-1"},
		{ActionID: "é\n🦊", Info: "<&>", Error: "<&>"},
	})
	want := `{"driverResponse": {"actionResults": [{"type": "CreateTrafficMirroring", "actionId": "a\"1", "success": true, "infoMessage": "Success", "errorMessage": "", "sessionId": "tms-1"}, ` +
		`{"type": "CreateTrafficMirroring", "actionId": "\u00e9\n\ud83e\udd8a", "success": false, "infoMessage": "<&>", "errorMessage": "<&>", "sessionId": ""}]}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPythonInt(t *testing.T) {
	for text, want := range map[string]int64{"5": 5, " +7 ": 7, "-3": -3, "1_000": 1000, "007": 7} {
		if n, ok := pythonInt(text); !ok || n != want {
			t.Errorf("%q: %d, %t", text, n, ok)
		}
	}
	for _, text := range []string{"", "-", "_1", "1_", "1__0", "-_1", "+-1", "0x1", "1.0", "1e3", "one", "1 2"} {
		if n, ok := pythonInt(text); ok {
			t.Errorf("%q is %d", text, n)
		}
	}
}

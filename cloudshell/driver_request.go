package cloudshell

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"sluice"
	"sluice/control"
)

// invalid is the error of a request that the driver refuses before it changes anything.
func invalid(format string, args ...any) error {
	return faultf(control.SandboxErrorDriver, format, args...)
}

// maxActionID bounds an actionId, in bytes: answers repeat it.
const maxActionID = 1024

// readActions reads the actions of a request and their ids. What names an action before
// its own id is known is its place.
func readActions(request, kind, none string) ([]*jsonObject, error) {
	value, err := parseJSON([]byte(request))
	if err != nil {
		return nil, invalid("Invalid request: not valid JSON: %s", err)
	}
	missing := invalid("%s", none)
	root, ok := value.(*jsonObject)
	if !ok {
		return nil, missing
	}
	driver, ok := root.values["driverRequest"].(*jsonObject)
	if !ok {
		return nil, missing
	}
	list, ok := driver.values["actions"].([]any)
	if !ok || len(list) == 0 {
		return nil, missing
	}
	if len(list) > control.MaxMirroringActions {
		return nil, invalid("Invalid request: %d actions, expected 1 to %d", len(list), control.MaxMirroringActions)
	}
	var actions []*jsonObject
	for k, item := range list {
		name := fmt.Sprintf("action %d", k+1)
		a, ok := item.(*jsonObject)
		if !ok {
			return nil, invalid("Invalid request: %s is not an object", name)
		}
		if id, ok := a.values["actionId"].(string); ok {
			if len(id) > maxActionID {
				return nil, invalid("Invalid request: the actionId of %s has %d bytes, want %d at most", name, len(id), maxActionID)
			}
			name = "action '" + cut(id) + "'"
		}
		if err := requireType(a, name, kind); err != nil {
			return nil, err
		}
		actions = append(actions, a)
	}
	return actions, nil
}

// requireType checks the class that an object names. The first letter's case is
// nothing, as in the driver.
func requireType(o *jsonObject, name, want string) error {
	v, ok := o.get("type")
	if !ok || v == nil {
		return invalid("Invalid request: %s has no type, want '%s'", name, want)
	}
	got, ok := v.(string)
	if !ok {
		return invalid("Invalid request: %s has the type %s, want '%s'", name, repr(v), want)
	}
	if got == "" || strings.ToUpper(got[:1])+got[1:] != want {
		return invalid("Invalid request: %s has the unknown type '%s', want '%s'", name, cut(got), want)
	}
	return nil
}

// property is one of a schema. Its types are "string", "object", "array" and "null".
type property struct {
	name     string
	required bool
	types    []string
	// integer allows whole numbers too. The driver's schema, and so its message, doesn't
	// know that.
	integer bool
}

// check compares an object with a schema that has no further properties, and fails
// with jsonschema's text.
func check(o *jsonObject, schema []property) error {
	known := map[string]property{}
	for _, p := range schema {
		known[p.name] = p
		if _, ok := o.get(p.name); p.required && !ok {
			return invalid("'%s' is a required property", p.name)
		}
	}
	var extra []string
	for _, key := range o.keys {
		if _, ok := known[key]; !ok {
			extra = append(extra, reprString(cut(key)))
		}
	}
	switch len(extra) {
	case 0:
	case 1:
		return invalid("Additional properties are not allowed (%s was unexpected)", extra[0])
	default:
		return invalid("Additional properties are not allowed (%s were unexpected)", cut(strings.Join(extra, ", ")))
	}
	for _, p := range schema {
		if v, ok := o.get(p.name); ok && !isType(v, p.types) && !(p.integer && isInteger(v)) {
			return typeError(v, p.types)
		}
	}
	return nil
}

// typeError is jsonschema's, which lists the types that would do.
func typeError(v any, types []string) error {
	return invalid("%s is not of type '%s'", repr(v), strings.Join(types, "', '"))
}

func isInteger(v any) bool {
	n, ok := v.(json.Number)
	return ok && !strings.ContainsAny(n.String(), ".eE")
}

func isType(v any, types []string) bool {
	for _, t := range types {
		ok := false
		switch t {
		case "string":
			_, ok = v.(string)
		case "object":
			_, ok = v.(*jsonObject)
		case "array":
			_, ok = v.([]any)
		case "null":
			ok = v == nil
		}
		if ok {
			return true
		}
	}
	return false
}

func text(o *jsonObject, key string) string {
	s, _ := o.values[key].(string)
	return s
}

// parseCreateRequest reads the request of CreateTrafficMirroring. An error is what the
// driver raises before it creates anything; what it finds later is a rule's Fault.
func parseCreateRequest(request string) ([]control.CreateMirroringAction, error) {
	list, err := readActions(request, createMirroring, "Invalid request: "+cutRequest(request))
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		if err := checkCreateAction(a); err != nil {
			return nil, err
		}
	}
	var actions []control.CreateMirroringAction
	for _, a := range list {
		action, err := createAction(a)
		if err != nil {
			return nil, err
		}
		actions = append(actions, action)
	}
	return actions, nil
}

// checkCreateAction checks types first and then the schema, as the driver does.
func checkCreateAction(a *jsonObject) error {
	name := "action " + repr(a.values["actionId"])
	params, isObject := a.values["actionParams"].(*jsonObject)
	if isObject {
		if err := requireType(params, "actionParams of "+name, "CreateTrafficMirroringParams"); err != nil {
			return err
		}
	}
	var rules []any
	if isObject {
		rules, _ = params.values["filterRules"].([]any)
	}
	for k, item := range rules {
		rule, ok := item.(*jsonObject)
		if !ok {
			continue // the schema refuses it
		}
		at := fmt.Sprintf("rule %d of %s", k+1, name)
		if err := requireType(rule, at, "TrafficFilterRule"); err != nil {
			return err
		}
		for _, key := range []string{"sourcePortRange", "destinationPortRange"} {
			if ports, ok := rule.values[key].(*jsonObject); ok {
				if err := requireType(ports, key+" of "+at, "PortRange"); err != nil {
					return err
				}
			}
		}
	}
	if err := check(a, []property{
		{"actionId", true, []string{"string"}, false}, {"type", false, []string{"string"}, false}, {"actionParams", true, []string{"object"}, false},
	}); err != nil {
		return err
	}
	if err := check(params, []property{
		{"type", false, []string{"string"}, false}, {"sourceNicId", true, []string{"string"}, false}, {"targetNicId", true, []string{"string"}, false},
		{"sessionNumber", false, []string{"string"}, false}, {"filterRules", false, []string{"array"}, false},
	}); err != nil {
		return err
	}
	for _, item := range rules {
		rule, ok := item.(*jsonObject)
		if !ok {
			return typeError(item, []string{"object"})
		}
		if err := check(rule, []property{
			{"type", false, []string{"string"}, false}, {"direction", true, []string{"string"}, false}, {"protocol", true, []string{"string"}, true},
			{"sourcePortRange", false, []string{"object", "null"}, false}, {"destinationPortRange", false, []string{"object", "null"}, false},
			{"sourceCidr", false, []string{"string"}, false}, {"destinationCidr", false, []string{"string"}, false},
		}); err != nil {
			return err
		}
	}
	return nil
}

// createAction reads an action that fits its schema, with the driver's own checks.
func createAction(a *jsonObject) (control.CreateMirroringAction, error) {
	params := a.values["actionParams"].(*jsonObject)
	out := control.CreateMirroringAction{
		ActionID:  text(a, "actionId"),
		SourceNIC: strings.TrimSpace(text(params, "sourceNicId")),
		TargetNIC: strings.TrimSpace(text(params, "targetNicId")),
	}
	if out.SourceNIC == "" {
		return out, invalid("Missing a source nic on actionId %s", out.ActionID)
	}
	if out.TargetNIC == "" {
		return out, invalid("Missing a target nic on actionId %s", out.ActionID)
	}
	if number := text(params, "sessionNumber"); strings.TrimSpace(number) != "" {
		n, ok := pythonInt(number)
		if !ok {
			return out, invalid("Session number must be an integer, or an empty string! Passed an invalid session number %s in action %s", cut(number), out.ActionID)
		}
		if n < 1 || n > sluice.MaxSessionNumber {
			return out, invalid("Session number must be either empty or an integer in the range 1-32766")
		}
		out.SessionNumber = int32(n)
	}
	rules, _ := params.values["filterRules"].([]any)
	for _, item := range rules {
		rule, err := filterRule(item.(*jsonObject))
		var late *lateError
		if errors.As(err, &late) {
			rule = control.MirroringRule{Fault: late.message}
		} else if err != nil {
			return out, err
		}
		out.Rules = append(out.Rules, rule)
	}
	return out, nil
}

// lateError is what the driver only finds while it creates.
type lateError struct{ message string }

// Error returns the message.
func (e *lateError) Error() string { return e.message }

func filterRule(r *jsonObject) (control.MirroringRule, error) {
	out := control.MirroringRule{
		Direction:       text(r, "direction"),
		SourceCIDR:      strings.TrimSpace(text(r, "sourceCidr")),
		DestinationCIDR: strings.TrimSpace(text(r, "destinationCidr")),
	}
	var err error
	if out.Protocol, err = protocolNumber(r.values["protocol"]); err != nil {
		return out, err
	}
	if out.SourcePorts, err = portRange(r, "sourcePortRange"); err != nil {
		return out, err
	}
	out.DestinationPorts, err = portRange(r, "destinationPortRange")
	return out, err
}

// portRange reads a PortRange; a side that is missing or null is left out.
func portRange(r *jsonObject, key string) (*control.MirroringPorts, error) {
	o, ok := r.values[key].(*jsonObject)
	if !ok {
		return nil, nil
	}
	from, err := port(o, "fromPort")
	if err != nil {
		return nil, err
	}
	to, err := port(o, "toPort")
	if err != nil || from == nil && to == nil {
		return nil, err
	}
	return &control.MirroringPorts{From: from, To: to}, nil
}

// port reads a side of a range as Python's int() does: a string of digits, a number,
// whose fraction it drops, or a bool.
func port(o *jsonObject, key string) (*int32, error) {
	v := o.values[key]
	var n int64
	ok := false
	switch v := v.(type) {
	case nil:
		return nil, nil
	case bool:
		if ok = true; v {
			n = 1
		}
	case string:
		n, ok = pythonInt(v)
	case json.Number:
		if n, ok = pythonInt(v.String()); !ok {
			f, err := v.Float64() // err is a number that is too large, and f infinite then
			n, ok = int64(max(math.MinInt32, min(math.MaxInt32, f))), err == nil || math.IsInf(f, 0)
		}
	}
	if !ok {
		return nil, &lateError{"invalid literal for int() with base 10: " + repr(v)}
	}
	if n <= math.MinInt32 || n >= math.MaxInt32 {
		return nil, &lateError{fmt.Sprintf("%s %s is not a port from 0 to 65535", key, repr(v))}
	}
	p := int32(n)
	return &p, nil
}

// parseRemoveRequest reads the request of RemoveTrafficMirroring.
func parseRemoveRequest(request string) ([]control.RemoveMirroringAction, error) {
	list, err := readActions(request, removeMirroring, "Invalid request, expected remove actions but none found")
	if err != nil {
		return nil, err
	}
	var out []control.RemoveMirroringAction
	for _, a := range list {
		if err := check(a, []property{
			{"actionId", true, []string{"string"}, false}, {"type", false, []string{"string"}, false},
			{"sessionId", true, []string{"string"}, false}, {"targetNicId", true, []string{"string"}, false},
		}); err != nil {
			return nil, err
		}
		action := control.RemoveMirroringAction{
			ActionID: text(a, "actionId"), SessionID: strings.TrimSpace(text(a, "sessionId")), TargetNIC: strings.TrimSpace(text(a, "targetNicId")),
		}
		if action.SessionID == "" && action.TargetNIC == "" {
			return nil, invalid("Must have either sessionId or target_nic_id for actionId %s but received empty values", action.ActionID)
		}
		out = append(out, action)
	}
	return out, nil
}

// maxRequestEcho bounds what an error repeats of a whole request, in bytes.
const maxRequestEcho = 4096

func cutRequest(s string) string {
	if len(s) > maxRequestEcho {
		return strings.ToValidUTF8(s[:maxRequestEcho], "") + "..."
	}
	return s
}

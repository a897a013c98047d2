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

// maxActions bounds the actions of one request, which are carried out in one go.
const maxActions = 100

// invalid is the error of a request that the driver refuses before it changes anything.
func invalid(format string, args ...any) error {
	return faultf(control.SandboxErrorDriver, format, args...)
}

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
	if len(list) > maxActions {
		return nil, invalid("Invalid request: %d actions, want %d at most", len(list), maxActions)
	}
	var actions []*jsonObject
	for k, item := range list {
		name := fmt.Sprintf("action %d", k+1)
		a, ok := item.(*jsonObject)
		if !ok {
			return nil, invalid("Invalid request: %s is not an object", name)
		}
		if id, ok := a.values["actionId"].(string); ok {
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

// property is one of a schema. Its types are "string", "object", "array", "null",
// "integer".
type property struct {
	name     string
	required bool
	types    []string
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
		if v, ok := o.get(p.name); ok && !isType(v, p.types) {
			return typeError(v, p.types[:1])
		}
	}
	return nil
}

func typeError(v any, types []string) error {
	return invalid("%s is not of type '%s'", repr(v), strings.Join(types, "', '"))
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
		case "integer":
			n, isNumber := v.(json.Number)
			ok = isNumber && !strings.ContainsAny(n.String(), ".eE")
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
// driver raises before it creates anything; cause is why creating would fail.
func parseCreateRequest(request string) (actions []control.CreateMirroringAction, cause string, err error) {
	list, err := readActions(request, createMirroring, "Invalid request: "+cutRequest(request))
	if err != nil {
		return nil, "", err
	}
	for _, a := range list {
		if err := checkCreateAction(a); err != nil {
			return nil, "", err
		}
	}
	var causes []error
	for _, a := range list {
		action, err := createAction(a)
		var late *lateError
		if errors.As(err, &late) {
			causes = append(causes, err)
		} else if err != nil {
			return nil, "", err
		}
		actions = append(actions, action)
	}
	if len(causes) > 0 {
		cause = causes[0].Error()
	}
	return actions, cause, nil
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
		{"actionId", true, []string{"string"}}, {"type", false, []string{"string"}}, {"actionParams", true, []string{"object"}},
	}); err != nil {
		return err
	}
	if err := check(params, []property{
		{"type", false, []string{"string"}}, {"sourceNicId", true, []string{"string"}}, {"targetNicId", true, []string{"string"}},
		{"sessionNumber", false, []string{"string"}}, {"filterRules", false, []string{"array"}},
	}); err != nil {
		return err
	}
	for _, item := range rules {
		rule, ok := item.(*jsonObject)
		if !ok {
			return typeError(item, []string{"object"})
		}
		if err := check(rule, []property{
			{"type", false, []string{"string"}}, {"direction", true, []string{"string"}}, {"protocol", true, []string{"string", "integer"}},
			{"sourcePortRange", false, []string{"object", "null"}}, {"destinationPortRange", false, []string{"object", "null"}},
			{"sourceCidr", false, []string{"string"}}, {"destinationCidr", false, []string{"string"}},
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
	var late error
	for _, item := range rules {
		rule, err := filterRule(item.(*jsonObject))
		if err != nil && late == nil {
			late = err
		}
		out.Rules = append(out.Rules, rule)
	}
	return out, late
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

// protocolNumber reads a name, a number in a string or a number (IANA protocol
// numbers); "all" and -1 are any.
func protocolNumber(v any) (int32, error) {
	var name string
	switch v := v.(type) {
	case string:
		name = strings.ToLower(strings.TrimSpace(v))
	case json.Number:
		name = v.String()
	}
	known := map[string]int32{
		"all": -1, "any": -1, "icmp": 1, "igmp": 2, "ipv4": 4, "ipencap": 4, "tcp": 6, "egp": 8, "udp": 17, "dccp": 33, "ipv6": 41,
		"rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "icmpv6": 58, "icmp6": 58, "eigrp": 88, "ospf": 89, "pim": 103,
		"vrrp": 112, "l2tp": 115, "sctp": 132, "udplite": 136,
	}
	if n, ok := known[name]; ok {
		return n, nil
	}
	if n, ok := pythonInt(name); ok && n >= -1 && n <= 255 {
		return int32(n), nil
	}
	return 0, &lateError{"protocol not found"}
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

func port(o *jsonObject, key string) (*int32, error) {
	v := o.values[key]
	var written string
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		written = v
	case json.Number:
		written = v.String()
	}
	n, ok := pythonInt(written)
	if !ok {
		return nil, &lateError{"invalid literal for int() with base 10: " + repr(v)}
	}
	if n < math.MinInt32 || n > math.MaxInt32 {
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
			{"actionId", true, []string{"string"}}, {"type", false, []string{"string"}},
			{"sessionId", true, []string{"string"}}, {"targetNicId", true, []string{"string"}},
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

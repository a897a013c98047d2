package state

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Every key of the store. Names are ARN-safe (letters, digits, dashes), ids are
// UUIDs and zones are zone names, so a slash always ends a part.
const (
	root = "/sluice/"
	// key: name — value: record of sluice.FirewallPolicy
	firewallPolicyPrefix = root + "firewall-policy/"
	// key: name — value: record of sluice.Firewall
	firewallPrefix = root + "firewall/"
	// key: firewall id / operation id — value: record of sluice.FlowOperation
	flowOperationPrefix = root + "flow-operation/"
	// key: firewall id / availability zone — value: record of the id of the one
	// flow operation that runs there
	runningPrefix = root + "running/"
	// key: id — value: record of sluice.TrafficMirrorFilter, with its rules
	filterPrefix = root + "traffic-mirror-filter/"
	// key: rule id — value: record of the id of the rule's filter
	filterRulePrefix = root + "traffic-mirror-filter-rule/"
	// key: id — value: record of sluice.TrafficMirrorTarget
	targetPrefix = root + "traffic-mirror-target/"
	// key: interface id or escaped ARN / target id — value: record of the target's id
	targetUsePrefix = root + "traffic-mirror-target-use/"
	// key: id — value: record of sluice.TrafficMirrorSession
	sessionPrefix = root + "traffic-mirror-session/"
	// key: "source", "target", "filter" or "vni" / its id or number / session id —
	// value: record of sessionUse
	sessionUsePrefix = root + "traffic-mirror-session-use/"
	// key: id — value: record of sluice.SecurityGroup
	securityGroupPrefix = root + "security-group/"
	// key: VPC id / escaped name — value: record of the id of the group
	securityGroupNamePrefix = root + "security-group-name/"
	// key: rule id — value: record of the id of the rule's group
	securityGroupRulePrefix = root + "security-group-rule/"
	// key: resource type / resource id — value: record of resourceTags. The tags of
	// EC2 resources stand here alone, not in the records of the resources.
	tagPrefix = root + "tag/"
	// key: id — value: record of sluice.Sandbox
	sandboxPrefix = root + "sandbox/"
	// key: instance id / sandbox id — value: record of sandboxUse
	sandboxUsePrefix = root + "sandbox-use/"
	// key: sandbox id / id of a session, or of a target of sandboxes that it has used —
	// value: record of sandboxObject
	sandboxObjectPrefix = root + "sandbox-object/"
	// key: target id — value: record of that id. A sandbox has made the target.
	sandboxTargetPrefix = root + "sandbox-target/"
	// key: target id / id of a sandbox that has used it — value: record of the sandbox's
	// id
	sandboxTargetUsePrefix = root + "sandbox-target-use/"
	// key: sandbox id / base64 of the datum's key — value: record of sandboxDatum
	sandboxDataPrefix = root + "sandbox-data/"
	// key: sandbox id — value: record of sandboxOutput
	sandboxOutputPrefix = root + "sandbox-output/"
	// key: sandbox id / number of the line, 19 digits — value: record of []byte
	sandboxLinePrefix = root + "sandbox-output-line/"
	// key: escaped pool id / escaped value / sandbox id / escaped owner id — value:
	// record of sluice.PoolItem
	poolPrefix = root + "pool/"
	// key: sandbox id / the rest of the item's key below poolPrefix — value: record of
	// sluice.PoolItem
	sandboxPoolPrefix = root + "sandbox-pool/"
	// key: operation / escaped client token — value: record of answeredCreation
	clientTokenPrefix = root + "client-token/"
	// value: record of desiredRevision
	desiredRevisionKey = root + "desired-revision"
)

// recordVersion is the version of the JSON that is written. A change that older
// code cannot read needs a new one, and code here that reads both.
const recordVersion = 1

// record is a stored value with the version of its form.
type record[T any] struct {
	Version int
	Value   T
}

// orderedNumber is a number that is not negative, as a part of a key that has its order.
func orderedNumber(n int64) string { return fmt.Sprintf("%019d", n) }

func encode[T any](value T) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // no page shows it, and six bytes for one would add up
	if err := e.Encode(record[T]{recordVersion, value}); err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func decode[T any](b []byte) (T, error) {
	var r record[T]
	if err := json.Unmarshal(b, &r); err != nil {
		return r.Value, fmt.Errorf("decode record: %w", err)
	}
	if r.Version != recordVersion {
		return r.Value, fmt.Errorf("decode record: version %d is not known, %d is", r.Version, recordVersion)
	}
	return r.Value, nil
}

func decodeAll[T any](values [][]byte) ([]T, error) {
	out := make([]T, len(values))
	for i, b := range values {
		var err error
		if out[i], err = decode[T](b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// load reads and decodes one key of a transaction.
func load[T any](tx *transaction, key string) (value T, ok bool, err error) {
	b, ok, err := tx.get(key)
	if err != nil || !ok {
		return value, false, err
	}
	if value, err = decode[T](b); err != nil {
		return value, false, fmt.Errorf("read %s: %w", key, err)
	}
	return value, true, nil
}

// loadAll reads and decodes everything below a prefix.
func loadAll[T any](tx *transaction, prefix string) ([]T, error) {
	values, err := tx.list(prefix)
	if err != nil {
		return nil, err
	}
	all, err := decodeAll[T](values)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", prefix, err)
	}
	return all, nil
}

// save encodes and writes one key.
func save[T any](tx *transaction, key string, value T) error {
	b, err := encode(value)
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	tx.put(key, b)
	return nil
}

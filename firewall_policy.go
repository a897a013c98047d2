package sluice

import "time"

// The actions that a stateless default may take; exactly one of them is set.
const (
	ActionPass         = "aws:pass"
	ActionDrop         = "aws:drop"
	ActionForwardToSFE = "aws:forward_to_sfe"
)

// The rule orders of a stateful engine. Once created a policy keeps its order.
const (
	RuleOrderDefault = "DEFAULT_ACTION_ORDER" // also where the policy names none
	RuleOrderStrict  = "STRICT_ORDER"
)

// The stream exception policies: what becomes of a TCP packet that is no SYN and
// belongs to no flow.
const (
	StreamExceptionDrop     = "DROP" // also where the policy names none
	StreamExceptionContinue = "CONTINUE"
	StreamExceptionReject   = "REJECT"
)

// Bounds of FlowTimeouts.TcpIdleTimeoutSeconds (AWS: FlowTimeouts).
const (
	TCPIdleTimeoutDefault = 350
	TCPIdleTimeoutMin     = 60
	TCPIdleTimeoutMax     = 6000
)

// Tag is a key and a value on a resource.
type Tag struct{ Key, Value string }

// EncryptionConfiguration names the key that a resource is encrypted with. It is
// kept and echoed; Sluice itself encrypts nothing with it.
type EncryptionConfiguration struct{ KeyID, Type string }

// AWSOwnedKey is the EncryptionConfiguration of a resource that names none.
var AWSOwnedKey = EncryptionConfiguration{KeyID: "AWS_OWNED_KMS_KEY", Type: "AWS_OWNED_KMS_KEY"}

// StatefulEngineOptions are the settings of the stateful engine. Empty strings
// and a zero time-out mean "not sent"; describe leaves them out again.
type StatefulEngineOptions struct {
	RuleOrder             string
	StreamExceptionPolicy string
	FlowTimeouts          bool // the block was sent
	TCPIdleTimeoutSeconds int32
}

// CustomAction is a metric that a default action can publish beside its verdict.
type CustomAction struct {
	Name       string
	Dimensions []string // exactly one value
}

// FirewallPolicyBody is the FirewallPolicy structure of the API: what a client
// sends and gets back as it was.
type FirewallPolicyBody struct {
	StatelessDefaultActions         []string
	StatelessFragmentDefaultActions []string
	StatelessCustomActions          []CustomAction
	StatefulDefaultActions          []string
	StatefulEngineOptions           *StatefulEngineOptions // nil when not sent
	// PolicyVariables maps a variable name to its definition; only HOME_NET is
	// allowed. nil when not sent.
	PolicyVariables map[string][]string
}

// RuleOrder returns the order that is in force.
func (b FirewallPolicyBody) RuleOrder() string {
	if b.StatefulEngineOptions != nil && b.StatefulEngineOptions.RuleOrder != "" {
		return b.StatefulEngineOptions.RuleOrder
	}
	return RuleOrderDefault
}

// StreamException returns the stream exception policy that is in force.
func (b FirewallPolicyBody) StreamException() string {
	if b.StatefulEngineOptions != nil && b.StatefulEngineOptions.StreamExceptionPolicy != "" {
		return b.StatefulEngineOptions.StreamExceptionPolicy
	}
	return StreamExceptionDrop
}

// TCPIdleTimeout returns the idle time-out of established TCP flows in force.
func (b FirewallPolicyBody) TCPIdleTimeout() time.Duration {
	if o := b.StatefulEngineOptions; o != nil && o.TCPIdleTimeoutSeconds != 0 {
		return time.Duration(o.TCPIdleTimeoutSeconds) * time.Second
	}
	return TCPIdleTimeoutDefault * time.Second
}

// FirewallPolicy is a stored policy.
type FirewallPolicy struct {
	Name         string
	Arn          string
	ID           string // lower-case UUID
	Description  string
	Body         FirewallPolicyBody
	Encryption   EncryptionConfiguration
	Tags         []Tag
	UpdateToken  string
	LastModified time.Time
	// Generation counts the changes of Body, from 1. The data plane reports which
	// one it enforces.
	Generation uint32
}

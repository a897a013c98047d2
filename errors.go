package sluice

import (
	"errors"
	"fmt"
	"strings"
)

// Kind classifies an error by what the caller may do about it. The front doors
// turn a Kind into an error of their protocol; nobody else does.
type Kind int

// The kinds that a front door can tell apart. They follow the exception shapes
// of the Network Firewall API, which the EC2 front door maps to its own codes.
const (
	// KindInternal is a fault of ours. Its message never leaves the process.
	KindInternal Kind = iota
	// KindValidation is a value that breaks the shape of its member: missing,
	// too long, out of the enumeration, not matching the pattern.
	KindValidation
	// KindInvalidRequest is a well-shaped request that makes no sense.
	KindInvalidRequest
	// KindNotFound is a reference to something that does not exist.
	KindNotFound
	// KindInvalidToken is a stale UpdateToken.
	KindInvalidToken
	// KindInvalidOperation is a valid request in a wrong state: in use, protected.
	KindInvalidOperation
	// KindLimitExceeded is an account quota that is used up.
	KindLimitExceeded
	// KindThrottling asks the caller to try again later.
	KindThrottling
	// KindUnsupported is an operation on an object that does not support it.
	KindUnsupported
)

// Error is an error that a caller outside the process may read.
type Error struct {
	Kind Kind
	// Message is a sentence for the caller; it names the member and the value.
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Errorf makes an Error of a kind with a formatted message.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of the first Error in err's chain, and KindInternal
// when there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}

// InvalidParameter makes the InvalidRequestException text of Network Firewall:
//
//	<member> <problem>[, parameter: [<value>]][, context: <path>]
//
// value and context are left out when empty; a long value is cut.
func InvalidParameter(member, problem, value, context string) *Error {
	m := member + " " + problem
	if value != "" {
		m += ", parameter: [" + Clip(value) + "]"
	}
	if context != "" {
		m += ", context: " + context
	}
	return &Error{Kind: KindInvalidRequest, Message: m}
}

// maxEcho is how much of a caller's value an error repeats, in bytes.
const maxEcho = 256

// Clip cuts a value that an error repeats to a length that fits into a message.
func Clip(value string) string {
	if len(value) <= maxEcho {
		return value
	}
	return strings.ToValidUTF8(value[:maxEcho], "") + "…"
}

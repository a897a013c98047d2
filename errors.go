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
	// KindDryRun is a request that was only tried and would have succeeded.
	KindDryRun
)

// Error is an error that a caller outside the process may read.
type Error struct {
	Kind Kind
	// Code is EC2's own code for what went wrong, such as TrafficMirrorTargetInUse.
	// Where it is "", the EC2 front door has one for the Kind. Others pass it over.
	Code string
	// Message is a sentence for the caller; it names the member and the value.
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Errorf makes an Error of a kind with a formatted message.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// EC2Errorf makes an Error of a kind with EC2's code and a formatted message.
func EC2Errorf(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

// InvalidValue makes EC2's error of a value that its parameter can't take. reason
// may be "".
func InvalidValue(parameter, value, reason string) *Error {
	if len(value) > maxValueEcho {
		value = strings.ToValidUTF8(value[:maxValueEcho], "") + "..."
	}
	m := "Value (" + value + ") for parameter " + parameter + " is invalid."
	if reason != "" {
		m += " " + reason
	}
	return &Error{Kind: KindInvalidRequest, Code: "InvalidParameterValue", Message: m}
}

// maxValueEcho bounds what a message repeats of a request, in bytes.
const maxValueEcho = 256

// MissingParameter makes EC2's error of a parameter that must be there.
func MissingParameter(name string) *Error {
	return EC2Errorf(KindInvalidRequest, "MissingParameter", "The request must contain the parameter %s", name)
}

// DryRun is the answer to a dry run that would have succeeded.
func DryRun() *Error {
	return EC2Errorf(KindDryRun, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
}

// CodeOf returns the EC2 code of the first Error in err's chain, and "" when there
// is none.
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
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

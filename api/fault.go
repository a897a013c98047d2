package api

import (
	"net/http"

	"sluice"
	"sluice/api/sigv4"
)

// fault is an error as a caller reads it, in the codes of one protocol.
type fault struct {
	status  int
	code    string
	message string
}

// Error returns the message, so that a handler can return a fault of its protocol
// where the kinds of sluice.Error are too coarse.
func (f *fault) Error() string { return f.message }

const messageInternal = "An internal error has occurred"

// jsonFaults maps the kinds to exceptions of Network Firewall. A KindInternal has no
// row: its message stays inside.
func jsonFaults() map[sluice.Kind]fault {
	return map[sluice.Kind]fault{
		sluice.KindValidation:       {status: http.StatusBadRequest, code: "ValidationException"},
		sluice.KindInvalidRequest:   {status: http.StatusBadRequest, code: "InvalidRequestException"},
		sluice.KindNotFound:         {status: http.StatusBadRequest, code: "ResourceNotFoundException"},
		sluice.KindInvalidToken:     {status: http.StatusBadRequest, code: "InvalidTokenException"},
		sluice.KindInvalidOperation: {status: http.StatusBadRequest, code: "InvalidOperationException"},
		sluice.KindLimitExceeded:    {status: http.StatusBadRequest, code: "LimitExceededException"},
		sluice.KindThrottling:       {status: http.StatusBadRequest, code: "ThrottlingException"},
		sluice.KindUnsupported:      {status: http.StatusBadRequest, code: "UnsupportedOperationException"},
	}
}

// queryFaults maps the kinds to codes of EC2, for errors that bring no code of their
// own.
func queryFaults() map[sluice.Kind]fault {
	return map[sluice.Kind]fault{
		sluice.KindValidation:       {status: http.StatusBadRequest, code: "InvalidParameterValue"},
		sluice.KindInvalidRequest:   {status: http.StatusBadRequest, code: "InvalidParameterValue"},
		sluice.KindNotFound:         {status: http.StatusBadRequest, code: "InvalidID.NotFound"},
		sluice.KindInvalidToken:     {status: http.StatusBadRequest, code: "InvalidNextToken"},
		sluice.KindInvalidOperation: {status: http.StatusBadRequest, code: "IncorrectState"},
		sluice.KindLimitExceeded:    {status: http.StatusBadRequest, code: "ResourceLimitExceeded"},
		sluice.KindThrottling:       {status: http.StatusServiceUnavailable, code: "RequestLimitExceeded"},
		sluice.KindUnsupported:      {status: http.StatusBadRequest, code: "UnsupportedOperation"},
		sluice.KindDryRun:           {status: http.StatusPreconditionFailed, code: "DryRunOperation"},
	}
}

// jsonAuthFault is a request to Network Firewall that is not authentic. The status
// is 403 for all of them (AWS: Network Firewall, Common Errors).
func jsonAuthFault(e *sigv4.Error) *fault {
	f := &fault{status: http.StatusForbidden, message: e.Message}
	switch e.Failure {
	case sigv4.MissingToken:
		f.code = "MissingAuthenticationTokenException"
	case sigv4.Incomplete:
		f.code = "IncompleteSignatureException"
	case sigv4.UnknownKey:
		f.code = "UnrecognizedClientException"
	default:
		f.code = "InvalidSignatureException"
	}
	return f
}

// ec2AuthFault is the same for EC2 (AWS: EC2 API reference, Error codes).
func ec2AuthFault(e *sigv4.Error) *fault {
	switch e.Failure {
	case sigv4.MissingToken:
		return &fault{http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token"}
	case sigv4.Incomplete:
		return &fault{http.StatusBadRequest, "IncompleteSignature", e.Message}
	case sigv4.Expired, sigv4.NotYetCurrent:
		return &fault{http.StatusBadRequest, "RequestExpired", "Request has expired. " + e.Message}
	case sigv4.UnknownKey:
		return &fault{http.StatusUnauthorized, "AuthFailure", "AWS was not able to validate the provided access credentials"}
	}
	return &fault{http.StatusForbidden, "SignatureDoesNotMatch", e.Message}
}

// stsAuthFault is the same for STS.
func stsAuthFault(e *sigv4.Error) *fault {
	switch e.Failure {
	case sigv4.MissingToken:
		return &fault{http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token"}
	case sigv4.Incomplete:
		return &fault{http.StatusBadRequest, "IncompleteSignature", e.Message}
	case sigv4.UnknownKey:
		return &fault{http.StatusForbidden, "InvalidClientTokenId", e.Message}
	}
	return &fault{http.StatusForbidden, "SignatureDoesNotMatch", e.Message}
}

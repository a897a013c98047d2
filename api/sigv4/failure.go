package sigv4

// Failure is the check that a request did not pass. Each protocol has its own
// error code for it.
type Failure int

// The failures, in the order in which they are looked for.
const (
	// MissingToken is a request that carries no signature at all.
	MissingToken Failure = iota + 1
	// Incomplete is a signature with a part missing or malformed.
	Incomplete
	// Expired is a signature of more than Skew ago, or a presigned request past its
	// time.
	Expired
	// NotYetCurrent is a signature of more than Skew ahead.
	NotYetCurrent
	// WrongScope is a credential scope of another region, service or day.
	WrongScope
	// UnknownKey is an access key id that Keys does not have, or any session token,
	// since none is ever issued here.
	UnknownKey
	// Mismatch is a signature that is not the one calculated, or a signature that
	// leaves out a header which has to be signed.
	Mismatch
)

// Error is why a request is not authentic. Message is for the caller.
type Error struct {
	Failure Failure
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// The messages of the AWS front end that have no variable part.
const (
	messageMissing  = "Missing Authentication Token"
	messageUnknown  = "The security token included in the request is invalid."
	messageMismatch = "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)

package wire

import "encoding/json"

// Bounds of a JSON body beyond its size. The deepest request of the Network Firewall
// model has some ten levels.
const (
	MaxDepth  = 64
	MaxValues = 200_000 // elements of lists and maps that are kept
)

// SerializationError is a body that is not JSON, or a value of the wrong type.
type SerializationError struct {
	Message string // "" where the body is not JSON at all
}

// Error returns the message.
func (e *SerializationError) Error() string {
	if e.Message == "" {
		return "body is not JSON"
	}
	return e.Message
}

// CheckJSON tells whether a body is one JSON value of bounded depth. It keeps
// nothing, so that it is cheap on the body of a caller who is not known yet.
func CheckJSON(body []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return &SerializationError{Message: "Body is nested too deeply"}
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	if !json.Valid(body) {
		return &SerializationError{}
	}
	return nil
}

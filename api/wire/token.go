package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
)

// ErrToken is a page token that was not made here for this request.
var ErrToken = errors.New("page token is not valid")

// Tokens makes and opens page tokens. A token is standard base64, since the pattern
// of the Network Firewall model has no room for the URL alphabet, of a keyed hash
// and the position that it stands for.
type Tokens struct{ Key []byte }

// Seal makes a token for a position. binding is everything that a later request has
// to have in common with this one: the operation and what it selects.
func (t Tokens) Seal(binding string, position []byte) string {
	return base64.StdEncoding.EncodeToString(append(t.sum(binding, position), position...))
}

// Open returns the position of a token that Seal made for the same binding, and
// ErrToken for any other.
func (t Tokens) Open(binding, token string) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < sha256.Size {
		return nil, ErrToken
	}
	sum, position := raw[:sha256.Size], raw[sha256.Size:]
	if !hmac.Equal(sum, t.sum(binding, position)) {
		return nil, ErrToken
	}
	return position, nil
}

func (t Tokens) sum(binding string, position []byte) []byte {
	bound := sha256.Sum256([]byte(binding))
	h := hmac.New(sha256.New, t.Key)
	h.Write(bound[:])
	h.Write(position)
	return h.Sum(nil)
}

package api

import (
	"encoding/json"
	"fmt"
	"strings"

	"sluice"
	"sluice/api/wire"
)

// defaultPage is the page of a list that was asked for without MaxResults. The
// service model names none; a hundred is the most that may be asked for.
const defaultPage = 100

// binding is what a page token of an operation is tied to: the operation and every
// member of the request that selects what is listed.
func binding(operation string, selection ...any) string {
	b, err := json.Marshal(selection)
	if err != nil { // strings and slices of strings always marshal
		panic(fmt.Sprintf("marshal selection: %v", err))
	}
	return operation + " " + string(b)
}

// position reads the position that a request's token stands for, into something
// that sealPosition was given. Without a token it stays as it is.
func (c *call) position(bound string, token *string, into any) error {
	if token == nil {
		return nil
	}
	raw, err := c.tokens.Open(bound, *token)
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		return sluice.Errorf(sluice.KindInvalidRequest, "NextToken is invalid")
	}
	return nil
}

// sealPosition makes the token of a position.
func (c *call) sealPosition(bound string, position any) (string, error) {
	raw, err := json.Marshal(position)
	if err != nil {
		return "", fmt.Errorf("encode page position: %w", err)
	}
	return c.tokens.Seal(bound, raw), nil
}

// paging are the members that every list request has.
type paging struct {
	NextToken  *string `shape:"PaginationToken"`
	MaxResults *int32  `shape:"PaginationMaxResults"`
}

// byName cuts the page out of a list that is ordered by a unique name. The position
// is the last name that was shown, so that things which come and go between two
// pages neither repeat nor hide another.
func byName[T any](c *call, bound string, token *string, max *int32, all []T, name func(T) string) ([]T, *string, error) {
	var after string
	if err := c.position(bound, token, &after); err != nil {
		return nil, nil, err
	}
	if token != nil {
		n := 0
		for n < len(all) && strings.Compare(name(all[n]), after) <= 0 {
			n++
		}
		all = all[n:]
	}
	limit := defaultPage
	if max != nil && *max > 0 {
		limit = int(*max)
	}
	if len(all) <= limit {
		return all, nil, nil
	}
	next, err := c.sealPosition(bound, name(all[limit-1]))
	return all[:limit], &next, err
}

// tokensOf makes the sealer of page tokens.
func tokensOf(key []byte) wire.Tokens { return wire.Tokens{Key: key} }

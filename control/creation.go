package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"sluice"
)

// creationMemory is how long a client token is remembered. AWS names no time; a day
// covers every retry of a client.
const creationMemory = 24 * time.Hour

// maxClientToken is the length of a ClientToken in characters (AWS: Ensuring
// idempotency).
const maxClientToken = 64

// maxEC2Description is the length of a description in characters. AWS documents none
// for traffic mirroring; 255 is that of most of EC2.
const maxEC2Description = 255

// EC2Creation is what the create requests of traffic mirroring have in common.
type EC2Creation struct {
	ClientToken string // "" is a request that can't be repeated
	DryRun      bool
	Tags        []sluice.Tag
}

// creation checks the common part of a create request. asked is everything else of
// it, in its normal form: two requests that mean the same have the same.
func (c *Controller) creation(in EC2Creation, asked any) (sluice.Creation, error) {
	var none sluice.Creation
	if len(in.ClientToken) > maxClientToken {
		return none, sluice.InvalidValue("ClientToken", in.ClientToken, "Expecting at most 64 ASCII characters.")
	}
	for _, b := range []byte(in.ClientToken) {
		if b >= utf8.RuneSelf {
			return none, sluice.InvalidValue("ClientToken", in.ClientToken, "Expecting at most 64 ASCII characters.")
		}
	}
	if err := checkEC2Tags(in.Tags); err != nil {
		return none, err
	}
	raw, err := json.Marshal([]any{asked, sortedTags(in.Tags)})
	if err != nil {
		return none, fmt.Errorf("encode request: %w", err)
	}
	sum := sha256.Sum256(raw)
	return sluice.Creation{ClientToken: in.ClientToken, Digest: hex.EncodeToString(sum[:]), DryRun: in.DryRun, Time: c.o.Clock()}, nil
}

func (c *Controller) forgetCreations(ctx context.Context) error {
	return c.o.Store.ForgetCreations(ctx, c.o.Clock().Add(-creationMemory))
}

func checkEC2Description(s string) error {
	if utf8.RuneCountInString(s) > maxEC2Description {
		return sluice.InvalidValue("Description", s, "Expecting at most 255 characters.")
	}
	return nil
}

// cannotCombine is EC2's error of two parameters that exclude each other.
func cannotCombine(one, other string) error {
	return sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidParameterCombination",
		"The parameter %s cannot be used with the parameter %s", one, other)
}

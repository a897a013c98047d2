package state

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"sluice"
)

// answeredCreation is a create request that was answered.
type answeredCreation struct {
	Key    string // its own key below the prefix
	Digest string
	Answer json.RawMessage
	Time   time.Time
}

// created carries out a create request, or answers it as it was answered before
// when it is a repetition. body checks and writes; it returns the answer. A dry run
// goes through all checks and writes nothing.
func created[T any](ctx context.Context, s *Store, operation string, c sluice.Creation, body func(*transaction) (T, error)) (T, error) {
	var answer T
	key := operation + "/" + url.PathEscape(c.ClientToken)
	remembered := c.ClientToken != "" && !c.DryRun
	err := s.transact(ctx, func(tx *transaction) error {
		if remembered {
			before, ok, err := load[answeredCreation](tx, clientTokenPrefix+key)
			if err != nil {
				return err
			}
			if ok {
				answer = *new(T) // an attempt before may have filled it
				return repeat(before, c, &answer)
			}
		}
		var err error
		if answer, err = body(tx); err != nil {
			return err
		}
		if c.DryRun {
			return sluice.DryRun()
		}
		if !remembered {
			return nil
		}
		raw, err := json.Marshal(answer)
		if err != nil {
			return fmt.Errorf("encode answer: %w", err)
		}
		return save(tx, clientTokenPrefix+key, answeredCreation{key, c.Digest, raw, c.Time})
	})
	if err != nil {
		var none T
		return none, err
	}
	return answer, nil
}

func repeat(before answeredCreation, c sluice.Creation, answer any) error {
	if before.Digest != c.Digest {
		return sluice.EC2Errorf(sluice.KindInvalidRequest, "IdempotentParameterMismatch",
			"The parameters do not match those of the previous request with the same client token")
	}
	if err := json.Unmarshal(before.Answer, answer); err != nil {
		return fmt.Errorf("decode answer of an earlier request: %w", err)
	}
	return nil
}

// maxForgotten bounds one transaction of ForgetCreations.
const maxForgotten = 1000

// ForgetCreations forgets the client tokens of requests that were answered before
// a time.
func (s *Store) ForgetCreations(ctx context.Context, before time.Time) error {
	for {
		n := 0
		err := s.transact(ctx, func(tx *transaction) error {
			all, err := loadAll[answeredCreation](tx, clientTokenPrefix)
			if err != nil {
				return err
			}
			tx.compares = nil // what has come since is young, and tokens never change
			n = 0
			for _, a := range all {
				if a.Time.Before(before) && n < maxForgotten {
					tx.remove(clientTokenPrefix + a.Key)
					n++
				}
			}
			return nil
		})
		if err != nil || n < maxForgotten {
			return err
		}
	}
}

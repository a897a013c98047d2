package state

import "context"

// desiredRevision is the number of the desired state with this digest.
type desiredRevision struct {
	Revision int64
	Digest   string
}

// DesiredRevision numbers desired states: the number grows with each digest that
// differs from the one before, from 1, also over restarts.
func (s *Store) DesiredRevision(ctx context.Context, digest string) (int64, error) {
	var revision int64
	err := s.transact(ctx, func(tx *transaction) error {
		d, ok, err := load[desiredRevision](tx, desiredRevisionKey)
		if err != nil {
			return err
		}
		revision = d.Revision
		if ok && d.Digest == digest {
			return nil
		}
		revision++
		return save(tx, desiredRevisionKey, desiredRevision{revision, digest})
	})
	return revision, err
}

package state

import "context"

// Sibling is another controller's view of the same store: it shares nothing with
// s but the etcd member, so that only comparisons keep the two apart.
func (s *Store) Sibling() *Store {
	return &Store{lock: s.lock, etcd: s.etcd, kv: s.kv, turn: make(chan struct{}, 1)}
}

// Raw returns the stored bytes of a key.
func (s *Store) Raw(ctx context.Context, key string) (string, error) {
	answer, err := s.kv.Get(ctx, key)
	if err != nil || len(answer.Kvs) == 0 {
		return "", err
	}
	return string(answer.Kvs[0].Value), nil
}

// PutRaw writes the bytes of a key.
func (s *Store) PutRaw(ctx context.Context, key, value string) error {
	_, err := s.kv.Put(ctx, key, value)
	return err
}

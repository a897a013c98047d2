package state

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Sibling is another controller's view of the same store: it shares nothing with
// s but the etcd member, so that only comparisons keep the two apart.
func (s *Store) Sibling() *Store {
	return &Store{lock: s.lock, etcd: s.etcd, kv: s.kv, space: s.space, turn: make(chan struct{}, 1)}
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

// Keys returns the keys below a prefix.
func (s *Store) Keys(ctx context.Context, prefix string) ([]string, error) {
	answer, err := s.kv.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, kv := range answer.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys, nil
}

// FileBytes is the size of the store's file, as the quota bounds it.
func (s *Store) FileBytes() int64 { return s.etcd.Server.Backend().Size() }

// DeleteRaw removes everything below a prefix.
func (s *Store) DeleteRaw(ctx context.Context, prefix string) error {
	_, err := s.kv.Delete(ctx, prefix, clientv3.WithPrefix())
	return err
}

// Unreserved lets transactions begin in a store that is about to be full, as they did
// were another process to fill it meanwhile.
func (s *Store) Unreserved() { s.space.reserve = -s.space.quota }

package state

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"sluice"
)

// maxAttempts bounds how often a transaction is tried again after another one
// has changed what it had read.
const maxAttempts = 100

// transaction collects what a body reads, at one revision, and what it wants to
// write. The writes happen only if nothing that it read has changed.
//
// A range that was read must not have gained or changed a key; losing one only
// loosens a limit, so that is not compared.
type transaction struct {
	ctx      context.Context
	kv       clientv3.KV
	revision int64 // 0 before the first read
	compares []clientv3.Cmp
	writes   []clientv3.Op
}

// transact runs body until its writes have been committed against an unchanged
// store, or it fails. body may run several times and must do nothing but read
// and write through the transaction.
func (s *Store) transact(ctx context.Context, body func(*transaction) error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return fmt.Errorf("await transaction: %w", ctx.Err())
	}
	for range maxAttempts {
		done, err := s.attempt(ctx, body)
		if done || err != nil {
			return err
		}
	}
	return sluice.Errorf(sluice.KindThrottling, "Rate exceeded")
}

func (s *Store) attempt(ctx context.Context, body func(*transaction) error) (bool, error) {
	tx := &transaction{ctx: ctx, kv: s.kv}
	if err := body(tx); err != nil {
		if errors.Is(err, rpctypes.ErrCompacted) {
			return false, nil // the revision that it read at is gone: read anew
		}
		return false, err
	}
	if len(tx.writes) == 0 {
		return true, nil
	}
	// A caller that goes away now must not leave a write of which nobody learns the
	// outcome; etcd bounds the time itself.
	answer, err := s.kv.Txn(context.WithoutCancel(ctx)).If(tx.compares...).Then(tx.writes...).Commit()
	if err != nil {
		return false, fmt.Errorf("commit transaction: %w", err)
	}
	return answer.Succeeded, nil
}

func (tx *transaction) read(key string, options ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if tx.revision != 0 {
		options = append(options, clientv3.WithRev(tx.revision))
	}
	answer, err := tx.kv.Get(tx.ctx, key, options...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	if tx.revision == 0 {
		tx.revision = answer.Header.Revision
	}
	return answer, nil
}

// get reads one key; ok is false when it is not there.
func (tx *transaction) get(key string) (value []byte, ok bool, err error) {
	answer, err := tx.read(key)
	if err != nil {
		return nil, false, err
	}
	if len(answer.Kvs) == 0 {
		tx.compares = append(tx.compares, clientv3.Compare(clientv3.ModRevision(key), "=", 0))
		return nil, false, nil
	}
	kv := answer.Kvs[0]
	tx.compares = append(tx.compares, clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision))
	return kv.Value, true, nil
}

// list reads all values below a prefix, which ends in a slash, ordered by key.
func (tx *transaction) list(prefix string) ([][]byte, error) {
	answer, err := tx.read(prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	unchanged := clientv3.Compare(clientv3.ModRevision(prefix).WithPrefix(), "<", tx.revision+1)
	tx.compares = append(tx.compares, unchanged)
	values := make([][]byte, len(answer.Kvs))
	for i, kv := range answer.Kvs {
		values[i] = kv.Value
	}
	return values, nil
}

// count counts the keys below a prefix, which ends in a slash.
func (tx *transaction) count(prefix string) (int, error) {
	answer, err := tx.read(prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	tx.compares = append(tx.compares, clientv3.Compare(clientv3.ModRevision(prefix).WithPrefix(), "<", tx.revision+1))
	return int(answer.Count), nil
}

func (tx *transaction) put(key string, value []byte) {
	tx.writes = append(tx.writes, clientv3.OpPut(key, string(value)))
}

// remove deletes a key, or with a slash at the end everything below it.
func (tx *transaction) remove(key string) {
	if strings.HasSuffix(key, "/") {
		tx.writes = append(tx.writes, clientv3.OpDelete(key, clientv3.WithPrefix()))
		return
	}
	tx.writes = append(tx.writes, clientv3.OpDelete(key))
}

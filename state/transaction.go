package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"sluice"
)

// maxAttempts bounds how often a transaction is tried again after another one
// has changed what it had read.
const maxAttempts = 100

// transaction collects what a body reads, at one revision, and what it wants to
// write. The writes happen only if nothing that it read has changed. A read sees what
// the body has written before it.
//
// A range that was read must not have gained or changed a key; losing one only
// loosens a limit, so that is not compared.
type transaction struct {
	ctx      context.Context
	kv       clientv3.KV
	revision int64 // 0 before the first read
	compares []clientv3.Cmp
	compared map[string]bool // keys and prefixes that have a comparison
	// pending has what is to be written, by key; nil is a removal. Prefixes whose keys
	// are all to be removed are apart.
	pending map[string][]byte
	removed []string
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
	reclaimed := false
	for range maxAttempts {
		done, err := s.attempt(ctx, body)
		switch {
		case err == nil && !done:
		case !errors.Is(err, rpctypes.ErrNoSpace):
			return err
		case reclaimed:
			return errors.Join(errFull, err)
		default:
			// Where nothing can be spared, the next attempt may still be one for which
			// there is room.
			reclaimed = true
			if full := s.space.reclaim(); full != nil && !errors.Is(full, errFull) {
				return errors.Join(full, err)
			}
		}
	}
	return sluice.Errorf(sluice.KindThrottling, "Rate exceeded")
}

// view runs a body that only reads, all at one revision. Should that be compacted
// meanwhile, body runs again.
func (s *Store) view(ctx context.Context, body func(*transaction) error) error {
	for range maxAttempts {
		err := body(&transaction{ctx: ctx, kv: s.kv})
		if !errors.Is(err, rpctypes.ErrCompacted) {
			return err
		}
	}
	return sluice.Errorf(sluice.KindThrottling, "Rate exceeded")
}

// attempt runs body once and commits what it wrote. An error that is
// rpctypes.ErrNoSpace says that nothing was written.
func (s *Store) attempt(ctx context.Context, body func(*transaction) error) (bool, error) {
	tx := &transaction{ctx: ctx, kv: s.kv}
	if err := body(tx); err != nil {
		if errors.Is(err, rpctypes.ErrCompacted) {
			return false, nil // the revision that it read at is gone: read anew
		}
		return false, err
	}
	writes := tx.writes()
	if len(writes) == 0 {
		return true, nil
	}
	if len(tx.putKeys()) > 0 && !s.space.room(tx.size()) {
		return false, fmt.Errorf("begin transaction: %w", rpctypes.ErrNoSpace)
	}
	if tx.revision == 0 { // applied needs to know what was there before
		if _, err := tx.read(root, clientv3.WithCountOnly()); err != nil {
			return false, err
		}
	}
	// A caller that goes away now must not leave a write of which nobody learns the
	// outcome; etcd bounds the time itself.
	ctx = context.WithoutCancel(ctx)
	answer, err := s.kv.Txn(ctx).If(tx.compares...).Then(writes...).Commit()
	if errors.Is(err, rpctypes.ErrNoSpace) {
		revision, unknown := tx.applied(ctx)
		if unknown != nil {
			return false, unknown
		}
		if revision != 0 {
			s.space.wrote(tx.size(), revision)
			return true, nil
		}
	}
	if err != nil {
		return false, fmt.Errorf("commit transaction: %w", err)
	}
	if answer.Succeeded {
		s.space.wrote(tx.size(), answer.Header.Revision)
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

// writes are the operations of what is pending, in the order of their keys: etcd
// takes each key once.
func (tx *transaction) writes() []clientv3.Op {
	var ops []clientv3.Op
	for _, prefix := range tx.removed {
		ops = append(ops, clientv3.OpDelete(prefix, clientv3.WithPrefix()))
	}
	for _, key := range slices.Sorted(maps.Keys(tx.pending)) {
		if value := tx.pending[key]; value != nil {
			ops = append(ops, clientv3.OpPut(key, string(value)))
		} else {
			ops = append(ops, clientv3.OpDelete(key))
		}
	}
	return ops
}

// keyOverhead is about what etcd stores with each key, in bytes.
const keyOverhead = 100

// size is about what the pending writes add to the store's file, in bytes. Removals
// add little, and that for good measure.
func (tx *transaction) size() int {
	n := len(tx.removed) * keyOverhead
	for key, value := range tx.pending {
		n += keyOverhead + len(key) + len(value)
	}
	return n
}

// compare adds a comparison for a key or a prefix that has none yet. All reads are of
// one revision, so that a second one would say the same.
func (tx *transaction) compare(key string, c clientv3.Cmp) {
	if tx.compared[key] {
		return
	}
	if tx.compared == nil {
		tx.compared = map[string]bool{}
	}
	tx.compared[key] = true
	tx.compares = append(tx.compares, c)
}

// gone tells whether a key is below a prefix that is to be removed.
func (tx *transaction) gone(key string) bool {
	return slices.ContainsFunc(tx.removed, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// get reads one key; ok is false when it is not there.
func (tx *transaction) get(key string) (value []byte, ok bool, err error) {
	if value, ok := tx.pending[key]; ok {
		return value, value != nil, nil
	}
	if tx.gone(key) {
		return nil, false, nil
	}
	answer, err := tx.read(key)
	if err != nil {
		return nil, false, err
	}
	if len(answer.Kvs) == 0 {
		tx.compare(key, clientv3.Compare(clientv3.ModRevision(key), "=", 0))
		return nil, false, nil
	}
	kv := answer.Kvs[0]
	tx.compare(key, clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision))
	return kv.Value, true, nil
}

// list reads all values below a prefix, which ends in a slash, ordered by key.
func (tx *transaction) list(prefix string) ([][]byte, error) {
	answer, err := tx.read(prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	tx.compareRange(prefix)
	all := map[string][]byte{}
	for _, kv := range answer.Kvs {
		if !tx.gone(string(kv.Key)) {
			all[string(kv.Key)] = kv.Value
		}
	}
	tx.overlay(prefix, all)
	values := make([][]byte, 0, len(all))
	for _, key := range slices.Sorted(maps.Keys(all)) {
		values = append(values, all[key])
	}
	return values, nil
}

// overlay applies what is pending below a prefix.
func (tx *transaction) overlay(prefix string, all map[string][]byte) {
	for key, value := range tx.pending {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if value == nil {
			delete(all, key)
		} else {
			all[key] = value
		}
	}
}

func (tx *transaction) compareRange(prefix string) {
	tx.compare(prefix, clientv3.Compare(clientv3.ModRevision(prefix).WithPrefix(), "<", tx.revision+1))
}

// count counts the keys below a prefix, which ends in a slash.
func (tx *transaction) count(prefix string) (int, error) {
	if len(tx.removed) > 0 {
		values, err := tx.list(prefix)
		return len(values), err
	}
	answer, err := tx.read(prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	tx.compareRange(prefix)
	n := int(answer.Count)
	for key, value := range tx.pending {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		stored, err := tx.read(key, clientv3.WithCountOnly())
		if err != nil {
			return 0, err
		}
		n -= int(stored.Count)
		if value != nil {
			n++
		}
	}
	return n, nil
}

func (tx *transaction) put(key string, value []byte) { tx.write(key, value) }

// remove deletes a key, or with a slash at the end everything below it.
func (tx *transaction) remove(key string) {
	if !strings.HasSuffix(key, "/") {
		tx.write(key, nil)
		return
	}
	for pending := range tx.pending {
		if strings.HasPrefix(pending, key) {
			delete(tx.pending, pending)
		}
	}
	tx.removed = append(tx.removed, key)
}

func (tx *transaction) write(key string, value []byte) {
	if value == nil && tx.gone(key) {
		delete(tx.pending, key)
		return
	}
	if tx.pending == nil {
		tx.pending = map[string][]byte{}
	}
	tx.pending[key] = value
}

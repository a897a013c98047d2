package state

import (
	"context"
	"fmt"
	"maps"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// applied finds the revision at which a transaction was committed that etcd has answered
// with "no space"; 0 when it was not. etcd looks at its quota before it proposes a
// transaction, and refuses it there; and once more while it applies one, where it says
// "no space" of what it has written all the same (apply/quota.go of v3.7). Transactions
// that only remove cost nothing in its eyes and don't get that answer.
//
// The revisions since the body read are searched for one that wrote what is pending.
// They are few, and not compacted: a step of compaction ends before them. Should they be
// gone, the outcome is unknown, which is an error.
func (tx *transaction) applied(ctx context.Context) (int64, error) {
	puts := tx.putKeys()
	if len(puts) == 0 {
		return 0, nil
	}
	now, err := tx.kv.Get(ctx, root, clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("find outcome of transaction: %w", err)
	}
	for at := now.Header.Revision; at > tx.revision; at-- {
		written, modified, err := tx.wrote(ctx, puts[0], at)
		if err != nil {
			return 0, err
		}
		if modified == 0 {
			continue // it is not there yet, or was removed by somebody else
		}
		if at = modified; at <= tx.revision {
			break
		}
		for _, key := range puts[1:] {
			if !written {
				break
			}
			// All writes of a transaction have one revision, and a value alone may be
			// somebody else's too.
			same, modified, err := tx.wrote(ctx, key, at)
			if err != nil {
				return 0, err
			}
			written = same && modified == at
		}
		if written {
			return at, nil
		}
	}
	return 0, nil
}

// wrote tells whether a key had its pending value at a revision, and since which; 0 when
// the key was not there.
func (tx *transaction) wrote(ctx context.Context, key string, at int64) (same bool, modified int64, err error) {
	answer, err := tx.kv.Get(ctx, key, clientv3.WithRev(at), clientv3.WithSerializable())
	if err != nil {
		return false, 0, fmt.Errorf("find outcome of transaction: %w", err)
	}
	if len(answer.Kvs) == 0 {
		return false, 0, nil
	}
	kv := answer.Kvs[0]
	return string(kv.Value) == string(tx.pending[key]), kv.ModRevision, nil
}

// putKeys are the keys that are to be written and not removed, in order.
func (tx *transaction) putKeys() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(tx.pending)), func(key string) bool { return tx.pending[key] == nil })
}

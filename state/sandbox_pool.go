package state

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"sluice"
)

func poolKey(pool string) string { return poolPrefix + url.PathEscape(pool) + "/" }

func poolItemKey(i sluice.PoolItem) string {
	return poolKey(i.PoolID) + url.PathEscape(i.Value) + "/" + i.SandboxID + "/" + url.PathEscape(i.OwnerID)
}

// heldItemKey is the key under which a sandbox finds an item that it holds.
func heldItemKey(i sluice.PoolItem) string {
	return sandboxPoolPrefix + i.SandboxID + "/" + strings.TrimPrefix(poolItemKey(i), poolPrefix)
}

func removeItem(tx *transaction, i sluice.PoolItem) {
	tx.remove(poolItemKey(i))
	tx.remove(heldItemKey(i))
}

// CheckoutFromPool takes a value of a pool for a sandbox that admit lets have it: the
// item's own, or the lowest number from start to end that is free where it has none.
// ok is false where it is taken, or no number is free.
func (s *Store) CheckoutFromPool(ctx context.Context, item sluice.PoolItem, start, end int64, quota int, admit func(sluice.Sandbox) error) (value string, ok bool, err error) {
	err = s.transact(ctx, func(tx *transaction) error {
		ok = false
		b, err := loadSandbox(tx, item.SandboxID)
		if err != nil {
			return err
		}
		if err := admit(b); err != nil {
			return err
		}
		taken, held, err := takenValues(tx, item)
		if err != nil {
			return err
		}
		if held >= quota {
			return sluice.Errorf(sluice.KindLimitExceeded, "The reservation holds %d pool items already; release some.", held)
		}
		taking := item
		if taking.Value == "" {
			for n := start; n <= end; n++ {
				if v := strconv.FormatInt(n, 10); !taken[v] {
					taking.Value = v
					break
				}
			}
		}
		if taking.Value == "" || taken[taking.Value] {
			return nil
		}
		value, ok = taking.Value, true
		if err := save(tx, heldItemKey(taking), taking); err != nil {
			return err
		}
		return save(tx, poolItemKey(taking), taking)
	})
	return value, ok, err
}

// takenValues are the values of a pool that an item can't have, and the number of
// items that its sandbox holds in all pools.
func takenValues(tx *transaction, item sluice.PoolItem) (taken map[string]bool, held int, err error) {
	if held, err = tx.count(sandboxPoolPrefix + item.SandboxID + "/"); err != nil {
		return nil, 0, err
	}
	all, err := loadAll[sluice.PoolItem](tx, poolKey(item.PoolID))
	if err != nil {
		return nil, 0, err
	}
	taken = map[string]bool{}
	for _, i := range all {
		own := i.SandboxID == item.SandboxID && i.OwnerID == item.OwnerID
		if own || !i.Shared || !item.Shared {
			taken[i.Value] = true
		}
	}
	if item.OwnerID != sluice.SessionNumberPool {
		return taken, held, nil
	}
	uses, err := sessionUses(tx, "source", item.PoolID)
	for _, u := range uses {
		taken[strconv.Itoa(int(u.Number))] = true
	}
	return taken, held, err
}

// ReleaseFromPool gives back values that the sandbox holds in the pool under the
// owner. Others are passed over.
func (s *Store) ReleaseFromPool(ctx context.Context, item sluice.PoolItem, values []string) error {
	return s.transact(ctx, func(tx *transaction) error {
		if _, err := loadSandbox(tx, item.SandboxID); err != nil {
			return err
		}
		for _, v := range values {
			item.Value = v
			if _, held, err := tx.get(poolItemKey(item)); err != nil {
				return err
			} else if held {
				removeItem(tx, item)
			}
		}
		return nil
	})
}

package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// What compaction leaves. etcd keeps every revision until it is told to forget it, and
// refuses all writes once its file has the size of the quota: a count of revisions
// alone does not bound bytes. Old revisions go in steps, each to where the one before
// it began, so that a transaction in progress still finds the revision it reads at.
const (
	compactedShare     = 32   // of the quota: a step is due after so many bytes were written
	compactedRevisions = 2000 // a step is due after so many revisions too: it stays short
	compactionInterval = time.Minute
)

// crowdedShare is the part of the quota that must be free after a reclaim: with less,
// the next write would only find the store full again.
const crowdedShare = 16

// A transaction that etcd finds too large only while it applies it is answered like one
// that was refused, see transaction.applied. So that this hardly ever happens, ours begin
// only where the largest one fits besides: etcd's view of its file lags by what it has
// not committed to it. Of a small quota the reserve is a share below crowdedShare's.
const (
	reserveBytes = maxTransactionBytes
	reserveShare = 32
)

// reclaimInterval is how long a store that is full of live data is left alone: to
// rewrite its file takes seconds.
const reclaimInterval = 10 * time.Second

// errFull says that a store has no room though nothing in it can be spared.
var errFull = errors.New("the store is full and refuses writes")

// space bounds what the file of the store takes. Several Stores may share one.
type space struct {
	etcd    *embed.Etcd
	kv      clientv3.KV
	quota   int64 // bytes
	reserve int64 // bytes of the quota that our writes leave alone
	logger  *slog.Logger

	mu      sync.Mutex // guards what follows, and lets one compaction run at a time
	written int64      // bytes since mark
	mark    int64      // revision up to which the next step compacts; 0: none yet
	last    int64      // the newest revision that a write of ours had
	resume  time.Time  // when a full store is tried again
}

func newSpace(member *embed.Etcd, quota int64, logger *slog.Logger) *space {
	reserve := min(reserveBytes, quota/reserveShare)
	return &space{etcd: member, kv: v3client.New(member.Server).KV, quota: quota, reserve: reserve, logger: logger}
}

// wrote notes a write, and compacts when a step is due. What fails of that is tried
// again with the next write: this one is done.
func (p *space) wrote(bytes int, revision int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written += int64(bytes)
	p.last = max(p.last, revision)
	if p.mark == 0 {
		p.mark = revision
	}
	if p.written < p.quota/compactedShare && p.last-p.mark < compactedRevisions {
		return
	}
	p.step()
}

// step forgets the revisions before the mark, and moves the mark.
func (p *space) step() {
	if err := p.compact(p.mark); err != nil {
		p.logger.Error("compact the store", "error", err)
		return
	}
	p.mark, p.written = p.last, 0
}

// compact returns when the revisions before one are gone from the file. A member that
// stops meanwhile never says so.
func (p *space) compact(revision int64) error {
	done := make(chan error, 1)
	go func() {
		_, err := p.kv.Compact(context.Background(), revision, clientv3.WithCompactPhysical())
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
			return fmt.Errorf("compact to revision %d: %w", revision, err)
		}
		return nil
	case <-p.etcd.Server.StopNotify():
		return errors.New("compact: the store has stopped")
	}
}

// run compacts what an idle store has left to compact, and tries whether a full one has
// room again, until ctx ends.
func (p *space) run(ctx context.Context) {
	tick := time.NewTicker(compactionInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if p.full() {
			if err := p.reclaim(); err != nil {
				p.logger.Error("make room in the store", "error", err)
			}
			continue
		}
		p.mu.Lock()
		if p.last > p.mark {
			p.step()
		}
		p.mu.Unlock()
	}
}

// room tells whether a write of so many bytes leaves the reserve alone.
func (p *space) room(bytes int) bool {
	return p.etcd.Server.Backend().Size()+int64(bytes) <= p.quota-p.reserve
}

// full tells whether writes are refused, by etcd or for want of room.
func (p *space) full() bool {
	if !p.room(0) {
		return true
	}
	for _, a := range p.etcd.Server.Alarms() {
		if a.Alarm == pb.AlarmType_NOSPACE {
			return true
		}
	}
	return false
}

// tidy makes room in a store that was just opened, where it is full or mostly holes.
func (p *space) tidy() error {
	be := p.etcd.Server.Backend()
	if !p.full() && (be.Size() < p.quota/2 || be.SizeInUse() > be.Size()/2) {
		return nil
	}
	err := p.reclaim()
	if errors.Is(err, errFull) { // reads and removals work; readiness tells the rest
		p.logger.Error("open the store", "error", err)
		return nil
	}
	return err
}

// reclaim forgets every revision but the newest, gives back the free pages of the file,
// and lets etcd write again.
func (p *space) reclaim() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().Before(p.resume) {
		return errFull
	}
	now, err := p.kv.Get(context.Background(), root, clientv3.WithCountOnly())
	if err != nil {
		return fmt.Errorf("read revision: %w", err)
	}
	revision := now.Header.Revision
	if err := p.compact(revision); err != nil {
		return err
	}
	p.mark, p.last, p.written = revision, revision, 0
	be := p.etcd.Server.Backend()
	before := be.Size()
	if err := be.Defrag(); err != nil {
		return fmt.Errorf("defragment the store: %w", err)
	}
	p.logger.Warn("made room in the store", "bytes_before", before, "bytes", be.Size(), "quota", p.quota)
	if be.Size() > p.quota-p.quota/crowdedShare {
		p.resume = time.Now().Add(reclaimInterval)
		return errFull
	}
	for _, a := range p.etcd.Server.Alarms() {
		if a.Alarm != pb.AlarmType_NOSPACE {
			continue
		}
		off := &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: a.MemberID, Alarm: a.Alarm}
		if _, err := p.etcd.Server.Alarm(context.Background(), off); err != nil {
			return fmt.Errorf("disarm the alarm of a full store: %w", err)
		}
	}
	return nil
}

// Writable tells why the store refuses writes; nil where it takes them.
func (s *Store) Writable() error {
	if s.space.full() {
		return errFull
	}
	return nil
}

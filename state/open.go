package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// The tuning of the embedded member. It is alone, so its election is over after
// one time-out: a short one is what makes a start quick.
const (
	tickMilliseconds     = 10
	electionMilliseconds = 50 // etcd wants five ticks at least
	// Entries of the log between snapshots, and those kept in memory after one for
	// followers, of which there are none. They bound the memory and the replay of a
	// restart.
	snapshotEntries = 2000
	catchUpEntries  = 100
	maxWALFiles     = 2 // of 64 MiB
	// The largest transaction sets the tags of a thousand resources: a comparison
	// each of the resource and of its tags, and a write.
	maxTransactionOps   = 4096
	maxTransactionBytes = 10 << 20 // beyond it etcd warns of latency
)

// DefaultQuotaBytes is the size of the store's file beyond which writes are refused.
// What sandboxes and the API's objects may hold at most is well below half of it.
const DefaultQuotaBytes = 1 << 30

// readyTimeout is how long Open waits for the member to elect itself.
const readyTimeout = 30 * time.Second

// memberName names the member and its peer address in the stored membership.
// Nothing listens there: a second member would first have to change it.
const (
	memberName    = "sluice"
	memberPeerURL = "http://127.0.0.1:2380"
)

// Options are what Open needs.
type Options struct {
	Dir    string       // made with mode 0700 when it is not there
	Logger *slog.Logger // gets etcd's own warnings too
	// QuotaBytes is the size of the file beyond which writes are refused; 0 is
	// DefaultQuotaBytes.
	QuotaBytes int64
}

// Store is the open store.
type Store struct {
	lock *os.File
	etcd *embed.Etcd
	kv   clientv3.KV
	// space keeps the file small; keeper is its goroutine, which stop ends.
	space  *space
	keeper sync.WaitGroup
	stop   context.CancelFunc
	// turn lets one transaction of this process through at a time. What keeps
	// transactions right is the comparison in them; this only spares retries.
	turn chan struct{}
}

// Open starts the embedded member and waits until it answers. A directory that
// another process has open is an error.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.QuotaBytes <= 0 {
		o.QuotaBytes = DefaultQuotaBytes
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create state directory: %w", err)
	}
	if err := os.Chmod(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("restrict state directory: %w", err)
	}
	lock, err := lockDirectory(o.Dir)
	if err != nil {
		return nil, err
	}
	cfg, err := memberConfig(o)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	member, err := startMember(cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start etcd: %w", err), lock.Close())
	}
	keeping, stop := context.WithCancel(context.Background())
	s := &Store{lock: lock, etcd: member, stop: stop, turn: make(chan struct{}, 1)}
	if err := s.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.space = newSpace(member, o.QuotaBytes, o.Logger)
	s.kv = s.space.kv
	if err := s.space.tidy(); err != nil {
		return nil, errors.Join(fmt.Errorf("make room in the store: %w", err), s.Close())
	}
	s.keeper.Go(func() { s.space.run(keeping) })
	return s, nil
}

// startMember starts the member. Where it can't write, etcd panics.
func startMember(cfg *embed.Config) (member *embed.Etcd, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it gave up: %v", p)
		}
	}()
	return embed.StartEtcd(cfg)
}

// lockDirectory takes the directory for this process. etcd itself would wait
// without end for a file that another process holds.
func lockDirectory(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock state directory %s, is another process using it: %w", dir, err), f.Close())
	}
	return f, nil
}

// memberConfig makes the configuration of a member without any listener: the
// only client is in this process and peers do not exist.
func memberConfig(o Options) (*embed.Config, error) {
	peer, err := url.Parse(memberPeerURL)
	if err != nil {
		return nil, fmt.Errorf("parse peer address: %w", err)
	}
	cfg := embed.NewConfig()
	cfg.Name = memberName
	cfg.Dir = o.Dir
	cfg.ListenPeerUrls = []url.URL{}
	cfg.ListenClientUrls = []url.URL{}
	cfg.AdvertisePeerUrls = []url.URL{*peer}
	cfg.AdvertiseClientUrls = []url.URL{}
	cfg.InitialCluster = memberName + "=" + memberPeerURL
	cfg.TickMs = tickMilliseconds
	cfg.ElectionMs = electionMilliseconds
	cfg.SnapshotCount = snapshotEntries
	cfg.SnapshotCatchUpEntries = catchUpEntries
	cfg.MaxWalFiles = maxWALFiles
	cfg.QuotaBackendBytes = o.QuotaBytes
	cfg.MaxTxnOps = maxTransactionOps
	cfg.MaxRequestBytes = maxTransactionBytes
	cfg.EnableGRPCGateway = false
	cfg.AuthToken = "" // nobody logs in
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(logCore{handler: o.Logger.Handler()}, zap.WithFatalHook(lastWord{o.Logger})))
	return cfg, nil
}

func (s *Store) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	select {
	case <-s.etcd.Server.ReadyNotify():
		return nil
	case <-s.etcd.Server.StopNotify():
		return errors.New("start etcd: member stopped before it was ready")
	case <-ctx.Done():
		return fmt.Errorf("await etcd: %w", ctx.Err())
	}
}

// Stopped is closed when the member has ended, by Close or by a fault of its own.
func (s *Store) Stopped() <-chan struct{} { return s.etcd.Server.StopNotify() }

// Close stops the member and frees the directory.
func (s *Store) Close() error {
	s.stop()
	s.keeper.Wait()
	s.etcd.Close()
	if err := s.lock.Close(); err != nil {
		return fmt.Errorf("close lock file: %w", err)
	}
	return nil
}

package datapath

import (
	"log/slog"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// namespacePoll is how often the names of namespaces are looked at. It also bounds how
// long a deleted namespace is kept alive by our subscription in it.
const namespacePoll = 250 * time.Millisecond

// watcher tells when devices or namespaces come and go.
type watcher struct {
	log     *slog.Logger
	changed chan struct{}
	done    chan struct{}
	wg      sync.WaitGroup

	mu   sync.Mutex
	seen map[string]*followed // by name of namespace
	shut bool
}

// followed is a namespace whose devices are watched; inode is 0 while there is none.
type followed struct {
	inode uint32
	stop  chan struct{}
}

func newWatcher(log *slog.Logger) *watcher {
	w := &watcher{log: log, changed: make(chan struct{}, 1), done: make(chan struct{}), seen: map[string]*followed{}}
	w.wg.Go(w.poll)
	return w
}

func (w *watcher) close() {
	w.mu.Lock()
	if w.shut {
		w.mu.Unlock()
		return
	}
	w.shut = true
	close(w.done)
	for _, f := range w.seen {
		f.end()
	}
	w.mu.Unlock()
	w.wg.Wait()
}

func (w *watcher) signal() {
	select {
	case w.changed <- struct{}{}:
	default: // one is waiting to be read already
	}
}

// follow watches these namespaces and no others.
func (w *watcher) follow(names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shut {
		return
	}
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = true
		if w.seen[n] == nil {
			w.seen[n] = &followed{}
		}
	}
	for n, f := range w.seen {
		if !wanted[n] {
			f.end()
			delete(w.seen, n)
		}
	}
	w.look()
}

func (f *followed) end() {
	if f.stop != nil {
		close(f.stop)
	}
	f.stop, f.inode = nil, 0
}

// look compares the namespaces of each name with those followed, and tells whether any
// is another one. The caller holds mu.
func (w *watcher) look() (changed bool) {
	for name, f := range w.seen {
		inode, err := namespaceInode(name)
		if err != nil {
			w.log.Warn("watch namespace", "netns", name, "error", err)
			continue
		}
		if inode == f.inode {
			continue
		}
		f.end()
		if inode == 0 {
			changed = true
			continue
		}
		stop := make(chan struct{})
		found, err := w.subscribe(name, stop)
		if err != nil {
			w.log.Warn("watch devices", "netns", name, "error", err)
			continue
		}
		if found {
			f.inode, f.stop, changed = inode, stop, true
		}
	}
	return changed
}

func (w *watcher) poll() {
	t := time.NewTicker(namespacePoll)
	defer t.Stop()
	for {
		select {
		case <-w.done:
			return
		case <-t.C:
		}
		w.mu.Lock()
		changed := !w.shut && w.look()
		w.mu.Unlock()
		if changed {
			w.signal()
		}
	}
}

// subscribe watches the devices of a namespace until stop is closed.
func (w *watcher) subscribe(name string, stop chan struct{}) (found bool, err error) {
	ns, err := openNamespace(name)
	if err != nil || ns == nil {
		return false, err
	}
	defer func() {
		if err := ns.close(); err != nil {
			w.log.Warn("close namespace", "netns", name, "error", err)
		}
	}()
	updates := make(chan netlink.LinkUpdate, 64)
	err = ns.do(func() error {
		return netlink.LinkSubscribeWithOptions(updates, stop, netlink.LinkSubscribeOptions{
			ErrorCallback: func(err error) {
				select {
				case <-stop: // the socket was closed on purpose
				default:
					// Messages may be lost: whoever listens looks at everything anyway.
					w.log.Warn("watch devices", "netns", name, "error", err)
					w.signal()
				}
			},
		})
	})
	if err != nil {
		close(stop)
		return false, err
	}
	links, err := ns.links.LinkList()
	if err != nil {
		close(stop)
		// The subscription ends once it is rid of what it has received.
		w.wg.Go(func() {
			for range updates {
			}
		})
		return false, err
	}
	known := map[int32]standing{}
	for _, l := range links {
		known[int32(l.Attrs().Index)] = standingOf(l.Attrs())
	}
	w.wg.Go(func() {
		w.devices(updates, known)
		w.lost(name, stop)
	})
	return true, nil
}

// lost has the next poll subscribe again, where the subscription ended by itself: when
// messages come faster than they are read, the socket fails.
func (w *watcher) lost(name string, stop chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.seen[name]; f != nil && f.stop == stop {
		f.end()
	}
}

// standing is all of a device that decides what Apply makes of it. Its number is the key
// that it is kept under.
type standing struct {
	name           string
	master, parent int // numbers of devices
	parentNetns    int // LinkAttrs.NetNsID
}

func standingOf(a *netlink.LinkAttrs) standing {
	return standing{name: a.Name, master: a.MasterIndex, parent: a.ParentIndex, parentNetns: a.NetNsID}
}

// devices signals when a device is there, gone, renamed, or has another master or parent,
// and not when it only goes up or counts. It ends when the subscription closes the channel.
func (w *watcher) devices(updates <-chan netlink.LinkUpdate, known map[int32]standing) {
	for u := range updates {
		// A bridge tells of its ports in the same words.
		if u.IfInfomsg.Family != unix.AF_UNSPEC {
			continue
		}
		before, was := known[u.Index]
		if u.Header.Type == unix.RTM_DELLINK {
			delete(known, u.Index)
		} else {
			now := standingOf(u.Attrs())
			known[u.Index] = now
			if was && before == now {
				continue
			}
		}
		w.signal()
	}
}

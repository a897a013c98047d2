package datapath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// netnsDir is where iproute2 keeps named namespaces.
const netnsDir = "/run/netns"

// ownNamespace is the file of the network namespace of the thread that opens it. Outside
// of namespace.do every thread is in the one that this process began in, for one that
// can't go back is never used again. /proc/self would be the main thread, which may be
// inside of namespace.do at that moment.
const ownNamespace = "/proc/thread-self/ns/net"

// namespacePath is the file of a namespace; "" is the one that this process began in. It
// is not to be used inside of namespace.do.
func namespacePath(name string) string {
	if name == "" {
		return ownNamespace
	}
	return filepath.Join(netnsDir, name)
}

// namespaceInode identifies a namespace as long as it lives; 0 where there is none.
func namespaceInode(name string) (uint32, error) {
	var s unix.Stat_t
	err := unix.Stat(namespacePath(name), &s)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look at namespace %q: %w", name, err)
	}
	return uint32(s.Ino), nil
}

// namespace is an open network namespace. It lives as long as anybody has it open, so
// nobody keeps one longer than a piece of work takes.
type namespace struct {
	name  string
	inode uint32
	file  *os.File
	links *netlink.Handle
}

// openNamespace opens a namespace, or returns nil where there is none of that name.
func openNamespace(name string) (*namespace, error) {
	f, err := os.Open(namespacePath(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open namespace %q: %w", name, err)
	}
	var s unix.Stat_t
	var fs unix.Statfs_t
	err = errors.Join(unix.Fstat(int(f.Fd()), &s), unix.Fstatfs(int(f.Fd()), &fs))
	if err == nil && fs.Type != unix.NSFS_MAGIC {
		// A name whose namespace has been unmounted, or is not mounted yet.
		return nil, f.Close()
	}
	n := &namespace{name: name, inode: uint32(s.Ino), file: f}
	if err == nil {
		err = n.do(func() (err error) {
			n.links, err = netlink.NewHandle(unix.NETLINK_ROUTE)
			return err
		})
	}
	if err != nil {
		if n.links != nil {
			n.links.Close()
		}
		return nil, errors.Join(fmt.Errorf("open namespace %q: %w", name, err), f.Close())
	}
	return n, nil
}

func (n *namespace) close() error {
	n.links.Close()
	return n.file.Close()
}

// do runs fn on a thread that is in the namespace. A thread that can't go back stays
// locked, so that the runtime ends it with its goroutine, or parks it for good where it is
// the main thread.
func (n *namespace) do(fn func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		result <- func() error {
			home, err := os.Open(ownNamespace)
			if err != nil {
				return fmt.Errorf("open own namespace: %w", err)
			}
			defer home.Close()
			if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter namespace %q: %w", n.name, err)
			}
			err = fn()
			if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
				return errors.Join(err, fmt.Errorf("leave namespace %q: %w", n.name, back))
			}
			runtime.UnlockOSThread()
			return err
		}()
	}()
	return <-result
}

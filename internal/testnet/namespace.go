package testnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// namespaceDir is where ip-netns(8) keeps named namespaces, so that people can use
// `ip netns exec` on ours.
const namespaceDir = "/run/netns"

// NamespacePath returns the file that holds a named namespace.
func NamespacePath(name string) string { return filepath.Join(namespaceDir, name) }

// NamespaceExists tells whether a namespace of that name is there.
func NamespaceExists(name string) bool {
	var s unix.Statfs_t
	return unix.Statfs(NamespacePath(name), &s) == nil && s.Type == unix.NSFS_MAGIC
}

// ListNamespaces returns the names of the files in the namespace directory that
// begin with prefix, sorted. A file that a crashed run left without a namespace
// behind it is listed too, so that RemoveNamespace can be called on it.
func ListNamespaces(prefix string) ([]string, error) {
	entries, err := os.ReadDir(namespaceDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// CreateNamespace makes a named network namespace with its loopback up. It is an
// error when one of that name exists.
func CreateNamespace(name string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("create namespace: %w", err)
	}
	if err := shareNamespaceDir(); err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	path := NamespacePath(name)
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	f.Close()
	err = onThread(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, func() error {
		if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", path, err)
		}
		return setLinkUp("lo")
	})
	if err != nil {
		return errors.Join(fmt.Errorf("create namespace %s: %w", name, err), RemoveNamespace(name))
	}
	return nil
}

// RemoveNamespace deletes the devices of a named namespace and the name. One that
// is not there is no error. The devices go even when a process still holds the
// namespace open.
func RemoveNamespace(name string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("remove namespace: %w", err)
	}
	path := NamespacePath(name)
	if NamespaceExists(name) {
		if err := Do(name, deleteLinks); err != nil {
			return fmt.Errorf("remove namespace %s: %w", name, err)
		}
	}
	// Several mounts may lie over each other when two runs met; EINVAL says that
	// none is left.
	for {
		err := unix.Unmount(path, unix.MNT_DETACH)
		if err == unix.EINVAL || err == unix.ENOENT {
			break
		}
		if err != nil {
			return fmt.Errorf("unmount namespace %s: %w", name, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove namespace %s: %w", name, err)
	}
	return nil
}

// Do runs f inside a named namespace, on the calling goroutine, whose thread is
// locked for as long. "" is the namespace that the caller is in. Sockets that f
// makes belong to the namespace for ever; goroutines that f starts run outside of
// it. Calls may be nested.
func Do(name string, f func() error) error {
	if name == "" {
		return f()
	}
	return onThread(func() error {
		fd, err := unix.Open(NamespacePath(name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open namespace %s: %w", name, err)
		}
		defer unix.Close(fd)
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter namespace %s: %w", name, err)
		}
		return nil
	}, f)
}

// onThread locks the thread, lets enter change its namespace, runs f and changes
// back. When that fails the thread stays locked, so that the runtime ends it with
// the goroutine rather than give it to another one.
func onThread(enter, f func() error) (err error) {
	runtime.LockOSThread()
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open own namespace: %w", err)
	}
	// Deferred, since f may end its goroutine, as testing.T.Fatal does.
	defer func() {
		if back := unix.Setns(home, unix.CLONE_NEWNET); back != nil {
			err = errors.Join(err, fmt.Errorf("leave namespace: %w", back))
		} else {
			runtime.UnlockOSThread()
		}
		unix.Close(home)
	}()
	if err := enter(); err != nil {
		return err
	}
	return f()
}

// shareNamespaceDir makes the namespace directory a shared mount of its own, as
// ip-netns does: a namespace that is removed here must also vanish from the mount
// namespaces that were copied meanwhile, or its name could not be used again.
func shareNamespaceDir() error {
	if err := os.MkdirAll(namespaceDir, 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	err := unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if err != unix.EINVAL { // EINVAL: not a mount point yet
		return wrap("share "+namespaceDir, err)
	}
	if err := unix.Mount(namespaceDir, namespaceDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", namespaceDir, err)
	}
	return wrap("share "+namespaceDir, unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, ""))
}

// deleteLinks deletes what can be deleted in the current namespace. The removal of
// a namespace would do so too, but some time later and only when nobody holds it.
func deleteLinks() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list devices: %w", err)
	}
	for _, l := range links {
		if l.Type() != "veth" {
			continue // loopback and tunnel fall-backs can't be deleted and go with the namespace
		}
		err := netlink.LinkDel(l)
		// The peer may lie in the same namespace and be gone already.
		if err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("delete device %s: %w", l.Attrs().Name, err)
		}
	}
	return nil
}

// checkName refuses names that would leave the namespace directory.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsRune(name, '/') || len(name) > 255 {
		return fmt.Errorf("name %q: not a file name", name)
	}
	return nil
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

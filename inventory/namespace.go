package inventory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// namespaceDir is where ip-netns(8) keeps named namespaces.
const namespaceDir = "/run/netns"

// errNoNamespace is a name without a namespace behind it.
var errNoNamespace = errors.New("no such network namespace")

// ownNamespace is the file of the namespace of the thread that opens it. Outside of
// inside, every thread is in the host's own.
const ownNamespace = "/proc/thread-self/ns/net"

// inside runs f in a named namespace, "" being the host's own, on a thread of its own.
func inside(name string, f func() error) error {
	if name == "" {
		return f()
	}
	target, err := unix.Open(filepath.Join(namespaceDir, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return fmt.Errorf("open namespace %s: %w", name, errNoNamespace)
	}
	if err != nil {
		return fmt.Errorf("open namespace %s: %w", name, err)
	}
	defer unix.Close(target)
	result := make(chan error, 1)
	go func() { result <- visit(name, target, f) }()
	return <-result
}

// visit runs f in a namespace. When the way back fails the thread stays locked, so that
// nothing else ever runs on it: the goroutine has to end then.
func visit(name string, target int, f func() error) (err error) {
	runtime.LockOSThread()
	home, err := unix.Open(ownNamespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open own namespace: %w", err)
	}
	defer unix.Close(home)
	if err := unix.Setns(target, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		if err == unix.EINVAL { // the file is there, the mount over it is not
			err = errNoNamespace
		}
		return fmt.Errorf("enter namespace %s: %w", name, err)
	}
	defer func() {
		if back := unix.Setns(home, unix.CLONE_NEWNET); back != nil {
			err = errors.Join(err, fmt.Errorf("leave namespace %s: %w", name, back))
			return
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

// namespaceIdentity tells one namespace from the next of the same name; 0 is none.
func namespaceIdentity(name string) uint64 {
	path := ownNamespace
	if name != "" {
		path = filepath.Join(namespaceDir, name)
	}
	var s unix.Stat_t
	var fsys unix.Statfs_t
	if unix.Stat(path, &s) != nil || unix.Statfs(path, &fsys) != nil || fsys.Type != unix.NSFS_MAGIC {
		return 0
	}
	return s.Ino
}

// namespaceNames lists the namespaces that there are, for messages.
func namespaceNames() []string {
	entries, err := os.ReadDir(namespaceDir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if namespaceIdentity(e.Name()) != 0 {
			names = append(names, e.Name())
		}
	}
	return names
}

// forwards tells whether the namespace of the thread forwards packets of either
// family.
func forwards() (bool, error) {
	for _, path := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return false, fmt.Errorf("read forwarding: %w", err)
		}
		if value := strings.TrimSpace(string(text)); value != "0" && value != "" {
			return true, nil
		}
	}
	return false, nil
}

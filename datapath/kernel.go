package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

// The oldest kernel with TCX links.
const (
	kernelMajor = 6
	kernelMinor = 6
)

// EnsureBPFFS mounts a BPF file system on path, which is made if it is not there,
// unless one is mounted there or above already. A directory with anything in it is
// an error.
func EnsureBPFFS(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("make mount point of bpffs: %w", err)
	}
	if is, err := isBPFFS(path); err != nil || is {
		return err
	}
	// A mount hides what lies below it.
	if inside, err := os.ReadDir(path); err != nil || len(inside) > 0 {
		return errors.Join(err, fmt.Errorf("mount bpffs on %s: it is no bpffs and not empty", path))
	}
	if err := unix.Mount("bpf", path, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return fmt.Errorf("mount bpffs on %s: %w", path, err)
	}
	return nil
}

// isBPFFS tells what the path, or the nearest parent that exists, lies on.
func isBPFFS(path string) (bool, error) {
	for {
		var s unix.Statfs_t
		err := unix.Statfs(path, &s)
		if err == nil {
			return int64(s.Type) == unix.BPF_FS_MAGIC, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			return false, fmt.Errorf("look at file system of %s: %w", path, err)
		}
		path = filepath.Dir(path)
	}
}

// checkKernel says in words what is missing.
func checkKernel(dir string) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("read kernel version: %w", err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return fmt.Errorf("read kernel version %q: %w", release, err)
	}
	if major < kernelMajor || major == kernelMajor && minor < kernelMinor {
		return fmt.Errorf("check kernel: it is %s, and TCX needs Linux %d.%d or newer", release, kernelMajor, kernelMinor)
	}
	if err := checkCapabilities(); err != nil {
		return err
	}
	is, err := isBPFFS(dir)
	if err != nil {
		return err
	}
	if !is {
		return fmt.Errorf("check pin directory: %s is not on a BPF file system (mount -t bpf bpf %s)", dir, dir)
	}
	if err := features.HaveProgramHelper(programType, coarseClock); err != nil {
		return fmt.Errorf("check kernel: it has BPF, but not all that the firewall needs: %w", err)
	}
	return nil
}

// checkCapabilities wants CAP_BPF and CAP_NET_ADMIN, and CAP_SYS_ADMIN for other
// namespaces and bpffs; CAP_SYS_ADMIN stands for CAP_BPF, too.
func checkCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	has := func(c int) bool { return data[c/32].Effective&(1<<(c%32)) != 0 }
	if !has(unix.CAP_NET_ADMIN) || !has(unix.CAP_SYS_ADMIN) {
		return errors.New("check rights: the data plane needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN)")
	}
	return nil
}

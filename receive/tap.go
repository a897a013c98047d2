package receive

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// tapMTU is the largest MTU that the kernel gives an Ethernet device (65,535 less
// the header), so that jumbo frames and unsegmented ones pass.
const tapMTU = 65521

// Tap is a Sink that feeds frames to a tap device, as if they had arrived there on
// a wire: Suricata, Zeek or tcpdump listen on it.
type Tap struct {
	Name  string
	file  *os.File
	drops uint64
}

// OpenTap makes a tap device and sets it up, in the network namespace of the
// calling thread. The device goes when the tap is closed, unless it was there
// before as a persistent one. IPv6 is off on it, so that the host adds nothing.
func OpenTap(name string) (_ *Tap, err error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("make tap %s: %w", name, err), unix.Close(fd))
		}
	}()
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return nil, fmt.Errorf("attach: %w", err)
	}
	if err := setTapUp(name); err != nil {
		return nil, err
	}
	// Only now: a descriptor that is polled before it has a device stays in error.
	return &Tap{Name: name, file: os.NewFile(uintptr(fd), "/dev/net/tun")}, nil
}

func setTapUp(name string) error {
	// The kernel resolves /proc/sys/net in the namespace of the thread.
	path := "/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6"
	if err := os.WriteFile(path, []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("turn IPv6 off: %w", err)
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	defer unix.Close(s)
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	r.SetUint32(tapMTU)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFMTU, r); err != nil {
		return fmt.Errorf("set MTU: %w", err)
	}
	r.SetUint32(0)
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, r); err != nil {
		return fmt.Errorf("read flags: %w", err)
	}
	r.SetUint16(r.Uint16() | unix.IFF_UP | unix.IFF_NOARP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	return nil
}

// Write hands a frame to whoever listens on the device. A device that somebody has
// set down takes none; that is counted and is no error.
func (t *Tap) Write(p Packet) error {
	_, err := t.file.Write(p.Frame)
	if errors.Is(err, unix.EIO) || errors.Is(err, unix.EINVAL) {
		t.drops++ // EIO: the device is down; EINVAL: no frame that Ethernet knows
		return nil
	}
	if err != nil {
		return fmt.Errorf("write to tap %s: %w", t.Name, err)
	}
	return nil
}

// Drops is how many frames the device did not take. Not safe while Run runs.
func (t *Tap) Drops() uint64 { return t.drops }

// Flush has nothing to do.
func (t *Tap) Flush() error { return nil }

// Close removes the device.
func (t *Tap) Close() error { return t.file.Close() }

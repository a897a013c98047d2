package testnet

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offload is a feature of a device that makes packets larger or less finished
// inside the kernel than they are on a wire.
type Offload uint32

// The offloads that SetOffload can switch; the values are the ethtool commands
// that set them (linux/ethtool.h).
const (
	RXChecksum Offload = 0x15 // ETHTOOL_SRXCSUM
	TXChecksum Offload = 0x17 // ETHTOOL_STXCSUM
	TSO        Offload = 0x1f // ETHTOOL_STSO
	GSO        Offload = 0x24 // ETHTOOL_SGSO
	GRO        Offload = 0x2c // ETHTOOL_SGRO
)

// ethtoolValue is struct ethtool_value of linux/ethtool.h.
type ethtoolValue struct{ command, data uint32 }

// ethtoolRequest is struct ifreq with its data pointer, of linux/if.h.
type ethtoolRequest struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

// SetOffload switches an offload of a device. With TSO, GSO and TXChecksum off at
// the sender and GRO off at the receiver every packet in the kernel is one that
// could be on a wire.
func SetOffload(netns, device string, on bool, offloads ...Offload) error {
	return withEthtool(netns, device, func(request func(*ethtoolValue) error) error {
		for _, o := range offloads {
			value := &ethtoolValue{command: uint32(o)}
			if on {
				value.data = 1
			}
			if err := request(value); err != nil {
				return fmt.Errorf("set offload %#x of %s: %w", uint32(o), device, err)
			}
		}
		return nil
	})
}

// Offloaded tells whether an offload of a device is on.
func Offloaded(netns, device string, o Offload) (on bool, err error) {
	err = withEthtool(netns, device, func(request func(*ethtoolValue) error) error {
		// Each command that sets one comes right behind the one that reads it.
		value := &ethtoolValue{command: uint32(o) - 1}
		if err := request(value); err != nil {
			return fmt.Errorf("read offload %#x of %s: %w", uint32(o), device, err)
		}
		on = value.data != 0
		return nil
	})
	return on, err
}

// withEthtool runs f with a way to send ethtool commands to a device.
func withEthtool(netns, device string, f func(request func(*ethtoolValue) error) error) error {
	return Do(netns, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open socket: %w", err)
		}
		defer unix.Close(fd)
		return f(func(value *ethtoolValue) error { return ethtool(fd, device, value) })
	})
}

func ethtool(fd int, device string, value *ethtoolValue) error {
	if len(device) >= unix.IFNAMSIZ {
		return unix.ENODEV
	}
	var pin runtime.Pinner // the kernel follows the pointer inside the request
	defer pin.Unpin()
	pin.Pin(value)
	req := &ethtoolRequest{data: unsafe.Pointer(value)}
	copy(req.name[:], device)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(req)))
	if errno != 0 {
		return errno
	}
	return nil
}

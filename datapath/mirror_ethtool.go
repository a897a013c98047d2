package datapath

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// deviceRequest is struct ifreq of linux/if.h with its data pointer.
type deviceRequest struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

// ethtool sends a command to a device of the socket's namespace.
func ethtool(fd int, device string, command unsafe.Pointer) error {
	if len(device) >= unix.IFNAMSIZ {
		return unix.ENODEV
	}
	var pin runtime.Pinner // the kernel follows the pointer inside the request
	defer pin.Unpin()
	pin.Pin(command)
	req := &deviceRequest{data: command}
	copy(req.name[:], device)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(req)))
	if errno != 0 {
		return errno
	}
	return nil
}

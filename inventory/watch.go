package inventory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// watchGroups are the rtnetlink multicast groups whose messages may change a
// reading (rtnetlink(7), linux/rtnetlink.h): devices, addresses, and the netconf
// groups that carry forwarding.
const watchGroups = 1<<(unix.RTNLGRP_LINK-1) |
	1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1) |
	1<<(unix.RTNLGRP_IPV4_NETCONF-1) | 1<<(unix.RTNLGRP_IPV6_NETCONF-1)

// watchNamespace sends the name of a namespace whenever something in it may have
// changed, until ctx ends: after each message of the kernel, and when the
// namespace itself is removed or made again.
func watchNamespace(ctx context.Context, name string, dirty chan<- string, log *slog.Logger) {
	report := func() bool {
		select {
		case dirty <- name:
			return true
		case <-ctx.Done():
			return false
		}
	}
	quiet := false // the failure was logged
	for ctx.Err() == nil {
		identity := namespaceIdentity(name)
		var err error
		if identity != 0 {
			// From the socket's opening nothing is missed, so the reading comes after it.
			err = watchOnce(ctx, name, identity, report)
		}
		if err != nil && !quiet && !errors.Is(err, errNoNamespace) {
			log.Error("can't watch devices; looking at them each second", "netns", name, "error", err)
		}
		quiet = err != nil
		if !report() {
			return
		}
		if err == nil && identity != 0 {
			continue
		}
		select { // no namespace, or no way to watch it
		case <-ctx.Done():
		case <-time.After(retry):
		}
	}
}

// watchOnce listens to one incarnation of a namespace. It returns nil when that is
// gone, or ctx has ended.
func watchOnce(ctx context.Context, name string, identity uint64, report func() bool) error {
	socket, err := openSocket(name)
	if err != nil {
		return err
	}
	defer socket.Close()
	// A deadline in the past ends a pending read.
	stop := context.AfterFunc(ctx, func() { socket.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if !report() {
		return nil
	}
	buf := make([]byte, 64<<10)
	for {
		// The socket keeps the namespace alive, so its name is looked at each second.
		if err := socket.SetReadDeadline(time.Now().Add(retry)); err != nil {
			return fmt.Errorf("set deadline: %w", err)
		}
		if ctx.Err() != nil {
			return nil
		}
		_, err := socket.Read(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if namespaceIdentity(name) != identity {
				return nil
			}
		case err == nil, errors.Is(err, unix.ENOBUFS): // ENOBUFS: some messages are lost
			if !report() {
				return nil
			}
		default:
			return fmt.Errorf("receive from rtnetlink: %w", err)
		}
		if namespaceIdentity(name) != identity {
			return nil
		}
	}
}

// openSocket opens an rtnetlink socket inside a namespace that listens to the
// watched groups.
func openSocket(name string) (*os.File, error) {
	var fd int
	err := inside(name, func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: watchGroups}); err != nil {
		return nil, errors.Join(fmt.Errorf("bind rtnetlink: %w", err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "rtnetlink"), nil
}

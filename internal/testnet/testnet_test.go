package testnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// newLab makes a lab with names of its own.
func newLab(t *testing.T) LabNetwork {
	t.Helper()
	lab := Lab(UniquePrefix("testnet"))
	CreateForTest(t, lab.Topology)
	return lab
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestLabForwardsBothFamiliesBetweenAllHosts(t *testing.T) {
	lab := newLab(t)
	for _, from := range lab.Hosts() {
		for _, to := range lab.Hosts() {
			for _, a := range []netip.Addr{to.IPv4, to.IPv6} {
				if err := Ping(testContext(t), from.Netns, a, 2, 100); err != nil {
					t.Errorf("from %s: %v", from.Netns, err)
				}
			}
		}
	}
}

func TestLabHasTheDevicesOfTheDesign(t *testing.T) {
	lab := newLab(t)
	want := []string{
		"client/eth0 1500 10.77.1.2/24 fd77:1::2/64",
		"gateway/client0 1500 10.77.1.1/24 fd77:1::1/64",
		"server/eth0 1500 10.77.2.2/24 fd77:2::2/64",
		"gateway/server0 1500 10.77.2.1/24 fd77:2::1/64",
		"sensor/eth0 9000 10.77.3.2/24 fd77:3::2/64",
		"gateway/sensor0 9000 10.77.3.1/24 fd77:3::1/64",
	}
	prefix := strings.TrimSuffix(lab.Client, "client")
	var got []string
	status, err := lab.Status()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range status {
		if !s.Up {
			t.Errorf("%s is not up", s.End)
		}
		line := fmt.Sprintf("%s/%s %d", strings.TrimPrefix(s.Netns, prefix), s.Device, s.MTU)
		for _, a := range globalAddresses(t, s.End) {
			line += " " + a
		}
		got = append(got, line)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
}

// globalAddresses reads what the kernel says; a tentative address is not ready.
func globalAddresses(t *testing.T, e End) []string {
	t.Helper()
	var out []string
	err := Do(e.Netns, func() error {
		l, err := netlink.LinkByName(e.Device)
		if err != nil {
			return err
		}
		addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		for _, a := range addrs {
			if a.Scope != int(netlink.SCOPE_UNIVERSE) {
				continue
			}
			if a.Flags&unix.IFA_F_TENTATIVE != 0 {
				t.Errorf("%s: %s is tentative", e, a.IPNet)
			}
			out = append(out, a.IPNet.String())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLabKeepsItsHardwareAddresses(t *testing.T) {
	RequireRoot(t)
	lab := Lab(UniquePrefix("testnet"))
	var seen []string
	for range 2 {
		CreateForTest(t, lab.Topology)
		err := Do(lab.Gateway, func() error {
			dev, err := net.InterfaceByName("client0")
			if err == nil {
				seen = append(seen, dev.HardwareAddr.String())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := lab.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	if seen[0] != seen[1] {
		t.Errorf("hardware address changed from %s to %s", seen[0], seen[1])
	}
}

func TestRemoveIsIdempotentAndComplete(t *testing.T) {
	lab := newLab(t)
	// Somebody who still holds a namespace must not keep its devices alive.
	held, err := os.Open(NamespacePath(lab.Client))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for range 2 {
		if err := lab.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	left, err := ListNamespaces(strings.TrimSuffix(lab.Client, "client"))
	if err != nil || len(left) != 0 {
		t.Errorf("namespaces left: %v, %v", left, err)
	}
	err = onThread(func() error { return unix.Setns(int(held.Fd()), unix.CLONE_NEWNET) }, func() error {
		links, err := netlink.LinkList()
		for _, l := range links {
			if l.Type() == "veth" {
				t.Errorf("device %s is left in the held namespace", l.Attrs().Name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRemoveClearsWhatACrashedRunLeft(t *testing.T) {
	RequireRoot(t)
	lab := Lab(UniquePrefix("testnet"))
	// Half a lab: one namespace, and a name without a namespace behind it.
	if err := CreateNamespace(lab.Client); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(NamespacePath(lab.Server), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := lab.Create(); err == nil {
		t.Error("created over what was there")
	}
	if err := lab.Remove(); err != nil {
		t.Fatal(err)
	}
	CreateForTest(t, lab.Topology)
}

func TestDoComesBackHowever(t *testing.T) {
	lab := newLab(t)
	home := inode(t)
	if err := Do(lab.Client, func() error {
		client := inode(t)
		if client == home {
			t.Error("not inside the namespace")
		}
		err := Do(lab.Server, func() error {
			if in := inode(t); in == client || in == home {
				t.Error("nested: not inside the namespace")
			}
			return nil
		})
		if inode(t) != client {
			t.Error("nested: did not come back")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { _ = recover() }()
		Do(lab.Client, func() error { panic("out") })
	}()
	if inode(t) != home {
		t.Error("did not come back from a panic")
	}
	want := errors.New("mine")
	if err := Do(lab.Client, func() error { return want }); !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
	if err := Do("testnet-no-such", func() error { return nil }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got error %v, want one that says that it does not exist", err)
	}
}

// inode identifies the namespace of the thread.
func inode(t *testing.T) uint64 {
	t.Helper()
	var s unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &s); err != nil {
		t.Fatal(err)
	}
	return s.Ino
}

func TestProcessRunsInsideAndEnds(t *testing.T) {
	lab := newLab(t)
	out := new(strings.Builder)
	cmd := exec.Command("cat", "/proc/net/dev")
	cmd.Stdout = out
	p, err := Start(lab.Gateway, cmd)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "sensor0:") {
		t.Errorf("the child saw other devices:\n%s", out)
	}
	p, err = Start(lab.Gateway, exec.Command("sleep", "60"))
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	p.Kill()
	if err := p.Wait(); err == nil {
		t.Error("a killed child reported success")
	}
	if _, err := Start(lab.Gateway, exec.Command("/no/such/program")); err == nil {
		t.Error("started a program that does not exist")
	}
}

func TestNamesStayInTheirDirectory(t *testing.T) {
	for _, name := range []string{"", ".", "..", "../x", "a/b", strings.Repeat("x", 256)} {
		if CreateNamespace(name) == nil || RemoveNamespace(name) == nil {
			t.Errorf("accepted the name %q", name)
		}
	}
	if SetSysctl("", "../kernel/panic", "1") == nil {
		t.Error("accepted a sysctl outside of net")
	}
}

package test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	nfw "github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"

	"sluice/internal/testnet"
	"sluice/internal/testserver"
)

// sluiceBinary builds sluice once for all tests.
var sluiceBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sluice-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "sluice")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/sluice")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build sluice: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := sluiceBinary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// needRoot skips a test that needs root, but not in CI, where a skip is a failure.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}

// bed is a lab of its own, with a server and a firewall on the client's network.
type bed struct {
	testnet.LabNetwork
	t        *testing.T
	ctx      context.Context
	server   *testserver.Server
	client   *nfw.Client
	policy   string // ARN
	firewall string // ARN
	subnet   string
	vpc      string
}

type bedOptions struct {
	maxFlows  int
	exception types.StreamExceptionPolicy
	sensor    bool // the sensor's device is in the inventory too
}

// newBed builds a lab, starts a server over its gateway and waits until the
// firewall is READY.
func newBed(t *testing.T, o bedOptions) *bed {
	t.Helper()
	needRoot(t)
	path, err := sluiceBinary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	b := &bed{LabNetwork: testnet.Lab(fmt.Sprintf("t%d%s-", os.Getpid()%100000, shortName(t))), t: t, ctx: ctx}
	t.Cleanup(func() {
		if err := b.Remove(); err != nil {
			t.Error(err)
		}
	})
	b.must(b.Create())
	interfaces := []testserver.Interface{{Netns: b.Gateway, Device: "client0"}}
	if o.sensor {
		interfaces = append(interfaces, testserver.Interface{Netns: b.Sensor, Device: "eth0"})
	}
	b.server, err = testserver.New(testserver.Options{Binary: path, Dir: t.TempDir(), MaxFlows: o.maxFlows, Interfaces: interfaces})
	b.must(err)
	t.Cleanup(func() {
		if err := b.server.Detach(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("server log:\n%s", b.server.Log())
		}
	})
	b.must(b.server.Start(ctx))
	b.client, err = b.server.Client(ctx)
	b.must(err)
	if o.exception == "" {
		o.exception = types.StreamExceptionPolicyReject
	}
	b.policy, err = testserver.Policy(ctx, b.client, "edge", o.exception)
	b.must(err)
	b.subnet, b.vpc, err = b.server.Subnet(ctx, "client")
	b.must(err)
	b.firewall, err = testserver.Firewall(ctx, b.client, "edge", b.policy, b.vpc, b.subnet)
	b.must(err)
	return b
}

// shortName tells the namespaces of two tests apart.
func shortName(t *testing.T) string {
	var sum uint16
	for _, c := range t.Name() {
		sum = sum*31 + uint16(c)
	}
	return fmt.Sprintf("x%04x", sum)
}

func (b *bed) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// dial opens a connection from the client to the server's echo or sink.
func (b *bed) dial(network string, to netip.AddrPort) net.Conn {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	c, err := testnet.Dial(ctx, b.Client, network, to.String())
	b.must(err)
	b.t.Cleanup(func() { c.Close() })
	return c
}

// echo answers TCP and UDP on a port of the server with what it gets.
func (b *bed) echo(port uint16) {
	b.t.Helper()
	l, err := testnet.Listen(b.Server, "tcp", fmt.Sprintf(":%d", port))
	b.must(err)
	b.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go echoStream(c)
		}
	}()
	p, err := testnet.ListenPacket(b.Server, "udp", fmt.Sprintf(":%d", port))
	b.must(err)
	b.t.Cleanup(func() { p.Close() })
	go func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			p.WriteTo(buf[:n], from) // a lost answer is seen by the asker
		}
	}()
}

func echoStream(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 65536)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// talk sends a message and waits for the echo.
func talk(c net.Conn, message string) error {
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte(message)); err != nil {
		return err
	}
	buf := make([]byte, len(message))
	for got := 0; got < len(buf); {
		n, err := c.Read(buf[got:])
		if err != nil {
			return err
		}
		got += n
	}
	if string(buf) != message {
		return fmt.Errorf("echo of %q is %q", message, buf)
	}
	return nil
}

// capture runs a capture to its end and returns its rows.
func (b *bed) capture(filters ...types.FlowFilter) []types.Flow {
	b.t.Helper()
	op, err := b.client.StartFlowCapture(b.ctx, &nfw.StartFlowCaptureInput{FirewallArn: &b.firewall, FlowFilters: filters})
	b.must(err)
	return b.rows(*op.FlowOperationId)
}

// flush runs a flush to its end and returns what it cut.
func (b *bed) flush(filters ...types.FlowFilter) []types.Flow {
	b.t.Helper()
	op, err := b.client.StartFlowFlush(b.ctx, &nfw.StartFlowFlushInput{FirewallArn: &b.firewall, FlowFilters: filters})
	b.must(err)
	return b.rows(*op.FlowOperationId)
}

func (b *bed) rows(operation string) []types.Flow {
	b.t.Helper()
	end, err := testserver.Finish(b.ctx, b.client, b.firewall, operation)
	b.must(err)
	if end.FlowOperationStatus != types.FlowOperationStatusCompleted {
		b.t.Fatalf("operation %s ended %s", operation, end.FlowOperationStatus)
	}
	rows, err := testserver.Rows(b.ctx, b.client, b.firewall, operation)
	b.must(err)
	return rows
}

// filter makes a flow filter from "member=value" words.
func filter(words ...string) types.FlowFilter {
	var f types.FlowFilter
	for _, w := range words {
		member, value, _ := strings.Cut(w, "=")
		switch member {
		case "src":
			f.SourceAddress = &types.Address{AddressDefinition: &value}
		case "dst":
			f.DestinationAddress = &types.Address{AddressDefinition: &value}
		case "sport":
			f.SourcePort = &value
		case "dport":
			f.DestinationPort = &value
		case "proto":
			f.Protocols = append(f.Protocols, value)
		default:
			panic("no member " + member)
		}
	}
	return f
}

// tupleOf is a row's 5-tuple as a word, "6 10.77.1.2:40000>10.77.2.2:80".
func tupleOf(f types.Flow) string {
	return fmt.Sprintf("%s %s>%s", *f.Protocol,
		join(*f.SourceAddress.AddressDefinition, *f.SourcePort),
		join(*f.DestinationAddress.AddressDefinition, *f.DestinationPort))
}

// tupleOfConn is the same for a connection that was dialled.
func tupleOfConn(c net.Conn) string {
	protocol := "6"
	if strings.HasPrefix(c.LocalAddr().Network(), "udp") {
		protocol = "17"
	}
	return fmt.Sprintf("%s %s>%s", protocol, c.LocalAddr(), c.RemoteAddr())
}

func join(address, port string) string { return net.JoinHostPort(address, port) }

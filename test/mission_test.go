package test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/testnet"
)

// stockFlow is a flow as boto3 and the CLI print it.
type stockFlow struct {
	SourceAddress, DestinationAddress     struct{ AddressDefinition string }
	SourcePort, DestinationPort, Protocol string
	Age, PacketCount, ByteCount           int64
}

func (f stockFlow) tuple() string {
	return fmt.Sprintf("%s %s>%s", f.Protocol, join(f.SourceAddress.AddressDefinition, f.SourcePort),
		join(f.DestinationAddress.AddressDefinition, f.DestinationPort))
}

// client runs a stock client program with nothing but what `sluice env` exports.
func (b *bed) stock(name string, args ...string) []byte {
	b.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			b.t.Fatal(err)
		}
		b.t.Skip(err)
	}
	cmd := exec.CommandContext(b.ctx, path, args...)
	cmd.Env = b.exported()
	out, err := cmd.Output()
	if err != nil {
		var stderr string
		if e, ok := err.(*exec.ExitError); ok {
			stderr = string(e.Stderr)
		}
		b.t.Fatalf("%s: %v\n%s", name, err, stderr)
	}
	return out
}

// exported lets a shell evaluate what `sluice env` prints, in an environment that
// has no other AWS settings.
func (b *bed) exported() []string {
	b.t.Helper()
	path, err := sluiceBinary()
	b.must(err)
	cmd := exec.CommandContext(b.ctx, "sh", "-c", `eval "$("$0" env --config "$1")" && env`, path, b.server.Config)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	out, err := cmd.Output()
	b.must(err)
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func (b *bed) boto3(zone string, age int, filters []types.FlowFilter) []stockFlow {
	b.t.Helper()
	in, err := json.Marshal(stockFilters(filters))
	b.must(err)
	var out struct {
		Described struct{ FlowOperationStatus string }
		Flows     []stockFlow
	}
	b.must(json.Unmarshal(b.stock("python3", "clients/mission.py", b.firewall, zone, fmt.Sprint(age), string(in)), &out))
	if out.Described.FlowOperationStatus != "COMPLETED" {
		b.t.Fatalf("boto3 saw %s", out.Described.FlowOperationStatus)
	}
	return out.Flows
}

// stockFilters drops the members that are not set: boto3 refuses null.
func stockFilters(filters []types.FlowFilter) []map[string]any {
	var out []map[string]any
	for _, f := range filters {
		m := map[string]any{}
		if f.SourceAddress != nil {
			m["SourceAddress"] = map[string]any{"AddressDefinition": *f.SourceAddress.AddressDefinition}
		}
		if f.DestinationAddress != nil {
			m["DestinationAddress"] = map[string]any{"AddressDefinition": *f.DestinationAddress.AddressDefinition}
		}
		if f.SourcePort != nil {
			m["SourcePort"] = *f.SourcePort
		}
		if f.DestinationPort != nil {
			m["DestinationPort"] = *f.DestinationPort
		}
		if f.Protocols != nil {
			m["Protocols"] = f.Protocols
		}
		out = append(out, m)
	}
	return out
}

func (b *bed) cli(zone string, age int, filters []types.FlowFilter) []stockFlow {
	b.t.Helper()
	in, err := json.Marshal(stockFilters(filters))
	b.must(err)
	var started struct{ FlowOperationId string }
	b.must(json.Unmarshal(b.stock("aws", "network-firewall", "start-flow-capture", "--firewall-arn", b.firewall,
		"--availability-zone", zone, "--minimum-flow-age-in-seconds", fmt.Sprint(age), "--flow-filters", string(in)), &started))
	var listed struct {
		FlowOperationStatus string
		Flows               []stockFlow
	}
	for range 20 {
		b.must(json.Unmarshal(b.stock("aws", "network-firewall", "list-flow-operation-results", "--firewall-arn", b.firewall,
			"--flow-operation-id", started.FlowOperationId, "--page-size", "100"), &listed))
		if listed.FlowOperationStatus != "IN_PROGRESS" {
			return listed.Flows
		}
	}
	b.t.Fatal("the capture does not end")
	return nil
}

// TestTheMissionsCallReadsBackTheFlowsThatExist is the document's own call, from
// boto3 and the AWS CLI, against what ss says of the clients' sockets.
func TestTheMissionsCallReadsBackTheFlowsThatExist(t *testing.T) {
	b := newBed(t, bedOptions{})
	for _, port := range []uint16{7001, 7002, 7003} {
		b.echo(port)
	}
	server := b.Hosts()[1]
	var conns []net.Conn
	for _, port := range []uint16{7001, 7002, 7003} {
		for _, ip := range []netip.Addr{server.IPv4, server.IPv6} {
			for _, network := range []string{"tcp", "udp"} {
				c := b.dial(network, netip.AddrPortFrom(ip, port))
				b.must(talk(c, "hello"))
				conns = append(conns, c)
			}
		}
	}
	b.must(testnet.Ping(b.ctx, b.Client, server.IPv4, 2, 56))
	b.must(testnet.Ping(b.ctx, b.Client, server.IPv6, 2, 56))
	// The ages below need flows of two seconds and a younger one.
	aged := time.NewTimer(2100 * time.Millisecond)
	defer aged.Stop()
	<-aged.C
	young := b.dial("tcp", netip.AddrPortFrom(server.IPv4, 7003))
	b.must(talk(young, "hello"))
	conns = append(conns, young)

	sockets := b.sockets()
	var all []string
	for _, c := range conns {
		tuple := tupleOfConn(c)
		if !slices.Contains(sockets, tuple) {
			t.Errorf("ss does not show %s", tuple)
		}
		all = append(all, tuple)
	}
	client := b.Hosts()[0]
	all = append(all, fmt.Sprintf("1 %s:0>%s:0", client.IPv4, server.IPv4), fmt.Sprintf("58 [%s]:0>[%s]:0", client.IPv6, server.IPv6))
	pick := func(keep func(string) bool) []string {
		var out []string
		for _, s := range all {
			if keep(s) {
				out = append(out, s)
			}
		}
		return out
	}
	contains := func(subs ...string) func(string) bool {
		return func(s string) bool {
			return !slices.ContainsFunc(subs, func(sub string) bool { return !strings.Contains(s, sub) })
		}
	}
	twenty := make([]types.FlowFilter, 20)
	for i := range twenty {
		twenty[i] = filter(fmt.Sprintf("src=10.99.%d.0/24", i))
	}
	twenty[19] = filter("dst=10.77.2.2", "dport=7001", "proto=17")
	sport := conns[0].LocalAddr().(*net.TCPAddr).Port
	v4, v6 := contains("10.77.1.2"), contains("fd77:1::2")

	for _, c := range []struct {
		name    string
		age     int
		filters []types.FlowFilter
		want    []string
	}{
		{"all members set", 0, []types.FlowFilter{filter("src=10.77.1.0/24", "dst=10.77.2.2/32", fmt.Sprintf("sport=%d", sport), "dport=7001", "proto=6")},
			pick(contains("6 ", fmt.Sprintf(":%d>", sport), "10.77.1.2"))},
		{"IPv4, protocols left out", 0, []types.FlowFilter{filter("src=0.0.0.0/0")}, pick(v4)},
		{"IPv6, protocols left out", 0, []types.FlowFilter{filter("src=::/0")}, pick(v6)},
		{"range of ports, both transports listed", 0, []types.FlowFilter{filter("src=10.77.1.2", "dport=7001:7002", "sport=ANY", "proto=6", "proto=17")},
			pick(func(s string) bool { return v4(s) && (strings.HasSuffix(s, ":7001") || strings.HasSuffix(s, ":7002")) })},
		{"ICMP of both versions", 0, []types.FlowFilter{filter("dst=10.77.2.0/24", "proto=1"), filter("dst=fd77:2::/64", "proto=58")},
			pick(func(s string) bool { return strings.HasPrefix(s, "1 ") || strings.HasPrefix(s, "58 ") })},
		{"twenty filters", 0, twenty, pick(func(s string) bool { return strings.HasPrefix(s, "17 ") && v4(s) && strings.HasSuffix(s, ":7001") })},
		{"an age that the last connection does not have", 2, []types.FlowFilter{filter("src=10.77.1.2", "dport=7003", "proto=6")},
			pick(func(s string) bool {
				return strings.HasPrefix(s, "6 ") && v4(s) && strings.HasSuffix(s, ":7003") && s != tupleOfConn(young)
			})},
		{"the initiator's side is the source", 0, []types.FlowFilter{filter("src=10.77.2.2")}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			slices.Sort(c.want)
			for name, ask := range map[string]func(string, int, []types.FlowFilter) []stockFlow{"boto3": b.boto3, "cli": b.cli} {
				var got []string
				for _, f := range ask("eu-west-1a", c.age, c.filters) {
					got = append(got, f.tuple())
					if f.PacketCount < 2 || f.ByteCount < 2*28 || f.Age < int64(c.age) {
						t.Errorf("%s: %s has age %d, %d packets, %d bytes", name, f.tuple(), f.Age, f.PacketCount, f.ByteCount)
					}
				}
				slices.Sort(got)
				if d := cmp.Diff(c.want, got); d != "" {
					t.Errorf("%s: -want +got\n%s", name, d)
				}
			}
		})
	}
}

// sockets is what ss shows of the client's connected sockets.
func (b *bed) sockets() []string {
	b.t.Helper()
	var text []byte
	b.must(testnet.Do(b.Client, func() (err error) {
		text, err = exec.CommandContext(b.ctx, "ss", "-Htun", "state", "established").Output()
		return err
	}))
	var out []string
	for line := range strings.Lines(string(text)) {
		// Netid Recv-Q Send-Q Local Peer
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		protocol := map[string]string{"tcp": "6", "udp": "17"}[f[0]]
		out = append(out, fmt.Sprintf("%s %s>%s", protocol, f[3], f[4]))
	}
	return out
}

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

// question is a capture and the flows that it has to find.
type question struct {
	name    string
	age     int
	filters []types.FlowFilter
	want    []string
	cli     bool // also asked through the AWS CLI, which takes its time
}

// TestTheMissionsCallReadsBackTheFlowsThatExist is the document's own call, from
// boto3 and the AWS CLI, against what ss says of the clients' sockets.
func TestTheMissionsCallReadsBackTheFlowsThatExist(t *testing.T) {
	b := newBed(t, bedOptions{})
	born := time.Now()
	all := b.connections()
	for _, q := range questions(all) {
		t.Run(q.name, func(t *testing.T) { b.ask(t, q) })
	}
	t.Run("an age that the last connection does not have", func(t *testing.T) {
		const age = 12
		old := time.NewTimer(time.Until(born.Add((age + 2) * time.Second)))
		defer old.Stop()
		<-old.C
		young := b.dial("tcp", b.server4(7003))
		b.must(talk(young, "hello"))
		// The clients below have to be quicker than the age.
		b.ask(t, question{age: age, filters: []types.FlowFilter{filter("src=10.77.1.2", "dport=7003", "proto=6")},
			want: pick(all, "6 ", "10.77.1.2", ":7003"), cli: true})
	})
}

// connections holds connections of every kind and returns their 5-tuples, checked
// against ss.
func (b *bed) connections() []string {
	b.t.Helper()
	client, server := b.Hosts()[0], b.Hosts()[1]
	var conns []net.Conn
	for _, port := range []uint16{7001, 7002, 7003} {
		b.echo(port)
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
	sockets := b.sockets()
	var all []string
	for _, c := range conns {
		tuple := tupleOfConn(c)
		if !slices.Contains(sockets, tuple) {
			b.t.Errorf("ss does not show %s", tuple)
		}
		all = append(all, tuple)
	}
	return append(all, fmt.Sprintf("1 %s:0>%s:0", client.IPv4, server.IPv4), fmt.Sprintf("58 [%s]:0>[%s]:0", client.IPv6, server.IPv6))
}

// pick returns the tuples that hold all of the words.
func pick(tuples []string, words ...string) []string {
	var out []string
	for _, s := range tuples {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(s, w) }) {
			out = append(out, s)
		}
	}
	return out
}

func questions(all []string) []question {
	twenty := make([]types.FlowFilter, 20)
	for i := range twenty {
		twenty[i] = filter(fmt.Sprintf("src=10.99.%d.0/24", i))
	}
	twenty[19] = filter("dst=10.77.2.2", "dport=7001", "proto=17")
	first := pick(all, "6 10.77.1.2", ":7001")
	_, sport, _ := strings.Cut(strings.Split(first[0], ">")[0], ":")
	both := append(pick(all, "10.77.1.2", "10.77.2.2:7001"), pick(all, "10.77.1.2", "10.77.2.2:7002")...)
	return []question{
		{"all members set", 0, []types.FlowFilter{filter("src=10.77.1.0/24", "dst=10.77.2.2/32", "sport="+sport, "dport=7001", "proto=6")}, first, true},
		{"IPv4, protocols left out", 0, []types.FlowFilter{filter("src=0.0.0.0/0")}, pick(all, "10.77.1.2"), false},
		{"IPv6, protocols left out", 0, []types.FlowFilter{filter("src=::/0")}, pick(all, "fd77:1::2"), true},
		{"range of ports, both transports listed", 0,
			[]types.FlowFilter{filter("src=10.77.1.2", "dport=7001:7002", "sport=ANY", "proto=6", "proto=17")}, both, false},
		{"ICMP of both versions", 0, []types.FlowFilter{filter("dst=10.77.2.0/24", "proto=1"), filter("dst=fd77:2::/64", "proto=58")},
			append(pick(all, "1 10.77.1.2:0"), pick(all, "58 [")...), false},
		{"twenty filters", 0, twenty, pick(all, "17 10.77.1.2", ":7001"), true},
		{"the initiator's side is the source", 0, []types.FlowFilter{filter("src=10.77.2.2")}, nil, false},
	}
}

func (b *bed) ask(t *testing.T, q question) {
	slices.Sort(q.want)
	clients := map[string]func(string, int, []types.FlowFilter) []stockFlow{"boto3": b.boto3}
	if q.cli {
		clients["cli"] = b.cli
	}
	for name, ask := range clients {
		var got []string
		for _, f := range ask("eu-west-1a", q.age, q.filters) {
			got = append(got, f.tuple())
			if f.PacketCount < 2 || f.ByteCount < 2*28 || f.Age < int64(q.age) {
				t.Errorf("%s: %s has age %d, %d packets, %d bytes", name, f.tuple(), f.Age, f.PacketCount, f.ByteCount)
			}
		}
		slices.Sort(got)
		if d := cmp.Diff(q.want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", name, d)
		}
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

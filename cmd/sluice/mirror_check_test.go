package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice"
	"sluice/internal/testnet"
)

// configure appends to the configuration of a lab.
func configure(t *testing.T, config labConfig, text string) {
	t.Helper()
	f, err := os.OpenFile(config.ConfigFile(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// listen opens a UDP socket of the sensor until the test ends.
func (l mirrorLab) listen(address string) net.PacketConn {
	l.t.Helper()
	listener, err := testnet.ListenPacket(l.Network.Sensor, "udp", address)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { listener.Close() })
	return listener
}

// expect checks a session and wants a step to be as given, the only one that fails.
func (l mirrorLab) expect(session, name, step, result, detail string) {
	l.t.Helper()
	steps, ok := l.check(session)
	s := steps[step]
	if s.Result != result || !regexp.MustCompile(detail).MatchString(s.Detail) || ok != (result == stepOK) {
		l.t.Errorf("%s: step %s is %+v; all: %+v", name, step, s, steps)
	}
}

func TestAGroupOfReceiversIsATarget(t *testing.T) {
	config := testLab(t)
	configure(t, config, "target_groups: [{name: sensors, members: [10.77.3.2, eni-0123456789abcdef0]}]\n")
	server := startTestServer(t, config)
	defer server.stop(t)
	l := mirrorLab{config, t}
	session := l.create("--source", l.source(), "--target", "sensors")
	if session.PacketLength != 8500 {
		t.Errorf("made %+v", session)
	}
	if list := l.must("mirror", "list"); !strings.Contains(list, "sensors") {
		t.Errorf("the list:\n%s", list)
	}
	steps, ok := l.check(session.ID)
	if steps["copy"].Result != stepOK || steps["port"].Result != stepFailed || ok {
		t.Errorf("nobody listens: %+v", steps)
	}
	if d := steps["target"].Detail; d != "group sensors: on this host 10.77.3.2 ("+l.sensor()+"); left out: interface eni-0123456789abcdef0 is not there" {
		t.Errorf("the members are %s", d)
	}
	l.listen("[::]:4789")
	steps, ok = l.check(session.ID)
	if !ok || !strings.HasPrefix(steps["arrival"].Detail, "at 10.77.3.2 ("+l.sensor()+") after ") || steps["port"].Result != stepOK || steps["size"].Result != stepOK {
		t.Errorf("somebody listens: %+v", steps)
	}
	if code, _, stderr := l.run("mirror", "create", "--source", l.source(), "--target", "nobody"); code != exitFailed || !strings.Contains(stderr, "no interface \"nobody\"") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// check runs check and reads its JSON.
func (l mirrorLab) check(session string) (steps map[string]checkStep, ok bool) {
	l.t.Helper()
	_, stdout, stderr := l.run("mirror", "check", session, "--output", "json", "--wait", "1s")
	var out struct {
		Steps []checkStep
		OK    bool
	}
	if err := json.Unmarshal([]byte(stdout), &out); err != nil {
		l.t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	steps = map[string]checkStep{}
	for _, s := range out.Steps {
		steps[s.Step] = s
	}
	return steps, out.OK
}

func TestCheckSaysWhereTheProbeIsLost(t *testing.T) {
	l := startMirrorLab(t)
	session := l.create("--source", l.source(), "--target", l.sensor())
	expect := func(name, step, result, detail string) {
		t.Helper()
		l.expect(session.ID, name, step, result, detail)
	}
	expect("nobody listens", "port", stepFailed, "10.77.3.2 says of the copy to 10.77.3.2: port unreachable")
	elsewhere := l.listen("127.0.0.1:4789")
	expect("somebody listens elsewhere", "port", stepFailed, "10.77.3.2 says of the copy to 10.77.3.2: port unreachable")
	elsewhere.Close()

	l.listen("[::]:4789")
	expect("all is well", "size", stepOK, `of a frame of 1514 bytes, the source's largest, 1514 arrive`)

	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// By itself a veth pair carries super-packets as they are.
	for on, want := range map[bool]string{true: stepWarning, false: stepOK} {
		must(testnet.SetOffload(l.Network.Gateway, "sensor0", on, testnet.TXChecksum))
		if steps, ok := l.check(session.ID); steps["way"].Result != want || !ok {
			t.Errorf("offloads of sensor0 on %v: %+v", on, steps)
		}
	}
	must(testnet.SetOffload(l.Network.Gateway, "sensor0", false, testnet.TXChecksum))

	must(testnet.SetMTU(l.Network.Gateway, "sensor0", 1500))
	expect("a small MTU", "size", stepFailed, `of a frame of 1514 bytes only 1464 arrive`)
	must(testnet.SetMTU(l.Network.Gateway, "sensor0", 9000))

	must(testnet.SetLinkDown(l.Network.Gateway, "sensor0"))
	expect("no route", "route", stepFailed, "no way from "+l.source())
	must(testnet.SetLinkUp(l.Network.Gateway, "sensor0"))

	before := l.create("--source", l.source(), "--target", l.sensor(), "--number", "5", "--match", "protocol=tcp")
	session = l.create("--source", l.source(), "--target", l.sensor(), "--number", "9", "--match", "protocol=tcp")
	expect("an earlier session", "filter", stepFailed, `is asked first and takes tcp 10\.77\.1\.1:9 `)
	l.must("mirror", "delete", before.ID)
	expect("still the first session of all", "filter", stepFailed, `number 1, is asked first and takes tcp 10\.77\.1\.1:9 `)
}

func TestCheckTellsOfSlicesAndDirections(t *testing.T) {
	l := startMirrorLab(t)
	l.listen("[::]:4789")
	for _, c := range []struct {
		args                 []string
		step, result, detail string
	}{
		{[]string{"--packet-length", "64"}, "size", stepOK, "of a frame of 1514 bytes, the source's largest, 64 arrive"},
		{[]string{"--match", "direction=ingress,source=192.0.2.0/24"}, "filter", stepFailed, "no probe can be sent, and no packet was mirrored"},
		{[]string{"--match", "source=fd77:9::/64,protocol=udp,destination-port=53,direction=egress"}, "filter", stepOK, `udp \[fd77:9::1\]:9 → \[2001:db8::1\]:53`},
	} {
		session := l.create(append([]string{"--source", l.source(), "--target", l.sensor()}, c.args...)...)
		steps, _ := l.check(session.ID)
		if s := steps[c.step]; s.Result != c.result || !regexp.MustCompile(c.detail).MatchString(s.Detail) {
			t.Errorf("%q: step %s is %+v; all: %+v", c.args, c.step, s, steps)
		}
		l.must("mirror", "delete", session.ID, "--all-made")
	}
}

func TestCheckPassesAFirewallOfTheSource(t *testing.T) {
	l := startMirrorLab(t)
	l.must("firewall", "create", "edge", "--subnet", "client")
	l.listen("[::]:4789")
	session := l.create("--source", l.source(), "--target", l.sensor())
	steps, ok := l.check(session.ID)
	if !ok {
		t.Errorf("%+v", steps)
	}
}

func TestCheckSaysWhatIsWrongWithTheTarget(t *testing.T) {
	l := startMirrorLab(t)
	session := l.create("--source", l.source(), "--target", l.sensor())
	l.listen("[::]:4789")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(testnet.SetLinkDown(l.Network.Sensor, "eth0"))
	l.expect(session.ID, "down", "target", stepFailed, l.sensor()+" of target tmt-[0-9a-f]+ is down")
	must(testnet.SetLinkUp(l.Network.Sensor, "eth0"))

	must(testnet.SetSysctl(l.Network.Sensor, "ipv6/conf/eth0/disable_ipv6", "1"))
	l.ip(l.Network.Sensor, "addr", "flush", "dev", "eth0")
	e := ec2{mustConfig(t, l.labConfig)}
	for deadline := time.Now().Add(10 * time.Second); ; {
		all, err := describeInterfaces(t.Context(), e)
		must(err)
		n, err := all.resolve(l.sensor())
		must(err)
		if len(n.addresses()) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server still knows %v", n.addresses())
		}
		time.Sleep(10 * time.Millisecond)
	}
	l.expect(session.ID, "no address", "target", stepFailed, "has no IP address that copies could go to")

	must(testnet.RemoveLink(l.Network.Sensor, "eth0"))
	l.expect(session.ID, "gone", "target", stepFailed, "is not there")
	code, stdout, stderr := l.run("mirror", "check", session.ID)
	if code != exitFailed || !regexp.MustCompile(`(?m)^target +FAILED +.* is not there`).MatchString(stdout) || !strings.Contains(stderr, "fails at the step target") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}

// ip runs ip(8) in a namespace.
func (l mirrorLab) ip(netns string, args ...string) {
	l.t.Helper()
	err := testnet.Do(netns, func() error {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			l.t.Logf("ip %q: %s", args, out)
		}
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

func TestCheckTellsWhichMemberOfAGroupGetsTheCopy(t *testing.T) {
	config := testLab(t)
	configure(t, config, "target_groups:\n"+
		"- {name: both, members: [10.77.3.2, 10.77.2.2]}\n"+
		"- {name: elsewhere, members: [10.77.3.77]}\n"+
		"- {name: nobody, members: [eni-0123456789abcdef0]}\n")
	server := startTestServer(t, config)
	defer server.stop(t)
	l := mirrorLab{config, t}
	session := l.create("--source", l.source(), "--target", "both")
	for _, netns := range []string{l.Network.Sensor, l.Network.Server} {
		c, err := testnet.ListenPacket(netns, "udp", "[::]:4789")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	members := map[string]string{"10.77.3.2": l.sensor(), "10.77.2.2": l.Network.Server + "/eth0"}
	steps, _ := l.check(session.ID)
	got := regexp.MustCompile(`^at (\S+) \((\S+)\) after \S+, in VXLAN network \d+ from 10.77.1.1 to (\S+)$`).FindStringSubmatch(steps["arrival"].Detail)
	if len(got) != 4 || got[1] != got[3] || members[got[1]] != got[2] || steps["port"].Result != stepOK {
		t.Errorf("%q: %+v", got, steps)
	}
	l.must("mirror", "delete", session.ID, "--all-made")

	session = l.create("--source", l.source(), "--target", "elsewhere")
	steps, _ = l.check(session.ID)
	if d := steps["target"].Detail; d != "group elsewhere: elsewhere 10.77.3.77" || steps["arrival"].Result == stepOK || steps["port"].Result == stepOK {
		t.Errorf("%+v", steps)
	}
	l.must("mirror", "delete", session.ID, "--all-made")

	session = l.create("--source", l.source(), "--target", "nobody")
	l.expect(session.ID, "no member", "target", stepFailed, "group nobody has no member that copies can go to; left out: interface eni-0123456789abcdef0 is not there")
}

func TestWhatIsNotSeenOfAGroupIsUnknown(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	k := &mirrorChecker{host: "here", receivers: []copyReceiver{
		{name: "sensor/eth0", addresses: []netip.Addr{a}, host: "here", netns: "sensor", device: "eth0"}, {name: "10.0.0.2", addresses: []netip.Addr{b}},
	}}
	if k.allHere() || !k.isReceiver(a) || !k.isReceiver(b) || k.isReceiver(netip.MustParseAddr("10.0.0.3")) {
		t.Error("the receivers are not known")
	}
	copied := trackedProbe{counted: sluice.MirrorCounters{Mirrored: sluice.Counter{Packets: 1}}}
	if !k.sayArrival(copied) {
		t.Error("it ends there")
	}
	k.receivers = k.receivers[:1]
	if k.sayArrival(copied) {
		t.Error("a copy that did not arrive at the only receiver goes on")
	}
	want := []checkStep{
		{"arrival", stepUnknown, "handed to the network, and not seen at sensor/eth0: sluice receive at 10.0.0.2 tells"},
		{"arrival", stepFailed, "handed to the network, and not seen at sensor/eth0 within 0s; the session counts 1 mirrored"},
	}
	if diff := cmp.Diff(want, k.steps); diff != "" {
		t.Error(diff)
	}
}

func TestProbesAreOfTheSourcesAddressFamilies(t *testing.T) {
	rules := []mirrorRule{
		{ID: "1", Action: sluice.MirrorReject, SourceCIDR: "0.0.0.0/0"},
		{ID: "2", Action: sluice.MirrorAccept, SourceCIDR: "0.0.0.0/0"},
		{ID: "3", Action: sluice.MirrorAccept, SourceCIDR: "::/0"},
	}
	withIPv6 := []struct {
		Address string `xml:"ipv6Address"`
	}{{"fd00::1"}}
	for _, c := range []struct {
		source networkInterface
		rules  []mirrorRule
		want   string
	}{
		{networkInterface{IPv4: "10.0.0.1"}, rules, "2"},
		{networkInterface{IPv6: withIPv6}, rules, "3"},
		{networkInterface{IPv4: "10.0.0.1", IPv6: withIPv6}, rules, "23"},
		{networkInterface{}, rules, "23"},                    // a port of a bridge
		{networkInterface{IPv4: "10.0.0.1"}, rules[2:], "3"}, // what it forwards
	} {
		k := &mirrorChecker{source: c.source}
		got := ""
		for _, r := range k.probeRules(c.rules) {
			got += r.ID
		}
		if got != c.want {
			t.Errorf("%+v: rules %s, want %s", c.source, got, c.want)
		}
	}
}

func TestASocketIsOpenForTheAddressesThatItIsBoundTo(t *testing.T) {
	for _, c := range []struct {
		bound, destination string
		open               bool
	}{
		{"0.0.0.0", "10.0.0.1", true}, {"0.0.0.0", "fd00::1", false}, {"127.0.0.1", "10.0.0.1", false}, {"127.0.0.1", "127.0.0.1", true},
		{"::", "10.0.0.1", true}, {"::", "fd00::1", true}, {"::1", "::1", true}, {"::1", "fd00::1", false},
	} {
		netns := testnet.UniquePrefix("port") + "ns"
		testnet.CreateForTest(t, testnet.Topology{Nodes: []testnet.Node{{Netns: netns}}})
		network := "udp"
		if c.bound == "0.0.0.0" {
			network = "udp4"
		}
		l, err := testnet.ListenPacket(netns, network, net.JoinHostPort(c.bound, "4789"))
		if err != nil {
			t.Fatal(err)
		}
		open, bound, err := portOpen(netns, netip.MustParseAddr(c.destination))
		if err != nil {
			t.Fatal(err)
		}
		if open != c.open || open == (len(bound) > 0) {
			t.Errorf("bound to %s, packets to %s: open %v, others %v", c.bound, c.destination, open, bound)
		}
		if !open && bound[0].String() != c.bound {
			t.Errorf("bound to %s, read as %s", c.bound, bound[0])
		}
		l.Close()
	}
}

func TestCheckWantsTimeToWait(t *testing.T) {
	for _, wait := range []string{"-1s", "0s"} {
		var stderr bytes.Buffer
		s := &shell{stdout: &stderr, stderr: &stderr, getenv: os.Getenv}
		if code := run(t.Context(), s, []string{"mirror", "check", "tms-0123456789abcdef0", "--wait", wait}); code != exitUsage {
			t.Errorf("--wait %s: exit %d, %s", wait, code, stderr.String())
		}
	}
}

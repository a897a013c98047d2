package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"sluice"
	"sluice/internal/testnet"
	"sluice/receive"
)

// mirrorLab is a lab with a server.
type mirrorLab struct {
	labConfig
	t *testing.T
}

func startMirrorLab(t *testing.T) mirrorLab {
	t.Helper()
	config := testLab(t)
	server := startTestServer(t, config)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server said:\n%s", server.stderr.String())
		}
		server.stop(t)
	})
	return mirrorLab{config, t}
}

// run runs a verb and returns its exit code and output.
func (l mirrorLab) run(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	s := &shell{stdout: &out, stderr: &err, getenv: os.Getenv}
	code = run(l.t.Context(), s, append(args, "--config", l.ConfigFile()))
	return code, out.String(), err.String()
}

// must runs a verb that has to succeed.
func (l mirrorLab) must(args ...string) string {
	l.t.Helper()
	code, stdout, stderr := l.run(args...)
	if code != exitOK {
		l.t.Fatalf("sluice %s: exit %d: %s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// create makes a session and returns it.
func (l mirrorLab) create(args ...string) shownSession {
	l.t.Helper()
	var made struct{ TrafficMirrorSession shownSession }
	out := l.must(append([]string{"mirror", "create", "--output", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		l.t.Fatal(err)
	}
	return made.TrafficMirrorSession
}

func (l mirrorLab) source() string { return l.Network.Gateway + "/client0" }
func (l mirrorLab) sensor() string { return l.Network.Sensor + "/eth0" }

func TestMirrorSessionsAreMadeShownAndRemoved(t *testing.T) {
	l := startMirrorLab(t)
	first := l.create("--source", l.source(), "--target", l.sensor(), "--vni", "4711", "--packet-length", "128", "--match", "protocol=tcp,destination-port=443",
		"--max-packets", "1000", "--description", "web", "--dns")
	if first.Number != 1 || first.VNI != 4711 || first.PacketLength != 128 || tagValue(first.Tags, sluice.TagPacketsPerSecond) != "1000" {
		t.Errorf("made %+v", first)
	}
	second := l.create("--source", first.InterfaceID, "--target", first.TargetID, "--filter", first.FilterID)
	if second.Number != 2 || second.TargetID != first.TargetID || second.FilterID != first.FilterID {
		t.Errorf("made %+v beside %+v", second, first)
	}
	list := l.must("mirror", "list")
	for _, want := range []string{first.ID, second.ID, l.source(), l.sensor(), "4711", "first 128"} {
		if !strings.Contains(list, want) {
			t.Errorf("the list lacks %q:\n%s", want, list)
		}
	}
	show := l.must("mirror", "show", first.ID)
	for _, want := range []string{"web", "1000 packets per second", "amazon-dns", "tcp, 0.0.0.0/0 → 0.0.0.0/0 port 443", "tcp, ::/0 port 443 → ::/0", "mirrored"} {
		if !strings.Contains(show, want) {
			t.Errorf("show lacks %q:\n%s", want, show)
		}
	}
	if out := l.must("mirror", "delete", first.ID, "--all-made"); out != first.ID+" is gone\n" {
		t.Errorf("filter and target are in use, and delete says %s", out)
	}
	want := second.ID + " is gone\n" + second.FilterID + " is gone\n" + second.TargetID + " is gone\n"
	if diff := cmp.Diff(want, l.must("mirror", "delete", second.ID, "--all-made")); diff != "" {
		t.Error(diff)
	}
}

func TestAFailedCreateLeavesNothingBehind(t *testing.T) {
	l := startMirrorLab(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--number", "40000"}, "InvalidParameterValue"},
		{[]string{"--match", "protocol=tcp,destination-port=1", "--match", "protocol=tcp,destination-port=2"}, "TrafficMirrorFilterRuleLimitExceeded"},
		{[]string{"--packet-length", "-1"}, "InvalidParameterValue"},
	} {
		code, _, stderr := l.run(append([]string{"mirror", "create", "--source", l.source(), "--target", l.sensor()}, c.args...)...)
		if code != exitFailed || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: exit %d, %s", c.args, code, stderr)
		}
	}
	e := ec2{mustConfig(t, l.labConfig)}
	filters, err := describeMirrorFilters(t.Context(), e, nil)
	if err != nil || len(filters) != 0 {
		t.Errorf("filters left: %v, %v", filters, err)
	}
	targets, err := describeTargets(t.Context(), e, nil)
	if err != nil || len(targets) != 0 {
		t.Errorf("targets left: %v, %v", targets, err)
	}
	if code, _, stderr := l.run("mirror", "create", "--source", "nowhere/eth9", "--target", l.sensor()); code != exitFailed || !strings.Contains(stderr, l.source()) {
		t.Errorf("an unknown interface: exit %d, %s", code, stderr)
	}
}

func TestAGroupOfReceiversIsATarget(t *testing.T) {
	config := testLab(t)
	f, err := os.OpenFile(config.ConfigFile(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("target_groups: [{name: sensors, members: [10.77.3.2]}]\n"); err != nil {
		t.Fatal(err)
	}
	f.Close()
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
	listener, err := testnet.ListenPacket(l.Network.Sensor, "udp", "[::]:4789")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if steps, ok := l.check(session.ID); !ok || steps["arrival"].Result != stepUnknown || steps["size"].Result != stepUnknown {
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
		steps, ok := l.check(session.ID)
		s := steps[step]
		if s.Result != result || !regexp.MustCompile(detail).MatchString(s.Detail) || ok != (result == stepOK) {
			t.Errorf("%s: step %s is %+v; all: %+v", name, step, s, steps)
		}
	}
	expect("nobody listens", "port", stepFailed, "nothing listens on UDP port 4789")

	listener, err := testnet.ListenPacket(l.Network.Sensor, "udp", "[::]:4789")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
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
	expect("an earlier session", "filter", stepFailed, "is asked first and takes tcp")
	l.must("mirror", "delete", before.ID)
	expect("still the first session of all", "filter", stepFailed, "number 1, is asked first")
}

func mustConfig(t *testing.T, l labConfig) aws.Config {
	t.Helper()
	cfg, err := awsConfig(t.Context(), sharedFilesIn(l.StateDir()), "")
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestCheckTellsOfSlicesAndDirections(t *testing.T) {
	l := startMirrorLab(t)
	listener, err := testnet.ListenPacket(l.Network.Sensor, "udp", "[::]:4789")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
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
	listener, err := testnet.ListenPacket(l.Network.Sensor, "udp", "[::]:4789")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	session := l.create("--source", l.source(), "--target", l.sensor())
	steps, ok := l.check(session.ID)
	if !ok {
		t.Errorf("%+v", steps)
	}
}

// TestTheLabsSensorSeesFramesOfAWire lets TCP make super-packets, and looks whether
// the sensor gets them cut.
func TestTheLabsSensorSeesFramesOfAWire(t *testing.T) {
	l := startMirrorLab(t)
	var r *receive.Receiver
	err := testnet.Do(l.Network.Sensor, func() (err error) {
		r, err = receive.Listen(t.Context(), "[::]:4789")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	end := make(chan error, 1)
	go func() { end <- r.Run(ctx) }()
	l.create("--source", l.source(), "--target", l.sensor(), "--match", "protocol=tcp")
	servers, err := startEchoServers(l.Network.Server)
	if err != nil {
		t.Fatal(err)
	}
	defer servers.close()
	to := netip.AddrPortFrom(l.Network.Hosts()[1].IPv4, demoTCPPort)
	talk, err := startTalk(ctx, l.Network.Client, "tcp", to, "bulk", 64, 65536)
	if err != nil {
		t.Fatal(err)
	}
	talk.conn.Close()
	stop()
	if err := <-end; err != nil {
		t.Fatal(err)
	}
	n, err := r.Counts()
	if err != nil {
		t.Fatal(err)
	}
	// 4 MiB each way in frames of 1,448 bytes; what is on its way at the end is missing.
	if len(n.Networks) != 1 || n.Packets() < 4000 || n.Networks[0].Bytes/n.Packets() > 1514 || n.Uncut() > 0 {
		t.Errorf("received %+v", n)
	}
}

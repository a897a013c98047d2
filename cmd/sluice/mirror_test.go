package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"os"
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

func mustConfig(t *testing.T, l labConfig) aws.Config {
	t.Helper()
	cfg, err := awsConfig(t.Context(), sharedFilesIn(l.StateDir()), "")
	if err != nil {
		t.Fatal(err)
	}
	return cfg
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

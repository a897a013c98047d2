package main

import (
	"encoding/json"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"sluice/internal/testnet"
)

// restore makes the client's link of a lab again, with another hardware address at the
// gateway.
func restore(t *testing.T, config labConfig, address string) {
	t.Helper()
	if err := testnet.AddLink(config.Network.Links[0]); err != nil {
		t.Fatal(err)
	}
	mac, err := net.ParseMAC(address)
	if err != nil {
		t.Fatal(err)
	}
	if err := testnet.Do(config.Network.Gateway, func() error {
		l, err := netlink.LinkByName("client0")
		if err != nil {
			return err
		}
		return netlink.LinkSetHardwareAddr(l, mac)
	}); err != nil {
		t.Fatal(err)
	}
}

// awaitMetric waits until /metrics has a line.
func awaitMetric(t *testing.T, config labConfig, line string) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, last = httpGet(t, "http://"+config.Admin+"/metrics"); strings.Contains(last, line+"\n") {
			return
		}
	}
	t.Fatalf("metrics lack %s\n%s", line, last)
}

// mirrorSessions are the ids of the sessions of a lab's server.
func mirrorSessions(t *testing.T, config labConfig) []string {
	t.Helper()
	code, stdout, stderr := runCommand("mirror", "list", "--output", "json", "--config", config.ConfigFile())
	var list struct {
		TrafficMirrorSessions []struct{ TrafficMirrorSessionId string }
	}
	if code != exitOK || json.Unmarshal([]byte(stdout), &list) != nil {
		t.Fatalf("mirror list: code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	var ids []string
	for _, s := range list.TrafficMirrorSessions {
		ids = append(ids, s.TrafficMirrorSessionId)
	}
	return ids
}

// TestAMirroredInterfaceFromItsReturnToItsEnd lets a source come back as another device,
// under the running server and while none runs, and ends with its owner declaring it no
// more.
func TestAMirroredInterfaceFromItsReturnToItsEnd(t *testing.T) {
	config := testLab(t)
	gateway, file := config.Network.Gateway, config.ConfigFile()
	server := startTestServer(t, config)
	create := func(source string) {
		t.Helper()
		if code, _, stderr := runCommand("mirror", "create", "--source", gateway+"/"+source, "--target", config.Network.Sensor+"/eth0", "--config", file); code != exitOK {
			t.Fatalf("mirror create: code %d, stderr %q\n%s", code, stderr, server.stderr.String())
		}
	}
	create("client0")
	_, text := httpGet(t, "http://"+config.Admin+"/metrics")
	_, labels, _ := strings.Cut(text, sourceAttachedMetric+"{")
	labels, _, _ = strings.Cut(labels, "}")
	attached := sourceAttachedMetric + "{" + labels + "} "
	if !strings.Contains(labels, "eni-") {
		t.Fatalf("no source in %s", text)
	}

	awaitMetric(t, config, attached+"1")
	if err := testnet.RemoveLink(gateway, "client0"); err != nil {
		t.Fatal(err)
	}
	awaitMetric(t, config, attached+"0")
	restore(t, config, "02:00:00:00:aa:01")
	awaitMetric(t, config, attached+"1")
	create("server0")
	if code := server.stop(t); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, server.stderr.String())
	}

	// A start and its check agree on a device that is away.
	if err := testnet.RemoveLink(gateway, "client0"); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := runCommand("serve", "--check", "--config", file)
	if code != exitOK || !strings.Contains(stdout, "6 interfaces") || !strings.Contains(stderr, "interface is not there") || !strings.Contains(stderr, "client0") {
		t.Errorf("serve --check: code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	server = startTestServer(t, config)
	awaitMetric(t, config, attached+"0")
	server.stop(t)
	restore(t, config, "02:00:00:00:aa:02")
	server = startTestServer(t, config)
	awaitMetric(t, config, attached+"1")
	sessions := mirrorSessions(t, config)
	if len(sessions) != 2 {
		t.Fatalf("sessions %v", sessions)
	}
	server.stop(t)

	// The owner of an interface is who declares it.
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	entry := "  - {netns: '" + gateway + "', device: 'client0'}\n"
	if !strings.Contains(string(before), entry) {
		t.Fatalf("no %q in %s", entry, before)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(before), entry, "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr = runCommand("serve", "--check", "--config", file)
	if code != exitOK || strings.Count(stderr, "declared no more") != 1 || !strings.Contains(stderr, "client0") {
		t.Errorf("serve --check: code %d, stderr %q", code, stderr)
	}
	server = startTestServer(t, config)
	left := mirrorSessions(t, config)
	if len(left) != 1 || len(regexp.MustCompile(`WARN.* deleted with its source`).FindAllString(server.stderr.String(), -1)) != 1 {
		t.Errorf("of sessions %v there are %v\n%s", sessions, left, server.stderr.String())
	}
	_, text = httpGet(t, "http://"+config.Admin+"/metrics")
	if strings.Contains(text, attached) {
		t.Errorf("a source that has no session is shown: %s", attached)
	}
	server.stop(t)
}

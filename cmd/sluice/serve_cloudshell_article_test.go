package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/testnet"
	"sluice/receive"
)

// The ids of the actions in the article's requests.
const (
	articleCreation = "41f206a1-a6c0-4603-90f7-6492cd0fb00d"
	articleRemoval  = "514d18dc-cd6c-4725-ac60-9e281d0b8e27"
)

// articleBed is a lab with a server and a receiver in the sensor.
type articleBed struct {
	mirrorLab
	sandbox string
	copies  net.PacketConn
}

// python runs a script with what a user fills in.
func (b articleBed) python(script string, fill ...string) string {
	b.t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") != "" {
			b.t.Fatal(err)
		}
		b.t.Skip(err)
	}
	_, port, _ := net.SplitHostPort(b.CloudShell)
	cmd := exec.CommandContext(b.t.Context(), path, "-c", strings.NewReplacer(append(fill, "PORT", port, "SANDBOX", b.sandbox)...).Replace(script))
	cmd.Env = append(os.Environ(), "PYTHONPATH=../../test/clients", "PYTHONDONTWRITEBYTECODE=1", "CLOUDSHELL_PORT="+port)
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// syn sends one TCP segment from 192.168.0.124 to the client, and tells whether a copy
// comes to the sensor within a while.
func (b articleBed) syn(port uint16, wait time.Duration) bool {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), wait)
	defer cancel()
	from := netip.AddrPortFrom(netip.MustParseAddr("192.168.0.124"), port)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := testnet.DialFrom(ctx, b.Network.Server, "tcp4", from, net.JoinHostPort(b.Network.Hosts()[0].IPv4.String(), "80"))
		if err == nil {
			conn.Close()
		}
	}()
	defer func() { cancel(); <-done }()
	deadline := time.Now().Add(wait)
	if err := b.copies.SetReadDeadline(deadline); err != nil {
		b.t.Fatal(err)
	}
	datagram := make([]byte, 65536)
	for {
		n, _, err := b.copies.ReadFrom(datagram)
		if err != nil {
			return false
		}
		_, frame, fault := receive.Decapsulate(datagram[:n])
		if fault != 0 || len(frame) < 54 {
			continue
		}
		source, _ := netip.AddrFromSlice(frame[26:30])
		if got := uint16(frame[34])<<8 | uint16(frame[35]); source == from.Addr() && got == port {
			return true
		}
	}
}

// mirrored waits until copies come, or come no more.
func (b articleBed) mirrored(want bool, port uint16) {
	b.t.Helper()
	wait := 300 * time.Millisecond
	for k := range uint16(30) {
		if b.syn(port+k, wait) == want {
			return
		}
	}
	b.t.Fatalf("copies come: %t, want %t", !want, want)
}

// article reads a script of CloudShell's article on AWS Traffic Mirroring, as it is
// printed there but for the indentation of its loop, and fills in what a user has to:
// pairs of what stands there and what is to. print is Python 3's.
func (b articleBed) article(name string, fill ...string) string {
	b.t.Helper()
	text, err := os.ReadFile("../../test/clients/article/" + name + ".txt")
	if err != nil {
		b.t.Fatal(err)
	}
	script := strings.Replace(string(text), "print result.Output", "print(result.Output)", 1)
	for i := 0; i < len(fill); i += 2 {
		if !strings.Contains(script, fill[i]) {
			b.t.Fatalf("%s lacks %s", name, fill[i])
		}
		script = strings.Replace(script, fill[i], fill[i+1], 1)
	}
	return script
}

// allNICs reads the NICs of all resources; it leaves the last one's in nic.
func (b articleBed) allNICs() string {
	return b.article("all-nics", "b9818bde-fc86-49f2-beae-74e238a3ad07", b.sandbox)
}

// oneNIC prints the NIC of a resource. The article takes the session for granted there:
// it is that of its next script.
func (b articleBed) oneNIC(resource string) string {
	session, _, _ := strings.Cut(b.allNICs(), "reservation =")
	return session + b.article("one-nic", "b9818bde-fc86-49f2-beae-74e238a3ad07", b.sandbox, "resource_name", resource) + "print(resource_interface)\n"
}

// create is the request that makes a session.
func (b articleBed) create(source, target string) string {
	return b.article("create", "9a8e81ac-5dd1-483a-9937-c17e477f455d", b.sandbox, "eni-008322622e675cd80", source, "eni-05fc8d0b34b762305", target)
}

// remove is the request that removes sessions, by the id of one or by their target.
func (b articleBed) remove(session, target string) string {
	return b.article("remove", "reservationId='"+articleRemoval, "reservationId='"+b.sandbox,
		`"sessionId": ""`, `"sessionId": "`+session+`"`, "eni-08e44d9a954444e3f", target)
}

// TestTheArticlesScriptsRun against a lab as they are printed: NICs are read, a session
// is made, packets that match arrive at the target and others don't, and removing it by
// session and by target NIC ends that.
func TestTheArticlesScriptsRun(t *testing.T) {
	b := articleBed{mirrorLab: startMirrorLab(t)}
	hosts := b.Network.Hosts()
	if err := testnet.AddAddress(b.Network.Server, "eth0", netip.MustParsePrefix("192.168.0.124/24")); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.copies, err = testnet.ListenPacket(b.Network.Sensor, "udp4", net.JoinHostPort(hosts[2].IPv4.String(), "4789")); err != nil {
		t.Fatal(err)
	}
	defer b.copies.Close()

	b.sandbox = b.python(sandboxScript)
	source, target := b.python(b.oneNIC("client")), b.python(b.oneNIC("sensor"))
	last := b.python(b.allNICs() + "print(nic)\n")
	if !strings.HasPrefix(source, "eni-") || source == target || last != target {
		t.Fatalf("source %s, target %s, the last of all %s", source, target, last)
	}

	for round, byTarget := range []bool{false, true} {
		out := b.python(b.create(source, target))
		session := articleResult(t, out, articleCreation).SessionID
		want := fmt.Sprintf(`{"driverResponse": {"actionResults": [{"type": "CreateTrafficMirroring", "actionId": "%s", "success": true, "infoMessage": "Success", "errorMessage": "", "sessionId": "%s"}]}}`, articleCreation, session)
		if out != want {
			t.Errorf("got  %s\nwant %s", out, want)
		}
		if list := b.must("mirror", "list"); !strings.Contains(list, session) {
			t.Errorf("the EC2 API does not show the session:\n%s", list)
		}
		base := uint16(50000 + 1000*round)
		b.mirrored(true, base)
		if b.syn(40000+uint16(round), 300*time.Millisecond) {
			t.Error("a packet from port 40000 was mirrored")
		}
		if byTarget {
			out = b.python(b.remove("", target))
		} else {
			out = b.python(b.remove(session, ""))
		}
		want = fmt.Sprintf(`{"driverResponse": {"actionResults": [{"type": "RemoveTrafficMirroring", "actionId": "%s", "success": true, "infoMessage": "Found sessions: %s.", "errorMessage": ""}]}}`, articleRemoval, session)
		if out != want {
			t.Errorf("got  %s\nwant %s", out, want)
		}
		b.mirrored(false, base+500)
	}
	if out := b.python(b.remove("", target)); articleResult(t, out, articleRemoval).Error != "Failed to remove traffic mirroring: No sessions found to remove!" {
		t.Errorf("removed again: %s", out)
	}

	// What is left when the sandbox ends goes with it.
	b.python(b.create(source, target))
	b.python(endScript)
	if list := b.must("mirror", "list", "--output", "json"); strings.Contains(list, "tms-") {
		t.Errorf("left after the end: %s", list)
	}
}

// TestTheArticlesRequestsRunOverAndOver in one log-on, with the same bytes each time:
// every creation makes a session of its own, and every removal removes that one.
func TestTheArticlesRequestsRunOverAndOver(t *testing.T) {
	b := articleBed{mirrorLab: startMirrorLab(t)}
	b.sandbox = b.python(sandboxScript)
	source, target := b.python(b.oneNIC("client")), b.python(b.oneNIC("sensor"))
	session, create, _ := strings.Cut(b.create(source, target), "result =")
	_, remove, _ := strings.Cut(b.remove("", target), "result =")
	const rounds = 40
	out := b.python(session + `
import json
def run(text):
    given = dict(api=api, session=session, print=lambda output: None)
    exec('result =' + text, given)
    return json.loads(given['result'].Output)['driverResponse']['actionResults'][0]
made = set()
for k in range(` + strconv.Itoa(rounds) + `):
    created = run(` + strconv.Quote(create) + `)
    assert created['success'] and created['sessionId'] not in made, (k, created)
    made.add(created['sessionId'])
    removed = run(` + strconv.Quote(remove) + `)
    assert removed['infoMessage'] == 'Found sessions: %s.' % created['sessionId'], (k, created, removed)
print(len(made))
`)
	if out != strconv.Itoa(rounds) {
		t.Error(out)
	}
	if list := b.must("mirror", "list", "--output", "json"); strings.Contains(list, "tms-") {
		t.Errorf("left after the last removal: %s", list)
	}
}

type driverResult struct {
	ActionID  string `json:"actionId"`
	Success   bool   `json:"success"`
	Error     string `json:"errorMessage"`
	SessionID string `json:"sessionId"`
}

func articleResult(t *testing.T, out, action string) driverResult {
	t.Helper()
	var all struct {
		DriverResponse struct {
			ActionResults []driverResult `json:"actionResults"`
		} `json:"driverResponse"`
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all.DriverResponse.ActionResults) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	r := all.DriverResponse.ActionResults[0]
	if r.ActionID != action {
		t.Errorf("result of %s", r.ActionID)
	}
	return r
}

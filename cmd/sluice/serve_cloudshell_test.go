package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sluice/internal/testnet"
	"sluice/receive"
)

// The scripts of CloudShell's article on AWS Traffic Mirroring, with print as Python 3
// has it and the indentation of the loop. SESSION, SANDBOX, SOURCE, TARGET and the
// session are what a user fills in.
const (
	sessionScript = `
import cloudshell.api.cloudshell_api as api

session = api.CloudShellAPISession('127.0.0.1', 'admin', 'admin', 'Global', port=PORT)
`
	oneNICScript = sessionScript + `
reservation = session.GetReservationDetails('SANDBOX').ReservationDescription

resource_interface = next(next(p.Value for p in r.VmDetails.NetworkData[0].AdditionalData if p.Name=='nic') for r in reservation.Resources if 'APP' in r.Name)
print(resource_interface)
`
	allNICsScript = sessionScript + `
reservation = session.GetReservationDetails('SANDBOX').ReservationDescription

for resource in reservation.Resources:
    if resource.VmDetails and len(resource.VmDetails.NetworkData)>0:
        for network_data in resource.VmDetails.NetworkData:
            for additional_data in network_data.AdditionalData:
                if additional_data.Name=="nic":
                    nic = additional_data.Value
                    print(nic)
`
	createScript = sessionScript + `
result = session.ExecuteCommand(reservationId='SANDBOX',
                                targetName='AWS',
                                targetType='Resource',
                                commandName='CreateTrafficMirroring',
                                commandInputs=[api.InputNameValue(Name='request', Value='''
{
"driverRequest": {
"actions": [
{
"actionId": "41f206a1-a6c0-4603-90f7-6492cd0fb00d",
"type": "CreateTrafficMirroring",
"actionParams": {"type": "CreateTrafficMirroringParams",
"sourceNicId": "SOURCE",
"targetNicId": "TARGET",
"sessionNumber": "5",
"filterRules": [{"type": "TrafficFilterRule",
"direction": "ingress",
"protocol": "tcp",
"sourcePortRange": {"type": "PortRange", "fromPort": "50000", "toPort": "65535"},
"sourceCidr": "192.168.0.124/24"
}]
}
}
]
}
}
''')]
)
print(result.Output)
`
	removeScript = sessionScript + `
result = session.ExecuteCommand(reservationId='SANDBOX',
                                targetName='AWS',
                                targetType='Resource',
                                commandName='RemoveTrafficMirroring',
                                commandInputs=[api.InputNameValue(Name='request', Value='''
{
"driverRequest": {
"actions": [
{
"actionId": "514d18dc-cd6c-4725-ac60-9e281d0b8e27",
"type": "RemoveTrafficMirroring",
"sessionId": "MIRROR",
"targetNicId": "NIC"
}
]
}
}
''')]
)
print(result.Output)
`
	sandboxScript = sessionScript + `
import time
made = session.CreateImmediateTopologyReservation('tap lab', 'admin', 60, 'Lab').Reservation
deadline = time.time() + 20
while True:
    status = session.GetReservationStatus(made.Id).ReservationSlimStatus
    if status.Status == 'Started' and status.ProvisioningStatus in ('Ready', 'Not Run'):
        break
    assert time.time() < deadline, status.ProvisioningStatus
    time.sleep(0.1)
print(made.Id)
`
	endScript = sessionScript + `
import time
session.EndReservation('SANDBOX')
deadline = time.time() + 20
while session.GetReservationStatus('SANDBOX').ReservationSlimStatus.Status != 'Completed':
    assert time.time() < deadline
    time.sleep(0.1)
print('ended')
`
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
	cmd.Env = append(os.Environ(), "PYTHONPATH=../../test/clients", "PYTHONDONTWRITEBYTECODE=1")
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
	source, target := b.python(oneNICScript, "APP", "client"), b.python(oneNICScript, "APP", "sensor")
	nics := strings.Fields(b.python(allNICsScript))
	if len(nics) != 3 || !strings.HasPrefix(source, "eni-") || nics[0] != source || nics[2] != target {
		t.Fatalf("source %s, target %s, all %v", source, target, nics)
	}

	for round, byTarget := range []bool{false, true} {
		out := b.python(createScript, "SOURCE", source, "TARGET", target)
		session := articleResult(t, out, "41f206a1-a6c0-4603-90f7-6492cd0fb00d").SessionID
		want := fmt.Sprintf(`{"driverResponse": {"actionResults": [{"type": "CreateTrafficMirroring", "actionId": "41f206a1-a6c0-4603-90f7-6492cd0fb00d", "success": true, "infoMessage": "Success", "errorMessage": "", "sessionId": "%s"}]}}`, session)
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
			out = b.python(removeScript, "MIRROR", "", "NIC", target)
		} else {
			out = b.python(removeScript, "MIRROR", session, "NIC", "")
		}
		want = fmt.Sprintf(`{"driverResponse": {"actionResults": [{"type": "RemoveTrafficMirroring", "actionId": "514d18dc-cd6c-4725-ac60-9e281d0b8e27", "success": true, "infoMessage": "Found sessions: %s.", "errorMessage": ""}]}}`, session)
		if out != want {
			t.Errorf("got  %s\nwant %s", out, want)
		}
		b.mirrored(false, base+500)
	}
	if out := b.python(removeScript, "MIRROR", "", "NIC", target); articleResult(t, out, "514d18dc-cd6c-4725-ac60-9e281d0b8e27").Error != "Failed to remove traffic mirroring: No sessions found to remove!" {
		t.Errorf("removed again: %s", out)
	}

	// What is left when the sandbox ends goes with it.
	b.python(createScript, "SOURCE", source, "TARGET", target)
	b.python(endScript)
	if list := b.must("mirror", "list", "--output", "json"); strings.Contains(list, "tms-") {
		t.Errorf("left after the end: %s", list)
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

const everythingScript = sessionScript + `
def refused(code, part, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except api.CloudShellAPIError as e:
        assert e.code == code and part in e.message, str(e)
    else:
        raise AssertionError('not refused: ' + part)

refused('118', 'incorrect', api.CloudShellAPISession, '127.0.0.1', 'admin', 'wrong', 'Global', port=PORT)
again = api.CloudShellAPISession('127.0.0.1', token_id=session.token_id, port=PORT)
assert again.token_id != session.token_id

box = session.CreateImmediateReservation('empty', 'admin', 60).Reservation.Id
details = session.GetReservationDetails(box).ReservationDescription
assert details.Name == 'empty' and details.Resources == [] and details.Status == 'Started', vars(details)
assert 59 < session.GetReservationRemainingTime(box).RemainingTimeInMinutes <= 60
session._call('ExtendReservation', reservationId=box, minutesToAdd=30)
assert 89 < session.GetReservationRemainingTime(box.upper()).RemainingTimeInMinutes <= 90

clients = ['NETWORKclient', 'NETWORKsensor']
session._call('AddResourcesToReservation', reservationId=box, resourcesFullPath=clients, shared=True)
details = session.GetReservationDetails(box).ReservationDescription
assert [r.Name for r in details.Resources] == clients, [r.Name for r in details.Resources]
subnets = [a.Value for s in details.Services for a in s.Attributes if a.Name == 'Subnet Id']
sensor = details.Resources[1]
assert sensor.VmDetails.NetworkData[0].NetworkId in subnets
assert session._call('GetResourceDetails', resourceFullPath=clients[0], showAllDomains=False)
assert [c.Name for c in session.GetResourceCommands('AWS').Commands] == ['CreateTrafficMirroring', 'RemoveTrafficMirroring']

def groups(*rule):
    config = api.SecurityGroupsConfiguration(sensor.VmDetails.NetworkData[0].NetworkId, [api.SecurityGroupRule(*rule)])
    return session.SetAppSecurityGroups(box, [api.SecurityGroup(sensor.Name, [config])]).ResultItems
results = groups('4789', '4789', 'udp', '10.77.1.0/24')
assert len(results) == 1 and results[0].Success and results[0].AppName == sensor.Name, vars(results[0])
refused('100', 'must be strings', groups, 4789, 4789, 'udp', '10.77.1.0/24')

def pool(kind, extra):
    return session.CheckoutFromPool('{"isolation": "Exclusive", "reservationId": "%s", "poolId": "p", "ownerId": "o", "type": "%s", %s}' % (box, kind, extra)).Items
assert pool('NextAvailableNumericFromRange', '"requestedRange": {"Start": 1, "End": 2}') == ['1']
assert pool('SpecificNumeric', '"requestedItem": {"Value": "2"}') == ['2']
refused('100', 'CheckoutFromPool', pool, 'NextAvailableNumericFromRange', '"requestedRange": {"Start": 1, "End": 2}')
session._call('ReleaseFromPool', values=['1'], poolId='p', reservationId=box, ownerId='o')
assert pool('NextAvailableNumericFromRange', '"requestedRange": {"start": 1, "end": 2}') == ['1']

session.SetSandboxData(box, [api.SandboxDataKeyValue('a', 'x\ny'), api.SandboxDataKeyValue('b', u'\u00e9 <&>')])
assert [(d.Key, d.Value) for d in session.GetSandboxData(box).SandboxDataKeyValues] == [('a', 'x\ny'), ('b', u'\u00e9 <&>')]
session._call('ClearSandboxData', reservationId=box)
assert session.GetSandboxData(box).SandboxDataKeyValues == []
session._call('WriteMessageToReservationOutput', reservationId=box, message='hello')
assert box in [r.Id for r in session.GetCurrentReservations('admin').Reservations]
session._call('RemoveResourcesFromReservation', reservationId=box, resourcesFullPath=clients)
assert session._call('GetServerDateAndTime')
refused('100', "Operation 'DeployAppToCloudProvider' is not supported", session._call, 'DeployAppToCloudProvider')
refused('102', 'nothing', session._call, 'GetResourceDetails', resourceFullPath='nothing')
refused('102', 'Nothing', session.CreateImmediateTopologyReservation, 'x', 'admin', 60, 'Nothing')
refused('100', 'not exists.', session.GetReservationDetails, '11111111-2222-3333-4444-555555555555')

session._call('TerminateReservation', reservationId=box)
assert session.GetReservationStatus(box).ReservationSlimStatus.Status == 'Completed'
refused('100', 'reservation has ended', session.ExecuteCommand, box, 'AWS', 'Resource', 'RemoveTrafficMirroring', [api.InputNameValue('request', '{}')])
session.Logoff()
refused('100', 'log on again', session.GetReservationStatus, box)
print('done')
`

// TestEveryOperationOverARealStore calls what the article's scripts don't.
func TestEveryOperationOverARealStore(t *testing.T) {
	b := articleBed{mirrorLab: startMirrorLab(t)}
	network := strings.TrimSuffix(b.Network.Client, "client")
	if out := b.python(everythingScript, "NETWORK", network); out != "done" {
		t.Error(out)
	}
	if _, text := httpGet(t, "http://"+b.Admin+"/metrics"); !strings.Contains(text, `sluice_api_requests_total{code="OK",operation="SetAppSecurityGroups",service="cloudshell"} 1`) {
		t.Error("the metrics lack CloudShell's requests")
	}
}

// TestSandboxesSurviveAKill: the server is killed, and its next process knows the
// sandbox, its session and its number.
func TestSandboxesSurviveAKill(t *testing.T) {
	config := testLab(t)
	server := startTestServer(t, config)
	b := articleBed{mirrorLab: mirrorLab{config, t}}
	b.sandbox = b.python(sandboxScript)
	source, target := b.python(oneNICScript, "APP", "client"), b.python(oneNICScript, "APP", "sensor")
	session := articleResult(t, b.python(createScript, "SOURCE", source, "TARGET", target), "41f206a1-a6c0-4603-90f7-6492cd0fb00d").SessionID
	server.Kill()

	server = startTestServer(t, config)
	defer server.stop(t)
	if again := b.python(oneNICScript, "APP", "client"); again != source {
		t.Errorf("the NIC was %s and is %s", source, again)
	}
	if list := b.must("mirror", "list"); !strings.Contains(list, session) {
		t.Errorf("the session is gone:\n%s", list)
	}
	taken := sessionScript + `
try:
    ` + strings.ReplaceAll(strings.TrimPrefix(createScript, sessionScript), "\nresult", "\n    result") + `
except api.CloudShellAPIError as e:
    print(e.code, e.message)
`
	taken = strings.Replace(taken, "\nprint(result.Output)\n", "\n    print(result.Output)\n", 1)
	if out := b.python(taken, "SOURCE", source, "TARGET", target); !strings.HasPrefix(out, "151 Was not able to find an available session number for "+source) {
		t.Errorf("the number is free: %s", out)
	}
	b.python(endScript)
	if list := b.must("mirror", "list", "--output", "json"); strings.Contains(list, "tms-") {
		t.Errorf("left after the end: %s", list)
	}
}

// TestCloudShellSpeaksTLSAndREST on ports of their own, with tokens in common.
func TestCloudShellSpeaksTLSAndREST(t *testing.T) {
	config := testLab(t)
	certificate, key := writeCertificate(t)
	text, err := os.ReadFile(config.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	ports, err := freeAddresses(1)
	if err != nil {
		t.Fatal(err)
	}
	with := strings.Replace(string(text), "\n  users:", fmt.Sprintf("\n  tls: {certificate: %s, key: %s}\n  webapi_listen: %s\n  users:", certificate, key, ports[0]), 1)
	if err := os.WriteFile(config.ConfigFile(), []byte(with), 0o644); err != nil {
		t.Fatal(err)
	}
	server := startTestServer(t, config)
	defer server.stop(t)
	if !strings.HasSuffix(server.ready, ", CloudShell https://"+config.CloudShell) {
		t.Errorf("ready line %q", server.ready)
	}
	b := articleBed{mirrorLab: mirrorLab{config, t}}
	t.Setenv("SSL_CERT_FILE", certificate)
	out := b.python(strings.Replace(sessionScript, "port=PORT", "port=PORT, cloudshell_api_scheme='https'", 1)+`
import json, urllib.request
def rest(method, path, body, **headers):
    request = urllib.request.Request('https://WEBAPI' + path, json.dumps(body).encode(), headers, method=method)
    return urllib.request.urlopen(request).read()
token = json.loads(rest('PUT', '/Api/Auth/Login', {'username': 'admin', 'password': 'admin', 'domain': 'Global'}))
made = session.CreateImmediateReservation('empty', 'admin', 60).Reservation.Id
for t in (token, session.token_id):
    answer = rest('POST', '/Api//RmApi/GetReservationStatus', {'reservationId': made}, Authorization='Bearer ' + t)
    assert session._read(answer).ReservationSlimStatus.Status == 'Started', answer
print('done')
`, "WEBAPI", ports[0])
	if out != "done" {
		t.Error(out)
	}
}

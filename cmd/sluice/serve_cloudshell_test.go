package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Scripts around those of the article. SANDBOX and PORT are filled in.
const (
	sessionScript = `
import cloudshell.api.cloudshell_api as api

session = api.CloudShellAPISession('127.0.0.1', 'admin', 'admin', 'Global', port=PORT)
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
session.ExtendReservation(box, 30)
assert 89 < session.GetReservationRemainingTime(box.upper()).RemainingTimeInMinutes <= 90

# Another sandbox has the same instances, which its blueprint shares.
lab = session.CreateImmediateTopologyReservation('lab', 'admin', 60, 'Lab').Reservation.Id
clients = ['NETWORKclient', 'NETWORKsensor']
refused('100', '', session.AddResourcesToReservation, box, clients)
assert session.AddResourcesToReservation(box, clients, shared=True).Conflicts == []
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
session.ReleaseFromPool(['1'], 'p', box, 'o')
assert pool('NextAvailableNumericFromRange', '"requestedRange": {"start": 1, "end": 2}') == ['1']

session.SetSandboxData(box, [api.SandboxDataKeyValue('a', 'x\ny'), api.SandboxDataKeyValue('b', u'\u00e9 <&>')])
assert [(d.Key, d.Value) for d in session.GetSandboxData(box).SandboxDataKeyValues] == [('a', 'x\ny'), ('b', u'\u00e9 <&>')]
session._call('ClearSandboxData', reservationId=box)
assert session.GetSandboxData(box).SandboxDataKeyValues == []
session.WriteMessageToReservationOutput(box, 'hello')
request = [api.InputNameValue('request', '{"driverRequest": {"actions": [{"actionId": "1", "type": "RemoveTrafficMirroring", "sessionId": "tms-1", "targetNicId": ""}]}}')]
assert session.EnqueueCommand(box, 'AWS', 'Resource', 'RemoveTrafficMirroring', request).Id
assert box in [r.Id for r in session.GetCurrentReservations('admin').Reservations]
session.RemoveResourcesFromReservation(box, clients)
assert session._call('GetServerDateAndTime')
refused('100', "Operation 'DeployAppToCloudProvider' is not supported", session._call, 'DeployAppToCloudProvider')
refused('102', 'nothing', session._call, 'GetResourceDetails', resourceFullPath='nothing')
refused('102', 'Nothing', session.CreateImmediateTopologyReservation, 'x', 'admin', 60, 'Nothing')
refused('100', 'not exists.', session.GetReservationDetails, '11111111-2222-3333-4444-555555555555')

session.TerminateReservation(lab)
session.TerminateReservation(box)
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
	source, target := b.python(b.oneNIC("client")), b.python(b.oneNIC("sensor"))
	session := articleResult(t, b.python(b.create(source, target)), articleCreation).SessionID
	server.Kill()

	server = startTestServer(t, config)
	defer server.stop(t)
	if again := b.python(b.oneNIC("client")); again != source {
		t.Errorf("the NIC was %s and is %s", source, again)
	}
	if list := b.must("mirror", "list"); !strings.Contains(list, session) {
		t.Errorf("the session is gone:\n%s", list)
	}
	taken := `
import cloudshell.api.cloudshell_api as api
try:
    exec(` + strconv.Quote(b.create(source, target)) + `)
except api.CloudShellAPIError as e:
    print(e.code, e.message)
`
	if out := b.python(taken); !strings.HasPrefix(out, "151 Was not able to find an available session number for "+source) {
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
	with := strings.Replace(string(text), "\n  users:", fmt.Sprintf("\n  tls: {certificate: %s, key: %s}\n  users:", certificate, key), 1)
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
`, "WEBAPI", config.WebAPI)
	if out != "done" {
		t.Error(out)
	}
}

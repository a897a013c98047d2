package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// maxAutomationAnswer bounds an answer of the Automation API, bytes.
const maxAutomationAnswer = 1 << 20

// automation is a session of the Automation API for tests to which Python's start is
// too long.
type automation struct {
	mirrorLab
	token string
}

// automationAnswer is what the tests need of the answers.
type automationAnswer struct {
	Success bool   `xml:"Success,attr"`
	Message string `xml:"Error"`
	Info    struct {
		Token struct {
			Token string `xml:"Token,attr"`
		}
		Reservation struct {
			ID string `xml:"Id,attr"`
		}
		ReservationSlimStatus struct {
			Status string `xml:"Status,attr"`
		}
		Output string
	} `xml:"ResponseInfo"`
}

// logon begins a session.
func (l mirrorLab) logon() automation {
	l.t.Helper()
	a := automation{mirrorLab: l}
	a.token = a.ask("Logon", "<username>admin</username><password>"+labPassword+"</password><domainName>Global</domainName>").Info.Token.Token
	return a
}

// send makes one request. The error is that of the transport; refusals are in the answer.
func (a automation) send(ctx context.Context, operation, members string) (answer automationAnswer, _ error) {
	body := "<" + operation + ">" + members + "</" + operation + ">"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+a.CloudShell+"/ResourceManagerApiService/"+operation, strings.NewReader(body))
	if err != nil {
		return answer, err
	}
	req.Header.Set("Content-Type", "text/xml")
	req.Header.Set("Authorization", "MachineName=test:8029;Token="+a.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAutomationAnswer))
	if err != nil {
		return answer, err
	}
	if err := xml.Unmarshal(text, &answer); err != nil {
		return answer, fmt.Errorf("read answer of %s: %w: %.500s", operation, err, text)
	}
	return answer, nil
}

// ask makes a request that has to succeed.
func (a automation) ask(operation, members string) automationAnswer {
	a.t.Helper()
	answer, err := a.send(a.t.Context(), operation, members)
	if err != nil || !answer.Success {
		a.t.Fatalf("%s: %v, %q", operation, err, answer.Message)
	}
	return answer
}

// begin makes a sandbox of the lab's blueprint.
func (a automation) begin(name string) (id string) {
	a.t.Helper()
	id = a.ask("CreateImmediateReservation", "<reservationName>"+name+"</reservationName><owner>admin</owner>"+
		"<durationInMinutes>60</durationInMinutes><topologyFullPath>Lab</topologyFullPath>").Info.Reservation.ID
	a.status(id, "Started")
	return id
}

// end ends a sandbox and waits until it has ended.
func (a automation) end(id string) {
	a.t.Helper()
	a.ask("EndReservation", "<reservationId>"+id+"</reservationId><unmap>false</unmap>")
	a.status(id, "Completed")
}

func (a automation) status(id, want string) {
	a.t.Helper()
	await(a.t, "sandbox "+id+" to be "+want, func() bool {
		return a.ask("GetReservationStatus", "<reservationId>"+id+"</reservationId>").Info.ReservationSlimStatus.Status == want
	})
}

// creation is a request for a session over the UDP datagrams to some ports that leave
// the source.
func creation(id, source, target string, number, from, to int) (members string) {
	request, err := json.Marshal(map[string]any{"driverRequest": map[string]any{"actions": []any{map[string]any{
		"actionId": articleCreation, "type": "CreateTrafficMirroring", "actionParams": map[string]any{
			"type": "CreateTrafficMirroringParams", "sourceNicId": source, "targetNicId": target, "sessionNumber": strconv.Itoa(number),
			"filterRules": []any{map[string]any{"type": "TrafficFilterRule", "direction": "egress", "protocol": "udp",
				"destinationPortRange": map[string]any{"type": "PortRange", "fromPort": strconv.Itoa(from), "toPort": strconv.Itoa(to)}}},
		}}}}})
	if err != nil {
		panic(err) // of strings and maps
	}
	return "<reservationId>" + id + "</reservationId><targetName>AWS</targetName><targetType>Resource</targetType>" +
		"<commandName>CreateTrafficMirroring</commandName><commandInputs><InputNameValue><Name>request</Name><Value>" + string(request) +
		"</Value></InputNameValue></commandInputs><printOutput>false</printOutput>"
}

// nic is the id of a device of the lab.
func (l mirrorLab) nic(netns, device string) string {
	l.t.Helper()
	all, err := describeInterfaces(l.t.Context(), ec2{mustConfig(l.t, l.labConfig)})
	if err != nil {
		l.t.Fatal(err)
	}
	at := slices.IndexFunc(all, func(n networkInterface) bool { return n.name() == netns+"/"+device })
	if at < 0 {
		l.t.Fatalf("no interface %s/%s", netns, device)
	}
	return all[at].ID
}

// await waits until something holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

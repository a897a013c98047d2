package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"
)

// fakeEC2 answers with what the function makes of a form.
func fakeEC2(t *testing.T, answer func(url.Values) (status int, body string)) ec2 {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		form, parseErr := url.ParseQuery(string(body))
		if err != nil || parseErr != nil || form.Get("Version") != ec2Version || !strings.Contains(r.Header.Get("Authorization"), "/ec2/aws4_request") {
			t.Errorf("got %q, %v, %v", body, err, parseErr)
		}
		status, text := answer(form)
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}))
	t.Cleanup(server.Close)
	return ec2{aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), HTTPClient: http.DefaultClient,
		Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", "")}}
}

func TestEveryPageOfADescribeIsRead(t *testing.T) {
	asked := []string{}
	e := fakeEC2(t, func(form url.Values) (int, string) {
		asked = append(asked, form.Get("NextToken")+form.Get("Filter.1.Name")+form.Get("Filter.1.Value.1"))
		next := map[string]string{"": "one", "one": "two"}[form.Get("NextToken")]
		if next != "" {
			next = "<nextToken>" + next + "</nextToken>"
		}
		return 200, fmt.Sprintf("<X><trafficMirrorSessionSet><item><trafficMirrorSessionId>tms-%d</trafficMirrorSessionId></item></trafficMirrorSessionSet>%s</X>", len(asked), next)
	})
	sessions, err := describeSessions(t.Context(), e, ec2Filter(url.Values{}, "network-interface-id", "eni-1"))
	if err != nil || len(sessions) != 3 || sessions[2].ID != "tms-3" || sessions[2].Tags == nil {
		t.Errorf("got %+v, %v", sessions, err)
	}
	if diff := cmp.Diff([]string{"network-interface-ideni-1", "onenetwork-interface-ideni-1", "twonetwork-interface-ideni-1"}, asked); diff != "" {
		t.Error(diff)
	}
}

func TestANumberThatSomebodyTakesMeanwhileIsNotTheEnd(t *testing.T) {
	taken := 0
	e := fakeEC2(t, func(form url.Values) (int, string) {
		if form.Get("Action") == "DescribeTrafficMirrorSessions" {
			items := ""
			for n := 1; n <= taken; n++ {
				items += fmt.Sprintf("<item><sessionNumber>%d</sessionNumber></item>", n)
			}
			return 200, "<X><trafficMirrorSessionSet>" + items + "</trafficMirrorSessionSet></X>"
		}
		if form.Get("SessionNumber") == "3" {
			return 200, "<X><trafficMirrorSession><trafficMirrorSessionId>tms-1</trafficMirrorSessionId></trafficMirrorSession></X>"
		}
		taken++
		return 400, "<Response><Errors><Error><Code>InvalidParameterValue</Code><Message>Session number 1 is already being used on eni-1</Message></Error></Errors></Response>"
	})
	id, err := makeSession(t.Context(), e, mirrorPlan{vni: -1}, "eni-1", "tmt-1", "tmf-1")
	if id != "tms-1" || err != nil {
		t.Errorf("got %q, %v", id, err)
	}
	taken = 0
	_, err = makeSession(t.Context(), e, mirrorPlan{vni: -1, number: 1}, "eni-1", "tmt-1", "tmf-1")
	if !isCode(err, "InvalidParameterValue") || taken != 1 {
		t.Errorf("a number that was asked for: %v after %d tries", err, taken)
	}
}

func TestAnAnswerThatIsNoneOfTheAPIIsNamedSo(t *testing.T) {
	e := fakeEC2(t, func(url.Values) (int, string) { return 502, "Bad Gateway" })
	if err := e.call(context.Background(), "DescribeSubnets", nil, nil); err == nil || err.Error() != "DescribeSubnets: HTTP 502 without an error of the API" {
		t.Errorf("got %v", err)
	}
}

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const subnetAnswerText = `<?xml version="1.0" encoding="UTF-8"?>
<DescribeSubnetsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>x</requestId><subnetSet>
<item><subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId><cidrBlock>10.77.1.0/24</cidrBlock><availabilityZone>eu-west-1a</availabilityZone><tagSet><item><key>Name</key><value>client</value></item></tagSet></item>
<item><subnetId>subnet-2</subnetId><vpcId>vpc-1</vpcId><cidrBlock>10.77.2.0/24</cidrBlock><availabilityZone>eu-west-1a</availabilityZone><tagSet/></item>
<item><subnetId>subnet-3</subnetId><vpcId>vpc-1</vpcId><cidrBlock>10.77.3.0/24</cidrBlock><availabilityZone>eu-west-1b</availabilityZone></item>
</subnetSet></DescribeSubnetsResponse>`

func TestSubnetsAreChosenByNameIdOrZone(t *testing.T) {
	var answer subnetAnswer
	if err := decodeEC2(200, []byte(subnetAnswerText), &answer); err != nil {
		t.Fatal(err)
	}
	all := answer.Subnets
	for _, c := range []struct {
		named      []string
		zone       string
		want       []string
		wantFailed string
	}{
		{named: []string{"client"}, want: []string{"subnet-1"}},
		{named: []string{"subnet-2", "subnet-3"}, want: []string{"subnet-2", "subnet-3"}},
		{zone: "eu-west-1b", want: []string{"subnet-3"}},
		{wantFailed: "say which with --subnet"},
		{named: []string{"client", "subnet-2"}, wantFailed: "one subnet in each zone"},
		{named: []string{"client"}, zone: "eu-west-1b", wantFailed: `no subnet "client"`},
		{zone: "eu-west-1z", wantFailed: "zone eu-west-1z has no subnet"},
	} {
		chosen, err := chooseSubnets(all, c.named, c.zone)
		if c.wantFailed != "" {
			if err == nil || !strings.Contains(err.Error(), c.wantFailed) {
				t.Errorf("%v %q: error %v, want %q", c.named, c.zone, err, c.wantFailed)
			}
			continue
		}
		var got []string
		for _, s := range chosen {
			got = append(got, s.ID)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%v %q: %v %s", c.named, c.zone, err, diff)
		}
	}
}

func TestAnErrorOfEC2IsShownAsCodeAndMessage(t *testing.T) {
	err := decodeEC2(401, []byte(`<Response><Errors><Error><Code>AuthFailure</Code><Message>AWS was not able to validate the provided access credentials</Message></Error></Errors></Response>`), &subnetAnswer{})
	if err == nil || describeError(err) != "AuthFailure: AWS was not able to validate the provided access credentials" {
		t.Errorf("got %v", err)
	}
}

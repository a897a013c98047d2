package sluice

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

func TestResourceTypesAreToldByTheirIDs(t *testing.T) {
	for id, want := range map[string]string{
		"tmf-1": ResourceMirrorFilter, "tmfr-1": ResourceMirrorFilterRule, "tms-1": ResourceMirrorSession, "tmt-1": ResourceMirrorTarget,
		"sg-1": ResourceSecurityGroup, "sgr-1": ResourceSecurityGroupRule, "eni-1": ResourceNetworkInterface, "i-1": ResourceInstance,
		"subnet-1": ResourceSubnet, "vpc-1": ResourceVpc, "": "", "foo": "", "tms-": "", "tms": "", "vpce-1": "", "TMS-1": "",
	} {
		if got := EC2ResourceType(id); got != want {
			t.Errorf("%q is %q, want %q", id, got, want)
		}
		if code := NoSuchResource(EC2ResourceType(id), id).Code; (code == "InvalidID") != (want == "") {
			t.Errorf("%q is missing as %s", id, code)
		}
	}
	if text := NoSuchResource("", strings.Repeat("é", 10_000)).Message; len(text) > 400 {
		t.Errorf("a message of %d bytes", len(text))
	}
}

func TestLoadBalancerARNsAreStable(t *testing.T) {
	s := Scope{"eu-west-1", "000000000000"}
	one, again, other := s.LoadBalancerARN("sensors"), s.LoadBalancerARN("sensors"), s.LoadBalancerARN("other")
	pattern := regexp.MustCompile(`^arn:aws:elasticloadbalancing:eu-west-1:000000000000:loadbalancer/net/sensors/[0-9a-f]{16}$`)
	if !pattern.MatchString(one) || one != again || one[len(one)-16:] == other[len(other)-16:] {
		t.Errorf("%s, %s, %s", one, again, other)
	}
}

func TestPrimaryAddressesReachBeyondTheLink(t *testing.T) {
	n := Interface{}
	for _, s := range []string{"169.254.1.1/16", "fe80::1/64", "::ffff:10.0.0.1/120", "10.0.0.2/24", "fd00::2/64", "fd00::3/64"} {
		n.Addresses = append(n.Addresses, netip.MustParsePrefix(s))
	}
	if v4, v6 := n.Primary(); v4.String() != "10.0.0.1" || v6.String() != "fd00::2" {
		t.Errorf("primary addresses are %s and %s", v4, v6)
	}
	if v4, v6 := (Interface{Addresses: n.Addresses[:2]}).Primary(); v4.IsValid() || v6.IsValid() {
		t.Errorf("primary addresses are %s and %s", v4, v6)
	}
}

package sluice

import (
	"regexp"
	"testing"
)

func TestIDsHaveTheFormOfTheirAWSKind(t *testing.T) {
	id := regexp.MustCompile(`^eni-[0-9a-f]{17}$`)
	for _, s := range []string{NewID("eni"), DeriveID("eni", "host", "ns", "mac")} {
		if !id.MatchString(s) {
			t.Errorf("%q is no long id", s)
		}
	}
	if u := NewUUID(); !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(u) {
		t.Errorf("%q is no version 4 UUID", u)
	}
	if first, second := NewID("eni"), NewID("eni"); first == second {
		t.Error("two new ids are the same")
	}
}

func TestDerivedIDsDependOnEachPart(t *testing.T) {
	base := DeriveID("eni", "a", "bc")
	if base != DeriveID("eni", "a", "bc") {
		t.Error("the same parts gave two ids")
	}
	if base == DeriveID("eni", "ab", "c") {
		t.Error("parts run into each other")
	}
}

func TestParseARN(t *testing.T) {
	in := Scope{"eu-west-1", "000000000000"}.FirewallARN(ResourceFirewall, "edge")
	if in != "arn:aws:network-firewall:eu-west-1:000000000000:firewall/edge" {
		t.Errorf("got %s", in)
	}
	a, err := ParseARN(in)
	if err != nil || a.String() != in || a.Type != ResourceFirewall || a.Name != "edge" {
		t.Errorf("parsed %+v, %v", a, err)
	}
	for _, bad := range []string{"", "arn:aws", "arn:aws:s3:::bucket", "arn:gcp:x:y:z:firewall/a", "arn:aws:network-firewall:r:a:firewall/"} {
		if _, err := ParseARN(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

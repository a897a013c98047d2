package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice"
)

func TestMatchesBecomeRulesForBothDirections(t *testing.T) {
	for _, c := range []struct {
		name    string
		matches []string
		want    []string
	}{
		{"everything", nil, []string{
			"ingress 10: accept any protocol, 0.0.0.0/0 → 0.0.0.0/0", "egress 20: accept any protocol, 0.0.0.0/0 → 0.0.0.0/0",
			"ingress 30: accept any protocol, ::/0 → ::/0", "egress 40: accept any protocol, ::/0 → ::/0"}},
		{"the answers are in", []string{"protocol=tcp,destination-port=443,source=10.0.0.0/8"}, []string{
			"ingress 10: accept tcp, 10.0.0.0/8 → 0.0.0.0/0 port 443", "ingress 20: accept tcp, 0.0.0.0/0 port 443 → 10.0.0.0/8",
			"egress 30: accept tcp, 10.0.0.0/8 → 0.0.0.0/0 port 443", "egress 40: accept tcp, 0.0.0.0/0 port 443 → 10.0.0.0/8"}},
		{"one direction has no answers", []string{"direction=egress,destination=fd00::1", "protocol=udp,source=10.1.2.3,destination=10.0.0.9/8,destination-port=8000:8080,direction=ingress"}, []string{
			"egress 10: accept any protocol, ::/0 → fd00::1/128", "ingress 20: accept udp, 10.1.2.3/32 → 10.0.0.0/8 ports 8000:8080"}},
	} {
		rules, err := matchRules(c.matches)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, r := range rules {
			got = append(got, r.String())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestMatchesThatCannotBeMeantAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"destination-port=443":              "ports need protocol=tcp or protocol=udp",
		"protocol=icmp,source-port=1":       "ports need protocol=tcp or protocol=udp",
		"direction=both":                    "want ingress or egress",
		"direction=egress,direction=egress": "there twice",
		"source=10.0.0.0/8,destination=::1": "different address families",
		"source=x":                          "want an IP address",
		"colour=red":                        "no member of a filter",
	} {
		if _, err := matchRules([]string{text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestAProbeIsWhatItsRuleAccepts(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("10.77.1.1"), netip.MustParseAddr("fd77:1::1")}
	rules, err := matchRules([]string{"source=10.77.1.0/24,protocol=tcp,destination-port=8000:8080", "destination=172.16.0.0/12,protocol=udp", "protocol=58", "source=::/0,protocol=17,destination-port=53", "protocol=99"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		p, ok := r.probeFor(own)
		if !ok || !r.matches(p) {
			t.Errorf("%s: probe %s does not match", r, p)
		}
	}
	everything, _ := matchRules(nil)
	if p, _ := everything[1].probeFor(own); p.String() != "udp 10.77.1.1:9 → 192.0.2.1:9" {
		t.Errorf("probe %s", p)
	}
}

func TestAnEarlierSessionTakesThePacket(t *testing.T) {
	udp, tcp := 17, 6
	all := mirrorRule{Action: sluice.MirrorAccept, SourceCIDR: "0.0.0.0/0", DestinationCIDR: "0.0.0.0/0"}
	onlyUDP, notTCP := all, all
	onlyUDP.Protocol = &udp
	notTCP.Protocol, notTCP.Action = &tcp, sluice.MirrorReject
	filters := map[string]mirrorFilter{"udp": {Egress: []mirrorRule{onlyUDP}}, "all but tcp": {Egress: []mirrorRule{notTCP, all}}, "all": {Egress: []mirrorRule{all}}}
	sessions := []mirrorSession{{FilterID: "udp"}, {FilterID: "all but tcp"}, {FilterID: "all"}}
	p := probe{source: netip.MustParseAddr("10.0.0.1"), destination: netip.MustParseAddr("10.0.0.2")}
	for protocol, want := range map[uint8]int{17: 0, 1: 1, 6: 2} {
		p.protocol = protocol
		if got := firstSession(sessions, filters, p); got != want {
			t.Errorf("protocol %d goes to session %d, want %d", protocol, got, want)
		}
	}
	p.source = netip.MustParseAddr("fd00::1")
	if got := firstSession(sessions, filters, p); got != -1 {
		t.Errorf("an IPv6 packet goes to session %d", got)
	}
}

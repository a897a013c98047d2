package sluice

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompileFlowFiltersRefusesWithMemberValueAndPath(t *testing.T) {
	any := "0.0.0.0/0"
	many := make([]FlowFilter, 21)
	for i := range many {
		many[i].SourceAddress = any
	}
	for _, c := range []struct {
		name    string
		filters []FlowFilter
		want    string
	}{
		{"none", nil, "FlowFilters cannot be null or empty, context: FlowFilters"},
		{"twenty-one", many, "FlowFilters limit exceeded, parameter: [21], context: FlowFilters"},
		{"no address", []FlowFilter{{SourcePort: "80"}},
			"SourceAddress, DestinationAddress cannot be null or empty, context: FlowFilters[0]"},
		{"bits beyond the family", []FlowFilter{{SourceAddress: any}, {SourceAddress: "10.0.0.0/33"}},
			"AddressDefinition has invalid format, parameter: [10.0.0.0/33], context: FlowFilters[1].SourceAddress.AddressDefinition"},
		{"half an address", []FlowFilter{{DestinationAddress: "1.2/999"}},
			"AddressDefinition has invalid format, parameter: [1.2/999], context: FlowFilters[0].DestinationAddress.AddressDefinition"},
		{"two families", []FlowFilter{{SourceAddress: any, DestinationAddress: "::/0"}},
			"SourceAddress, DestinationAddress cannot exist together, parameter: [0.0.0.0/0, ::/0], context: FlowFilters[0]"},
		{"reversed range", []FlowFilter{{SourceAddress: any, SourcePort: "1994:1990"}},
			"SourcePort is not within the bound, parameter: [1994:1990], context: FlowFilters[0].SourcePort"},
		{"port too large", []FlowFilter{{SourceAddress: any, DestinationPort: "70000"}},
			"DestinationPort is not within the bound, parameter: [70000], context: FlowFilters[0].DestinationPort"},
		{"port beyond any integer", []FlowFilter{{SourceAddress: any, DestinationPort: strings.Repeat("9", 40)}},
			"DestinationPort is not within the bound, parameter: [" + strings.Repeat("9", 40) + "], context: FlowFilters[0].DestinationPort"},
		{"port list", []FlowFilter{{SourceAddress: any, SourcePort: "80,443"}},
			"SourcePort has invalid format, parameter: [80,443], context: FlowFilters[0].SourcePort"},
		{"signed port", []FlowFilter{{SourceAddress: any, SourcePort: "+80"}},
			"SourcePort has invalid format, parameter: [+80], context: FlowFilters[0].SourcePort"},
		{"port of a protocol without ports", []FlowFilter{{SourceAddress: any, SourcePort: "80", Protocols: []string{"1"}}},
			"SourcePort, Protocols cannot exist together, parameter: [80, 1], context: FlowFilters[0].SourcePort"},
		{"protocol by name", []FlowFilter{{SourceAddress: any, Protocols: []string{"6", "tcp"}}},
			"Protocols has invalid format, parameter: [tcp], context: FlowFilters[0].Protocols[1]"},
		{"protocol too large", []FlowFilter{{SourceAddress: any, Protocols: []string{"256"}}},
			"Protocols has invalid format, parameter: [256], context: FlowFilters[0].Protocols[0]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := CompileFlowFilters(c.filters)
			if err == nil {
				t.Fatal("accepted")
			}
			if KindOf(err) != KindInvalidRequest || err.Error() != c.want {
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
		})
	}
}

func TestCompileFlowFilterReadsEveryForm(t *testing.T) {
	m, err := CompileFlowFilters([]FlowFilter{
		{SourceAddress: "::ffff:10.1.2.3", DestinationAddress: "192.0.2.77/24", SourcePort: "1990:1994", DestinationPort: "any"},
		{SourceAddress: "2001:db8::1", Protocols: []string{"6", "132", "255"}, DestinationPort: "443"},
		{DestinationAddress: "::ffff:10.0.0.0/104", SourcePort: "0:65535", Protocols: []string{"47"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	all := PortRange{0, 65535}
	want := []FlowMatch{
		{netip.MustParsePrefix("10.1.2.3/32"), netip.MustParsePrefix("192.0.2.0/24"), PortRange{1990, 1994}, all, true, [4]uint64{}},
		{netip.MustParsePrefix("2001:db8::1/128"), netip.Prefix{}, all, PortRange{443, 443}, false, [4]uint64{1 << 6, 0, 1 << 4, 1 << 63}},
		{netip.Prefix{}, netip.MustParsePrefix("10.0.0.0/8"), all, all, false, [4]uint64{1 << 47}},
	}
	if d := cmp.Diff(want, m, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Error(d)
	}
	if !m[1].HasProtocol(132) || m[1].HasProtocol(17) || !m[0].HasProtocol(17) {
		t.Error("HasProtocol disagrees with the list")
	}
}

func FuzzCompileFlowFilters(f *testing.F) {
	f.Add("10.0.0.0/8", "::1", "1:2", "ANY", "6")
	f.Add("::ffff:1.2.3.4/120", "", "99999999999999999999", ":", "-0")
	f.Fuzz(func(t *testing.T, src, dst, sport, dport, proto string) {
		m, err := CompileFlowFilters([]FlowFilter{{src, dst, sport, dport, []string{proto}}})
		if err != nil {
			if KindOf(err) != KindInvalidRequest {
				t.Fatalf("an error of kind %d: %v", KindOf(err), err)
			}
			return
		}
		for _, p := range []netip.Prefix{m[0].Source, m[0].Destination} {
			if p.IsValid() && (p != p.Masked() || p.Addr().Is4In6()) {
				t.Fatalf("%v is not in its one form", p)
			}
		}
		if m[0].SourcePort.From > m[0].SourcePort.To || m[0].DestinationPort.From > m[0].DestinationPort.To {
			t.Fatal("a port range runs backwards")
		}
	})
}

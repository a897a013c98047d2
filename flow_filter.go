package sluice

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// MaxFlowFilters is the most filters that one flow operation takes (AWS:
// StartFlowCapture, FlowFilters).
const MaxFlowFilters = 20

// AddressPattern is the pattern of AddressDefinition in the Network Firewall
// model. It lets nonsense such as 1.2/999 through, which ParseAddress refuses.
const AddressPattern = `^([a-fA-F\d:\.]+($|/\d{1,3}))$`

var addressPattern = regexp.MustCompile(AddressPattern)

// MatchesAddressPattern tells whether s has the shape of an AddressDefinition.
func MatchesAddressPattern(s string) bool { return addressPattern.MatchString(s) }

// FlowFilter selects flows. All members that are set must match; an empty member
// matches everything. Source is the side that sent the flow's first packet. The
// strings are kept as the caller wrote them, since describe echoes them.
type FlowFilter struct {
	SourceAddress      string   `json:",omitempty"` // IP or CIDR; "" is any
	DestinationAddress string   `json:",omitempty"`
	SourcePort         string   `json:",omitempty"` // "1994", "1990:1994", "ANY" in any case; "" is any
	DestinationPort    string   `json:",omitempty"`
	Protocols          []string `json:",omitempty"` // IANA numbers; empty is any
}

// PortRange is an inclusive range of ports.
type PortRange struct{ From, To uint16 }

// All tells whether the range holds every port, so that it also matches flows
// that have none.
func (r PortRange) All() bool { return r.From == 0 && r.To == 65535 }

// FlowMatch is a FlowFilter made ready to be compared with flows: addresses
// masked, IPv4-mapped ones unmapped, ports as numbers, protocols as a set.
type FlowMatch struct {
	Source          netip.Prefix // the zero Prefix is any
	Destination     netip.Prefix
	SourcePort      PortRange
	DestinationPort PortRange
	AnyProtocol     bool
	Protocols       [4]uint64 // bit n%64 of word n/64 is protocol n
}

// HasProtocol tells whether the match admits an IANA protocol number.
func (m *FlowMatch) HasProtocol(p uint8) bool {
	return m.AnyProtocol || m.Protocols[p>>6]&(1<<(p&63)) != 0
}

// FlowSelection is the question of a flow operation: any of Matches, and an age
// of at least MinimumAge.
type FlowSelection struct {
	Matches    []FlowMatch
	MinimumAge time.Duration
}

// ParseAddress reads an IP or a CIDR. Host bits are masked away, and an
// IPv4-mapped IPv6 address becomes IPv4.
func ParseAddress(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("parse address %q: not an IP address", s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("parse address %q: not a CIDR block", s)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// ParsePortRange reads a port, a range from:to, or ANY. bounds is true when the
// text is well formed but a number is out of its bounds.
func ParsePortRange(s string) (r PortRange, bounds bool, err error) {
	if s == "" || strings.EqualFold(s, "ANY") {
		return PortRange{0, 65535}, false, nil
	}
	from, to, isRange := strings.Cut(s, ":")
	if !isRange {
		to = from
	}
	f, ferr := parseDigits(from)
	t, terr := parseDigits(to)
	if ferr != nil || terr != nil {
		return PortRange{}, false, fmt.Errorf("parse port %q: want a number, from:to or ANY", s)
	}
	if f > 65535 || t > 65535 || f > t {
		return PortRange{}, true, fmt.Errorf("parse port %q: want 0 <= from <= to <= 65535", s)
	}
	return PortRange{uint16(f), uint16(t)}, false, nil
}

// parseDigits reads a decimal number of digits alone: no sign, no space. A number
// too large for the machine comes back as a large one, out of any bounds.
func parseDigits(s string) (uint64, error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, fmt.Errorf("parse number %q: not digits", s)
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 1 << 32, nil
	}
	return n, nil
}

// CompileFlowFilters checks filters and makes them ready to match. Errors are in
// the grammar of Network Firewall and name the member, the value and the path.
func CompileFlowFilters(filters []FlowFilter) ([]FlowMatch, error) {
	if len(filters) == 0 {
		return nil, InvalidParameter("FlowFilters", "cannot be null or empty", "", "FlowFilters")
	}
	if len(filters) > MaxFlowFilters {
		return nil, InvalidParameter("FlowFilters", "limit exceeded", strconv.Itoa(len(filters)), "FlowFilters")
	}
	matches := make([]FlowMatch, len(filters))
	for i, f := range filters {
		if err := compileFlowFilter(f, fmt.Sprintf("FlowFilters[%d]", i), &matches[i]); err != nil {
			return nil, err
		}
	}
	return matches, nil
}

func compileFlowFilter(f FlowFilter, path string, m *FlowMatch) error {
	if f.SourceAddress == "" && f.DestinationAddress == "" {
		return InvalidParameter("SourceAddress, DestinationAddress", "cannot be null or empty", "", path)
	}
	var err error
	if m.Source, err = compileAddress(f.SourceAddress, path+".SourceAddress"); err != nil {
		return err
	}
	if m.Destination, err = compileAddress(f.DestinationAddress, path+".DestinationAddress"); err != nil {
		return err
	}
	if m.Source.IsValid() && m.Destination.IsValid() && m.Source.Addr().Is4() != m.Destination.Addr().Is4() {
		return InvalidParameter("SourceAddress, DestinationAddress", "cannot exist together",
			f.SourceAddress+", "+f.DestinationAddress, path)
	}
	if err := compileProtocols(f.Protocols, path, m); err != nil {
		return err
	}
	if m.SourcePort, err = compilePort("SourcePort", f.SourcePort, f.Protocols, path, m); err != nil {
		return err
	}
	m.DestinationPort, err = compilePort("DestinationPort", f.DestinationPort, f.Protocols, path, m)
	return err
}

func compileAddress(s, path string) (netip.Prefix, error) {
	if s == "" {
		return netip.Prefix{}, nil
	}
	p, err := ParseAddress(s)
	if err != nil {
		return p, InvalidParameter("AddressDefinition", "has invalid format", s, path+".AddressDefinition")
	}
	return p, nil
}

func compileProtocols(protocols []string, path string, m *FlowMatch) error {
	m.AnyProtocol = len(protocols) == 0
	for i, s := range protocols {
		n, err := parseDigits(s)
		if err != nil || n > 255 {
			return InvalidParameter("Protocols", "has invalid format", s, fmt.Sprintf("%s.Protocols[%d]", path, i))
		}
		m.Protocols[n>>6] |= 1 << (n & 63)
	}
	return nil
}

func compilePort(member, s string, protocols []string, path string, m *FlowMatch) (PortRange, error) {
	r, bounds, err := ParsePortRange(s)
	if bounds {
		return r, InvalidParameter(member, "is not within the bound", s, path+"."+member)
	}
	if err != nil {
		return r, InvalidParameter(member, "has invalid format", s, path+"."+member)
	}
	ported := m.HasProtocol(ProtocolTCP) || m.HasProtocol(ProtocolUDP) || m.HasProtocol(ProtocolSCTP)
	if !r.All() && !ported {
		return r, InvalidParameter(member+", Protocols", "cannot exist together",
			s+", "+strings.Join(protocols, ", "), path+"."+member)
	}
	return r, nil
}

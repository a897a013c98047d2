package main

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sluice"
)

// matchNotes explain --match, below the flags of mirror create.
const matchNotes = `A match describes traffic as seen from its sender; the answers are mirrored too,
unless a direction is given. Without --match and --filter everything is mirrored:
  --match protocol=tcp,destination-port=443 --match source=10.0.0.0/8,direction=ingress
A filter has at most 10 rules; a match without an address needs them for IPv4 and IPv6.
Source and target are an eni-id, NETNS/DEVICE, or DEVICE of the host itself.`

// allDirections are the directions of traffic at a source.
var allDirections = []string{sluice.TrafficIngress, sluice.TrafficEgress}

// mirrorMatch is one --match.
type mirrorMatch struct {
	filterFlags
	direction string // "" is both
}

// parseMatch reads key=value,key=value.
func parseMatch(text string) (mirrorMatch, error) {
	var m mirrorMatch
	var rest []string
	for part := range strings.SplitSeq(text, ",") {
		value, ok := strings.CutPrefix(part, "direction=")
		if !ok {
			rest = append(rest, part)
			continue
		}
		if !slices.Contains(allDirections, value) {
			return m, fmt.Errorf("direction %q: want ingress or egress", value)
		}
		if m.direction != "" {
			return m, fmt.Errorf("direction is there twice")
		}
		m.direction = value
	}
	if len(rest) == 0 {
		return m, nil
	}
	var err error
	m.filterFlags, err = parseFilter(strings.Join(rest, ","))
	return m, err
}

// rules makes the accept rules of a match, without numbers.
func (m mirrorMatch) rules() ([]mirrorRule, error) {
	source, destination, err := m.blocks()
	if err != nil {
		return nil, err
	}
	sourcePorts, err := matchPorts(m.sourcePort)
	if err != nil {
		return nil, err
	}
	destinationPorts, err := matchPorts(m.destinationPort)
	if err != nil {
		return nil, err
	}
	protocols, err := m.numbers()
	if err != nil {
		return nil, err
	}
	directions := allDirections
	if m.direction != "" {
		directions = []string{m.direction}
	}
	var out []mirrorRule
	for _, protocol := range protocols {
		if (sourcePorts != nil || destinationPorts != nil) && (protocol == nil || *protocol != sluice.ProtocolTCP && *protocol != sluice.ProtocolUDP) {
			return nil, fmt.Errorf("ports need protocol=tcp or protocol=udp")
		}
		for family := range source {
			for _, direction := range directions {
				there := mirrorRule{Direction: direction, Action: sluice.MirrorAccept, Protocol: protocol,
					SourceCIDR: source[family], DestinationCIDR: destination[family], SourcePorts: sourcePorts, DestinationPorts: destinationPorts}
				back := there
				back.SourceCIDR, back.DestinationCIDR = there.DestinationCIDR, there.SourceCIDR
				back.SourcePorts, back.DestinationPorts = there.DestinationPorts, there.SourcePorts
				out = append(out, there)
				if m.direction == "" && back != there {
					out = append(out, back)
				}
			}
		}
	}
	return out, nil
}

// blocks returns the CIDR blocks of source and destination, by address family.
func (m mirrorMatch) blocks() (source, destination []string, err error) {
	for _, everything := range []string{"0.0.0.0/0", "::/0"} {
		v4 := everything == "0.0.0.0/0"
		s, okSource, err := matchBlock("source", m.source, everything, v4)
		if err != nil {
			return nil, nil, err
		}
		d, okDestination, err := matchBlock("destination", m.destination, everything, v4)
		if err != nil {
			return nil, nil, err
		}
		if okSource && okDestination {
			source, destination = append(source, s), append(destination, d)
		}
	}
	if len(source) == 0 {
		return nil, nil, fmt.Errorf("source %s and destination %s are of different address families", m.source, m.destination)
	}
	return source, destination, nil
}

func matchBlock(what, text, everything string, v4 bool) (block string, ok bool, err error) {
	if text == "" {
		return everything, true, nil
	}
	p, err := sluice.ParseAddress(text)
	if err != nil {
		return "", false, fmt.Errorf("%s %q: want an IP address or a CIDR block", what, text)
	}
	return p.Masked().String(), p.Addr().Is4() == v4, nil
}

func matchPorts(text string) (*portRange, error) {
	if text == "" {
		return nil, nil
	}
	r, _, err := sluice.ParsePortRange(text)
	if err != nil {
		return nil, fmt.Errorf("port %q: want a port such as 443, or a range such as 8000:8080", text)
	}
	return &portRange{int(r.From), int(r.To)}, nil
}

// numbers are the protocols; nil, any, where none is given.
func (m mirrorMatch) numbers() ([]*int, error) {
	if len(m.protocols) == 0 {
		return []*int{nil}, nil
	}
	var out []*int
	for _, p := range m.protocols {
		text, err := parseProtocol(p)
		if err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, err
		}
		out = append(out, &n)
	}
	return out, nil
}

// matchRules makes the rules of all matches, numbered in steps of ten so that there
// is room between them. No match at all is everything.
func matchRules(matches []string) ([]mirrorRule, error) {
	all := []mirrorMatch{}
	for _, text := range matches {
		m, err := parseMatch(text)
		if err != nil {
			return nil, fmt.Errorf("--match %s: %w", text, err)
		}
		all = append(all, m)
	}
	if len(all) == 0 {
		all = append(all, mirrorMatch{})
	}
	var out []mirrorRule
	for i, m := range all {
		rules, err := m.rules()
		if err != nil {
			return nil, fmt.Errorf("--match %s: %w", matches[i], err)
		}
		out = append(out, rules...)
	}
	for i := range out {
		out[i].Number = 10 * (i + 1)
	}
	return out, nil
}

// parameters are the rule as CreateTrafficMirrorFilterRule wants it.
func (r mirrorRule) parameters(filterID string) url.Values {
	v := url.Values{
		"TrafficMirrorFilterId": {filterID}, "TrafficDirection": {r.Direction}, "RuleNumber": {strconv.Itoa(r.Number)},
		"RuleAction": {r.Action}, "SourceCidrBlock": {r.SourceCIDR}, "DestinationCidrBlock": {r.DestinationCIDR},
	}
	if r.Protocol != nil {
		v.Set("Protocol", strconv.Itoa(*r.Protocol))
	}
	for name, ports := range map[string]*portRange{"SourcePortRange": r.SourcePorts, "DestinationPortRange": r.DestinationPorts} {
		if ports != nil {
			v.Set(name+".FromPort", strconv.Itoa(ports.From))
			v.Set(name+".ToPort", strconv.Itoa(ports.To))
		}
	}
	return v
}

// String is the rule for people.
func (r mirrorRule) String() string {
	protocol := "any protocol"
	if r.Protocol != nil {
		protocol = protocolName(strconv.Itoa(*r.Protocol))
	}
	end := func(block string, ports *portRange) string {
		if ports == nil {
			return block
		}
		if ports.From == ports.To {
			return fmt.Sprintf("%s port %d", block, ports.From)
		}
		return fmt.Sprintf("%s ports %d:%d", block, ports.From, ports.To)
	}
	return fmt.Sprintf("%s %d: %s %s, %s → %s", r.Direction, r.Number, r.Action, protocol, end(r.SourceCIDR, r.SourcePorts), end(r.DestinationCIDR, r.DestinationPorts))
}

// matches tells whether the rule speaks of a packet.
func (r mirrorRule) matches(p probe) bool {
	source, err := netip.ParsePrefix(r.SourceCIDR)
	if err != nil || !source.Contains(p.source) {
		return false
	}
	destination, err := netip.ParsePrefix(r.DestinationCIDR)
	if err != nil || !destination.Contains(p.destination) {
		return false
	}
	if r.Protocol != nil && *r.Protocol != -1 && *r.Protocol != int(p.protocol) {
		return false
	}
	within := func(ports *portRange, port uint16) bool {
		return ports == nil || ports.From <= int(port) && int(port) <= ports.To
	}
	return within(r.SourcePorts, p.sourcePort) && within(r.DestinationPorts, p.destinationPort)
}

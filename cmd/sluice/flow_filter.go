package main

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"

	"sluice"
)

// filterNotes explain --filter, below the flags of capture and flush.
const filterNotes = `A flow's source is the side that sent its first packet. What is given must match
all at once; a filter without an address stands for IPv4 and IPv6. Ports are 443
or 8000:8080.
Each zone has an endpoint, and without --zone all are asked: a flow that crosses the
endpoints of two zones is listed once for each.
Several filters, any of which may match:
  --filter source=10.77.1.0/24,destination-port=443,protocol=tcp --filter destination=fd77:2::2`

// filterFlags are the flow filter on a command line: either the members of one
// filter, or whole filters.
type filterFlags struct {
	source, destination         string
	sourcePort, destinationPort string
	protocols                   stringList
	whole                       stringList
}

func (f *filterFlags) register(fs *flags) {
	fs.StringVar(&f.source, "source", "", "`ADDRESS` or CIDR block of the side that sent the first packet")
	fs.StringVar(&f.destination, "destination", "", "`ADDRESS` or CIDR block of the other side")
	fs.StringVar(&f.sourcePort, "source-port", "", "`PORT` or FROM:TO")
	fs.StringVar(&f.destinationPort, "destination-port", "", "`PORT` or FROM:TO")
	fs.Var(&f.protocols, "protocol", "`PROTOCOL`: a number or tcp, udp, icmp, …; more with commas or repeated")
	fs.Var(&f.whole, "filter", "a whole `FILTER` (see below), may be repeated")
}

// empty tells whether the command line has no filter at all.
func (f *filterFlags) empty() bool {
	return !f.members() && len(f.whole) == 0
}

func (f *filterFlags) members() bool {
	return f.source+f.destination+f.sourcePort+f.destinationPort != "" || len(f.protocols) > 0
}

// filters makes the filters of the request. The API wants an address in each: one
// without gets both families' widest blocks.
func (f *filterFlags) filters() ([]types.FlowFilter, error) {
	if len(f.whole) == 0 {
		return expandFilter(*f)
	}
	if f.members() {
		return nil, fmt.Errorf("--filter stands alone: put --source and the others into it")
	}
	var out []types.FlowFilter
	for _, text := range f.whole {
		one, err := parseFilter(text)
		if err != nil {
			return nil, fmt.Errorf("--filter %s: %w", text, err)
		}
		filters, err := expandFilter(one)
		if err != nil {
			return nil, fmt.Errorf("--filter %s: %w", text, err)
		}
		out = append(out, filters...)
	}
	if len(out) > sluice.MaxFlowFilters {
		return nil, fmt.Errorf("%d filters are too many: at most %d, where one without an address counts twice", len(out), sluice.MaxFlowFilters)
	}
	return out, nil
}

// parseFilter reads key=value,key=value; protocol may come several times.
func parseFilter(text string) (filterFlags, error) {
	var f filterFlags
	for part := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(part, "=")
		if !ok || value == "" {
			return f, fmt.Errorf("%q is not of the form key=value", part)
		}
		var member *string
		switch key {
		case "source":
			member = &f.source
		case "destination":
			member = &f.destination
		case "source-port":
			member = &f.sourcePort
		case "destination-port":
			member = &f.destinationPort
		case "protocol":
			f.protocols = append(f.protocols, value)
			continue
		default:
			return f, fmt.Errorf("%q is no member of a filter: want source, destination, source-port, destination-port or protocol", key)
		}
		if *member != "" {
			return f, fmt.Errorf("%s is there twice", key)
		}
		*member = value
	}
	return f, nil
}

// expandFilter checks one filter's members and makes it a filter of the API, or
// two where it names no address.
func expandFilter(f filterFlags) ([]types.FlowFilter, error) {
	var filter types.FlowFilter
	for _, list := range f.protocols {
		for p := range strings.SplitSeq(list, ",") {
			number, err := parseProtocol(p)
			if err != nil {
				return nil, err
			}
			filter.Protocols = append(filter.Protocols, number)
		}
	}
	var err error
	if filter.SourcePort, err = portMember("source port", f.sourcePort); err != nil {
		return nil, err
	}
	if filter.DestinationPort, err = portMember("destination port", f.destinationPort); err != nil {
		return nil, err
	}
	if filter.SourceAddress, err = addressMember("source", f.source); err != nil {
		return nil, err
	}
	if filter.DestinationAddress, err = addressMember("destination", f.destination); err != nil {
		return nil, err
	}
	if filter.SourceAddress != nil || filter.DestinationAddress != nil {
		return []types.FlowFilter{filter}, nil
	}
	v4, v6 := filter, filter
	v4.SourceAddress = &types.Address{AddressDefinition: aws.String("0.0.0.0/0")}
	v6.SourceAddress = &types.Address{AddressDefinition: aws.String("::/0")}
	return []types.FlowFilter{v4, v6}, nil
}

func portMember(what, s string) (*string, error) {
	if s == "" {
		return nil, nil
	}
	if _, _, err := sluice.ParsePortRange(s); err != nil {
		return nil, fmt.Errorf("%s %q: want a port such as 443, or a range such as 8000:8080", what, s)
	}
	return &s, nil
}

func addressMember(what, s string) (*types.Address, error) {
	if s == "" {
		return nil, nil
	}
	if _, err := sluice.ParseAddress(s); err != nil {
		return nil, fmt.Errorf("%s %q: want an IP address or a CIDR block", what, s)
	}
	return &types.Address{AddressDefinition: &s}, nil
}

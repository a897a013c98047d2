package main

import (
	"fmt"
	"strconv"
	"strings"
)

// protocolName returns the usual name of an IANA protocol number, and the number
// itself where people know no name.
func protocolName(number string) string {
	switch number {
	case "1":
		return "icmp"
	case "2":
		return "igmp"
	case "6":
		return "tcp"
	case "17":
		return "udp"
	case "47":
		return "gre"
	case "50":
		return "esp"
	case "51":
		return "ah"
	case "58":
		return "icmpv6"
	case "132":
		return "sctp"
	}
	return number
}

// parseProtocol reads a protocol as people write it, a name or a number, and
// returns the number as the API wants it.
func parseProtocol(s string) (string, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	if err == nil {
		return strconv.FormatUint(n, 10), nil
	}
	for n := range 256 {
		number := strconv.Itoa(n)
		if name := protocolName(number); name != number && strings.EqualFold(name, s) {
			return number, nil
		}
	}
	return "", fmt.Errorf("%q is no protocol: want a number from 0 to 255, or tcp, udp, icmp, icmpv6, sctp, gre, esp, ah, igmp", s)
}

package sluice

import (
	"strconv"
	"strings"
)

// The bounds of a session (AWS: CreateTrafficMirrorSession; RFC 7348 for the
// network identifier).
const (
	MaxSessionNumber    = 32766
	MaxVirtualNetworkID = 1<<24 - 1
	// AnyVirtualNetworkID is the VirtualNetworkID of a session for which the store is
	// to draw a free one.
	AnyVirtualNetworkID = -1
	// MaxPacketLength is the largest PacketLength, and what a session whose target is
	// a load balancer has when none is given.
	MaxPacketLength = 8500
	// MaxRuleNumber is a convention of network ACLs; AWS documents none for filters.
	MaxRuleNumber = 32766
)

// The tags of a session that cap its copies: decimal numbers, 0 is no cap. They are
// an extension of Sluice.
const (
	TagPacketsPerSecond = "sluice:packets-per-second"
	TagBytesPerSecond   = "sluice:bytes-per-second"
)

// MinBytesPerSecond is the lowest cap on bytes: below it a single packet would wait
// for seconds.
const MinBytesPerSecond = 1000

// sluiceTagPrefix begins the keys of tags that mean something to Sluice.
const sluiceTagPrefix = "sluice:"

// CheckTags checks the tags that a session is to have: caps have to be numbers, and what
// looks like one of Sluice's own tags has to be one, since a misspelt cap caps nothing.
func (s TrafficMirrorSession) CheckTags() error {
	for _, t := range s.Tags {
		if strings.HasPrefix(strings.ToLower(t.Key), sluiceTagPrefix) && t.Key != TagPacketsPerSecond && t.Key != TagBytesPerSecond {
			return EC2Errorf(KindInvalidRequest, "InvalidParameterValue",
				"Tag key '%s' is not known; of the keys that begin with '%s', a session can have %s and %s", t.Key, sluiceTagPrefix, TagPacketsPerSecond, TagBytesPerSecond)
		}
	}
	_, _, err := s.Caps()
	return err
}

// Caps returns the rates that the tags of a session cap its copies at; 0 is no cap.
func (s TrafficMirrorSession) Caps() (packets, bytes uint64, err error) {
	for _, t := range s.Tags {
		into := map[string]*uint64{TagPacketsPerSecond: &packets, TagBytesPerSecond: &bytes}[t.Key]
		if into == nil {
			continue
		}
		n, err := strconv.ParseUint(t.Value, 10, 63)
		if err != nil {
			return 0, 0, InvalidValue("Tag "+t.Key, t.Value, "Expecting a whole number of "+capUnit(t.Key)+" per second.")
		}
		if into == &bytes && n > 0 && n < MinBytesPerSecond {
			return 0, 0, InvalidValue("Tag "+t.Key, t.Value, "Expecting at least 1000 bytes per second, or 0 for no cap.")
		}
		*into = n
	}
	return packets, bytes, nil
}

func capUnit(key string) string {
	if key == TagPacketsPerSecond {
		return "packets"
	}
	return "bytes"
}

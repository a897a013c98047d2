package sluice

import "testing"

func TestCapsOfASession(t *testing.T) {
	for _, c := range []struct {
		key, value     string
		packets, bytes uint64
		problem        string
	}{
		{"other", "x", 0, 0, ""},
		{TagPacketsPerSecond, "0", 0, 0, ""},
		{TagPacketsPerSecond, "1", 1, 0, ""},
		{TagPacketsPerSecond, "9223372036854775807", 1<<63 - 1, 0, ""},
		{TagBytesPerSecond, "1000", 0, 1000, ""},
		{TagBytesPerSecond, "0", 0, 0, ""},
		{TagBytesPerSecond, "999", 0, 0, "Value (999) for parameter Tag sluice:bytes-per-second is invalid. Expecting at least 1000 bytes per second, or 0 for no cap."},
		{TagPacketsPerSecond, "", 0, 0, "Value () for parameter Tag sluice:packets-per-second is invalid. Expecting a whole number of packets per second."},
		{TagPacketsPerSecond, "-1", 0, 0, "Value (-1) for parameter Tag sluice:packets-per-second is invalid. Expecting a whole number of packets per second."},
		{TagPacketsPerSecond, "9223372036854775808", 0, 0, "Value (9223372036854775808) for parameter Tag sluice:packets-per-second is invalid. Expecting a whole number of packets per second."},
		{TagBytesPerSecond, "1 000", 0, 0, "Value (1 000) for parameter Tag sluice:bytes-per-second is invalid. Expecting a whole number of bytes per second."},
	} {
		packets, bytes, err := TrafficMirrorSession{Tags: []Tag{{"a", "b"}, {c.key, c.value}}}.Caps()
		if packets != c.packets || bytes != c.bytes || (err == nil) != (c.problem == "") || err != nil && err.Error() != c.problem {
			t.Errorf("%s=%s: %d, %d, %v", c.key, c.value, packets, bytes, err)
		}
	}
}

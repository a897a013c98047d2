// Package control is what operations mean: the life cycles of firewalls, firewall
// policies, flow operations, mirroring and sandboxes, their limits, tokens and
// protections.
//
// It knows no wire format and no kernel. It must never decide uniqueness or a
// limit by reading and then writing: that is a transaction of the Store. What it
// needs from others it declares in ports.go.
package control

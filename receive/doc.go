// Package receive is the analyser's end of traffic mirroring: a UDP socket that
// takes VXLAN (RFC 7348), strict checks of its header, counters for each network
// identifier, and what the inner frames go on to: a pcapng file or stream, a set of
// files of bounded size, a tap device.
//
// It must never trust a datagram: every length is checked, every table and buffer
// is bounded, and what is refused is counted by its reason. It must never answer,
// and must know neither the control plane nor BPF: it reads any sender's VXLAN.
package receive

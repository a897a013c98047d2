// Package datapath is the packet side of one host: it loads the firewall programs
// of package folder bpf, attaches them to the interfaces of firewall endpoints, and
// reads and cuts flows in the table that it shares with them. It does the same with the
// mirror programs and the sources of traffic mirroring, for which it makes devices of
// its own.
//
// It is the only room that touches BPF, netlink and network namespaces. It must
// never import another room than the root vocabulary, decide what a policy or a
// filter means to a caller, or leave the kernel half-built: state is made beside the
// one in force and put in its place by one step.
package datapath

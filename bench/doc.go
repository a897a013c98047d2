// Command bench measures Sluice against the kernel's own tools on this machine,
// in one run: nf_conntrack and nftables get the same packets from the same
// generator, in namespaces of the same shape.
//
// It must never touch an interface that it didn't make, and it judges nothing but
// ratios: absolute numbers belong to the machine.
package main

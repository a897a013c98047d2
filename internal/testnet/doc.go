// Package testnet builds networks out of namespaces and veth pairs, for tests,
// for the demo, for the benchmarks and for `sluice lab`: topologies with
// addresses, routes and forwarding, sockets and processes inside a namespace, and
// a packet socket that counts what really passed a device.
//
// It must never touch a namespace or a device that its caller did not name, must
// never change the namespace of a thread without changing it back, and must not
// know BPF: its counters are the ground truth that the data plane is held against.
package testnet

// Package sluice is the vocabulary that every room of the project shares: the
// nouns of the AWS APIs that Sluice speaks (flow, flow filter, firewall,
// firewall policy, interface, subnet), their ids and ARNs, the error kinds, and
// the validation that needs nothing but the value itself.
//
// It must never touch the network, the disk, a clock or the kernel, and it
// imports nothing else of this project.
package sluice

// Package state is the source of truth: an embedded etcd of one member, every key
// in it and every transaction on it. A call that returns without an error is on
// the disk.
//
// It must never decide what an operation means, listen on a network, or write
// what it read without comparing that it is still so.
package state

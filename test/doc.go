// Package test holds the checks that belong to no single room: the rules of the
// house, and the product as its users see it, run on real packets.
//
// It must never be imported.
package test

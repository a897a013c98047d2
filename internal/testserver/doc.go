// Package testserver runs the built sluice binary as its users do, for tests and
// benchmarks: a configuration file, a process that may be killed, and stock
// clients that find it through the files that it wrote.
//
// It must never reach into the server: what it knows, it knows from outside.
package testserver

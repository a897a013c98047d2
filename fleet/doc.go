// Package fleet carries desired state, flow commands, statuses and counters
// between the controller and its agents. This is the transport inside one process.
//
// It keeps nothing but the last word of each side: it must never decide what a
// state or a command means, and never let a silent agent hold up the others.
package fleet

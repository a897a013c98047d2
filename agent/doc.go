// Package agent is the loop of one host: it makes the kernel carry the desired
// state, carries out flow commands, and reports status and counters.
//
// It must never touch the store, and reaches the kernel only through Datapath.
package agent

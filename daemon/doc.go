// Package daemon is what a long-running server needs beside its work: a strict
// configuration, its state directory with the credentials and keys in it, logs,
// the metrics registry, the admin endpoint and the service manager's notice.
//
// It imports nothing of this project and must never know what a firewall is. It
// must never guess at a configuration: a key that it does not know is an error.
package daemon

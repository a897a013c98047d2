// Package sdkhttp is how requests of the AWS SDK are sent: with their bodies whole in
// memory. The commands and the clients of tests use it.
//
// It must never change what is asked or answered, and must know nothing of the
// operations.
package sdkhttp

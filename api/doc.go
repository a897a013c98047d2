// Package api is the AWS front door: it checks signatures, reads awsJson1.0 and
// EC2 Query requests, calls control, and writes the answer or the error in the
// protocol of the caller.
//
// It must never decide what an operation means, and never show a caller an error
// that is not a sluice.Error.
package api

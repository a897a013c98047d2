// Package sigv4 verifies AWS Signature Version 4 on incoming requests, in the
// Authorization header and in the presigned query form (AWS: "Create a signed AWS
// API request").
//
// It says which check a request failed, in the words of the AWS front end, and
// leaves the error code to the protocol. It must never log or return a secret, and
// never read the body itself: the caller gives it, bounded.
package sigv4

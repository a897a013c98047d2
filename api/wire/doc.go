// Package wire is how requests and answers look on the wire: the awsJson1.0 codec
// with the front end's type checks and constraint validation, the EC2 Query codec,
// and the page tokens.
//
// Request types are plain structs of pointers, slices and maps, so that an absent
// member differs from an empty one; tags name the shape of each member. The package
// must never know an operation or decide what a request means, and every body that
// it reads is bounded in size, depth and number of values.
package wire

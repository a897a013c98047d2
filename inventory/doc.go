// Package inventory knows the network devices of this host, in its own namespace
// and in those that the configuration names, and presents them as interfaces,
// subnets, instances, zones and one VPC.
//
// It only reads: it must never change a device or a namespace. Ids follow from
// what is there, so that they are the same after a restart.
package inventory

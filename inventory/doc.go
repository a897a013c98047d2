// Package inventory knows the network devices of this host, in its own namespace
// and in those that the configuration names, and presents them as interfaces,
// subnets, instances, zones and one VPC.
//
// It only reads: it must never change a device or a namespace. The ids of interfaces
// follow from their hardware addresses when they are first seen, and are remembered from
// then on; all other ids follow from what is there. So they are the same after a restart,
// and no id ever stands for two things at once.
package inventory

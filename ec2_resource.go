package sluice

import "strings"

// The types of EC2 resources that carry tags, as TagSpecification names them.
const (
	ResourceMirrorFilter      = "traffic-mirror-filter"
	ResourceMirrorFilterRule  = "traffic-mirror-filter-rule"
	ResourceMirrorSession     = "traffic-mirror-session"
	ResourceMirrorTarget      = "traffic-mirror-target"
	ResourceSecurityGroup     = "security-group"
	ResourceSecurityGroupRule = "security-group-rule"
	ResourceNetworkInterface  = "network-interface"
	ResourceInstance          = "instance"
	ResourceSubnet            = "subnet"
	ResourceVpc               = "vpc"
)

// EC2ResourceType returns the type of resource that an id names by its prefix, and
// "" for one of none.
func EC2ResourceType(id string) string {
	prefix, digits, _ := strings.Cut(id, "-")
	if digits == "" {
		return ""
	}
	switch prefix {
	case "tmf":
		return ResourceMirrorFilter
	case "tmfr":
		return ResourceMirrorFilterRule
	case "tms":
		return ResourceMirrorSession
	case "tmt":
		return ResourceMirrorTarget
	case "sg":
		return ResourceSecurityGroup
	case "sgr":
		return ResourceSecurityGroupRule
	case "eni":
		return ResourceNetworkInterface
	case "i":
		return ResourceInstance
	case "subnet":
		return ResourceSubnet
	case "vpc":
		return ResourceVpc
	}
	return ""
}

// NoSuchResource makes EC2's error of an id that names nothing. The codes of
// traffic mirroring are those that AWS sends rather than those that its reference
// lists; clients wait for them after a deletion.
func NoSuchResource(resourceType, id string) *Error {
	code, format := "InvalidID", "The ID '%s' is not valid"
	switch resourceType {
	case ResourceMirrorFilter:
		code, format = "InvalidTrafficMirrorFilterId.NotFound", "The traffic mirror filter '%s' does not exist"
	case ResourceMirrorFilterRule:
		code, format = "InvalidTrafficMirrorFilterRuleId.NotFound", "The traffic mirror filter rule '%s' does not exist"
	case ResourceMirrorSession:
		code, format = "InvalidTrafficMirrorSessionId.NotFound", "The traffic mirror session '%s' does not exist"
	case ResourceMirrorTarget:
		code, format = "InvalidTrafficMirrorTargetId.NotFound", "The traffic mirror target '%s' does not exist"
	case ResourceSecurityGroup:
		code, format = "InvalidGroup.NotFound", "The security group '%s' does not exist"
	case ResourceSecurityGroupRule:
		code, format = "InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist"
	case ResourceNetworkInterface:
		code, format = "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist"
	case ResourceInstance:
		code, format = "InvalidInstanceID.NotFound", "The instance ID '%s' does not exist"
	case ResourceSubnet:
		code, format = "InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist"
	case ResourceVpc:
		code, format = "InvalidVpcID.NotFound", "The vpc ID '%s' does not exist"
	}
	if len(id) > maxValueEcho {
		id = strings.ToValidUTF8(id[:maxValueEcho], "") + "..."
	}
	return EC2Errorf(KindNotFound, code, format, id)
}

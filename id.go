package sluice

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// idHexDigits is the length of the hexadecimal part of a long EC2 id, such as
// eni-0123456789abcdef0.
const idHexDigits = 17

// NewID makes a random EC2 style id: the prefix ("vpce", "tms"), a dash and 17
// lower-case hexadecimal digits.
func NewID(prefix string) string {
	var b [(idHexDigits + 1) / 2]byte
	rand.Read(b[:]) // never fails since Go 1.24
	return prefix + "-" + hex.EncodeToString(b[:])[:idHexDigits]
}

// DeriveID makes an EC2 style id that is the same for the same parts, so that an
// id which names a real thing survives restarts.
func DeriveID(prefix string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s,", len(p), p)
	}
	return prefix + "-" + hex.EncodeToString(h.Sum(nil))[:idHexDigits]
}

// NewUUID makes a random lower-case UUID (RFC 9562, version 4).
func NewUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// The resource types of Network Firewall ARNs.
const (
	ResourceFirewall       = "firewall"
	ResourceFirewallPolicy = "firewall-policy"
	ResourceStatefulGroup  = "stateful-rulegroup"
	ResourceStatelessGroup = "stateless-rulegroup"
)

// ARN is an Amazon Resource Name, cut into its parts.
type ARN struct {
	Partition string // "aws"
	Service   string // "network-firewall"
	Region    string // "eu-west-1"
	AccountID string // twelve digits
	Type      string // "firewall"
	Name      string // what follows the slash
}

// String joins the parts again.
func (a ARN) String() string {
	return "arn:" + a.Partition + ":" + a.Service + ":" + a.Region + ":" + a.AccountID + ":" + a.Type + "/" + a.Name
}

// ParseARN cuts an ARN of the form arn:partition:service:region:account:type/name.
func ParseARN(s string) (ARN, error) {
	p := strings.SplitN(s, ":", 6)
	if len(p) != 6 || p[0] != "arn" || !strings.HasPrefix(p[1], "aws") {
		return ARN{}, fmt.Errorf("parse arn %q: not of the form arn:aws:service:region:account:type/name", s)
	}
	typ, name, ok := strings.Cut(p[5], "/")
	if !ok || typ == "" || name == "" {
		return ARN{}, fmt.Errorf("parse arn %q: resource has no type/name", s)
	}
	return ARN{Partition: p[1], Service: p[2], Region: p[3], AccountID: p[4], Type: typ, Name: name}, nil
}

// Scope is the account and region that an installation answers for.
type Scope struct {
	Region    string
	AccountID string
}

// FirewallARN is the ARN of a Network Firewall resource in this scope.
func (s Scope) FirewallARN(resourceType, name string) string {
	return ARN{"aws", "network-firewall", s.Region, s.AccountID, resourceType, name}.String()
}

// EC2ARN is the ARN of an EC2 resource in this scope.
func (s Scope) EC2ARN(resourceType, id string) string {
	return ARN{"aws", "ec2", s.Region, s.AccountID, resourceType, id}.String()
}

// LoadBalancerARN is the ARN of the network load balancer that a target group of
// this name shows as. It is the same for the same name.
func (s Scope) LoadBalancerARN(name string) string {
	_, digits, _ := strings.Cut(DeriveID("lb", s.Region, s.AccountID, name), "-")
	return "arn:aws:elasticloadbalancing:" + s.Region + ":" + s.AccountID + ":loadbalancer/net/" + name + "/" + digits[:16]
}

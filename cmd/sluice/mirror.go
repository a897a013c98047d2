package main

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// madeBy is the tag of filters and targets that `sluice mirror create` made, so
// that `sluice mirror delete --all-made` knows them.
var madeBy = ec2Tag{Key: "made-by", Value: "sluice mirror create"}

// The resources of traffic mirroring, in JSON as the AWS CLI shows them.
type mirrorSession struct {
	ID           string   `xml:"trafficMirrorSessionId" json:"TrafficMirrorSessionId"`
	TargetID     string   `xml:"trafficMirrorTargetId" json:"TrafficMirrorTargetId"`
	FilterID     string   `xml:"trafficMirrorFilterId" json:"TrafficMirrorFilterId"`
	InterfaceID  string   `xml:"networkInterfaceId" json:"NetworkInterfaceId"`
	OwnerID      string   `xml:"ownerId" json:"OwnerId"`
	PacketLength int      `xml:"packetLength" json:",omitempty"`
	Number       int      `xml:"sessionNumber" json:"SessionNumber"`
	VNI          uint32   `xml:"virtualNetworkId" json:"VirtualNetworkId"`
	Description  string   `xml:"description" json:",omitempty"`
	Tags         []ec2Tag `xml:"tagSet>item"`
}

type mirrorTarget struct {
	ID              string   `xml:"trafficMirrorTargetId" json:"TrafficMirrorTargetId"`
	InterfaceID     string   `xml:"networkInterfaceId" json:"NetworkInterfaceId,omitempty"`
	LoadBalancerArn string   `xml:"networkLoadBalancerArn" json:"NetworkLoadBalancerArn,omitempty"`
	Type            string   `xml:"type"`
	Description     string   `xml:"description" json:",omitempty"`
	OwnerID         string   `xml:"ownerId" json:"OwnerId"`
	Tags            []ec2Tag `xml:"tagSet>item"`
}

type mirrorFilter struct {
	ID          string       `xml:"trafficMirrorFilterId" json:"TrafficMirrorFilterId"`
	Ingress     []mirrorRule `xml:"ingressFilterRuleSet>item" json:"IngressFilterRules"`
	Egress      []mirrorRule `xml:"egressFilterRuleSet>item" json:"EgressFilterRules"`
	Services    []string     `xml:"networkServiceSet>item" json:"NetworkServices"`
	Description string       `xml:"description" json:",omitempty"`
	Tags        []ec2Tag     `xml:"tagSet>item"`
}

type mirrorRule struct {
	ID               string     `xml:"trafficMirrorFilterRuleId" json:"TrafficMirrorFilterRuleId"`
	Direction        string     `xml:"trafficDirection" json:"TrafficDirection"`
	Number           int        `xml:"ruleNumber" json:"RuleNumber"`
	Action           string     `xml:"ruleAction" json:"RuleAction"`
	Protocol         *int       `xml:"protocol" json:",omitempty"` // nil is any
	SourcePorts      *portRange `xml:"sourcePortRange" json:"SourcePortRange,omitempty"`
	DestinationPorts *portRange `xml:"destinationPortRange" json:"DestinationPortRange,omitempty"`
	SourceCIDR       string     `xml:"sourceCidrBlock" json:"SourceCidrBlock"`
	DestinationCIDR  string     `xml:"destinationCidrBlock" json:"DestinationCidrBlock"`
}

type portRange struct {
	From int `xml:"fromPort" json:"FromPort"`
	To   int `xml:"toPort" json:"ToPort"`
}

// statusAway is the status of an interface whose device is not there.
const statusAway = "available"

// networkInterface is what is needed of an interface.
type networkInterface struct {
	ID          string `xml:"networkInterfaceId"`
	Description string `xml:"description"`
	Status      string `xml:"status"` // statusAway, or in-use
	IPv4        string `xml:"privateIpAddress"`
	IPv6        []struct {
		Address string `xml:"ipv6Address"`
	} `xml:"ipv6AddressesSet>item"`
}

var interfaceDescription = regexp.MustCompile(`^device (\S+)(?: in network namespace (\S+))? of host (\S+)$`)

// place tells where the interface is; the server writes that into the description.
func (n networkInterface) place() (host, netns, device string) {
	m := interfaceDescription.FindStringSubmatch(n.Description)
	if m == nil {
		return "", "", ""
	}
	return m[3], m[2], m[1]
}

// name is netns/device, or the device where it is the host's own; the id where the
// server does not say.
func (n networkInterface) name() string {
	_, netns, device := n.place()
	if device == "" {
		return n.ID
	}
	return networkInterfaceName(netns, device)
}

// networkInterfaceName is netns/device, or the device where it is the host's own.
func networkInterfaceName(netns, device string) string {
	if netns == "" {
		return device
	}
	return netns + "/" + device
}

// orEmpty makes a list that is not there an empty one: in JSON [] and not null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func describeSessions(ctx context.Context, e ec2, parameters url.Values) ([]mirrorSession, error) {
	return describe(ctx, e, "DescribeTrafficMirrorSessions", parameters, func() (any, func() page[mirrorSession]) {
		var a struct {
			Items     []mirrorSession `xml:"trafficMirrorSessionSet>item"`
			NextToken string          `xml:"nextToken"`
		}
		return &a, func() page[mirrorSession] {
			for i := range a.Items {
				a.Items[i].Tags = orEmpty(a.Items[i].Tags)
			}
			return page[mirrorSession]{a.Items, a.NextToken}
		}
	})
}

func describeTargets(ctx context.Context, e ec2, parameters url.Values) ([]mirrorTarget, error) {
	return describe(ctx, e, "DescribeTrafficMirrorTargets", parameters, func() (any, func() page[mirrorTarget]) {
		var a struct {
			Items     []mirrorTarget `xml:"trafficMirrorTargetSet>item"`
			NextToken string         `xml:"nextToken"`
		}
		return &a, func() page[mirrorTarget] {
			for i := range a.Items {
				a.Items[i].Tags = orEmpty(a.Items[i].Tags)
			}
			return page[mirrorTarget]{a.Items, a.NextToken}
		}
	})
}

func describeMirrorFilters(ctx context.Context, e ec2, parameters url.Values) ([]mirrorFilter, error) {
	return describe(ctx, e, "DescribeTrafficMirrorFilters", parameters, func() (any, func() page[mirrorFilter]) {
		var a struct {
			Items     []mirrorFilter `xml:"trafficMirrorFilterSet>item"`
			NextToken string         `xml:"nextToken"`
		}
		return &a, func() page[mirrorFilter] {
			for i := range a.Items {
				a.Items[i].Ingress = orEmpty(a.Items[i].Ingress)
				a.Items[i].Egress = orEmpty(a.Items[i].Egress)
				a.Items[i].Services = orEmpty(a.Items[i].Services)
				a.Items[i].Tags = orEmpty(a.Items[i].Tags)
			}
			return page[mirrorFilter]{a.Items, a.NextToken}
		}
	})
}

// interfaces are all interfaces that the server knows.
type interfaces []networkInterface

func describeInterfaces(ctx context.Context, e ec2) (interfaces, error) {
	all, err := describe(ctx, e, "DescribeNetworkInterfaces", nil, func() (any, func() page[networkInterface]) {
		var a struct {
			Items     []networkInterface `xml:"networkInterfaceSet>item"`
			NextToken string             `xml:"nextToken"`
		}
		return &a, func() page[networkInterface] { return page[networkInterface]{a.Items, a.NextToken} }
	})
	return all, err
}

// find returns the interface of an id.
func (l interfaces) find(id string) (networkInterface, bool) {
	for _, n := range l {
		if n.ID == id {
			return n, true
		}
	}
	return networkInterface{}, false
}

// resolve returns the interface that a command line names by its id or as
// netns/device.
func (l interfaces) resolve(name string) (networkInterface, error) {
	var found []networkInterface
	for _, n := range l {
		if n.ID == name || n.name() == strings.TrimPrefix(name, "/") {
			found = append(found, n)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	var b strings.Builder
	for _, n := range l {
		b.WriteString("\n  " + n.ID + "  " + n.name() + "  " + n.IPv4)
	}
	if len(found) > 1 {
		return networkInterface{}, fmt.Errorf("%q names %d interfaces, on several hosts: give the id; there are:%s", name, len(found), b.String())
	}
	return networkInterface{}, fmt.Errorf("no interface %q; there are:%s", name, b.String())
}

// nameOf is the name of an interface for people: its id when it is not there.
func (l interfaces) nameOf(id string) string {
	if n, ok := l.find(id); ok {
		return n.name()
	}
	return id + " (not there)"
}

// findSession returns the session of an id; the API's error where there is none.
func findSession(ctx context.Context, e ec2, id string) (mirrorSession, error) {
	found, err := describeSessions(ctx, e, url.Values{"TrafficMirrorSessionId.1": {id}})
	if err != nil {
		return mirrorSession{}, err
	}
	if len(found) != 1 {
		return mirrorSession{}, fmt.Errorf("DescribeTrafficMirrorSessions: %d sessions of id %s", len(found), id)
	}
	return found[0], nil
}

func findTarget(ctx context.Context, e ec2, id string) (mirrorTarget, error) {
	found, err := describeTargets(ctx, e, url.Values{"TrafficMirrorTargetId.1": {id}})
	if err != nil {
		return mirrorTarget{}, err
	}
	if len(found) != 1 {
		return mirrorTarget{}, fmt.Errorf("DescribeTrafficMirrorTargets: %d targets of id %s", len(found), id)
	}
	return found[0], nil
}

func findFilter(ctx context.Context, e ec2, id string) (mirrorFilter, error) {
	found, err := describeMirrorFilters(ctx, e, url.Values{"TrafficMirrorFilterId.1": {id}})
	if err != nil {
		return mirrorFilter{}, err
	}
	if len(found) != 1 {
		return mirrorFilter{}, fmt.Errorf("DescribeTrafficMirrorFilters: %d filters of id %s", len(found), id)
	}
	return found[0], nil
}

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// subnet is what people know a subnet by.
type subnet struct {
	ID    string   `xml:"subnetId"`
	VpcID string   `xml:"vpcId"`
	Zone  string   `xml:"availabilityZone"`
	CIDR  string   `xml:"cidrBlock"`
	Tags  []ec2Tag `xml:"tagSet>item"`
}

// name is the subnet's tag Name.
func (s subnet) name() string { return tagValue(s.Tags, "Name") }

func (s subnet) String() string {
	if n := s.name(); n != "" {
		return n + " (" + s.ID + ", " + s.CIDR + ")"
	}
	return s.ID + " (" + s.CIDR + ")"
}

// subnetAnswer is the answer of DescribeSubnets.
type subnetAnswer struct {
	Subnets   []subnet `xml:"subnetSet>item"`
	NextToken string   `xml:"nextToken"`
}

// describeSubnets asks EC2 for all subnets.
func describeSubnets(ctx context.Context, cfg aws.Config) ([]subnet, error) {
	return describe(ctx, ec2{cfg}, "DescribeSubnets", nil, func() (any, func() page[subnet]) {
		var a subnetAnswer
		return &a, func() page[subnet] { return page[subnet]{a.Subnets, a.NextToken} }
	})
}

// chooseSubnets returns the subnets that are named by id or name. Where none are
// named, each zone (or the one that is asked for) has to have exactly one.
func chooseSubnets(all []subnet, named []string, zone string) ([]subnet, error) {
	inZone := slices.DeleteFunc(slices.Clone(all), func(s subnet) bool { return zone != "" && s.Zone != zone })
	if len(inZone) == 0 {
		if zone != "" {
			return nil, fmt.Errorf("zone %s has no subnet", zone)
		}
		return nil, fmt.Errorf("the server knows no subnet")
	}
	var chosen []subnet
	for _, name := range named {
		i := slices.IndexFunc(inZone, func(s subnet) bool { return s.ID == name || s.name() == name })
		if i < 0 {
			return nil, fmt.Errorf("no subnet %q; there are:%s", name, subnetLines(inZone))
		}
		chosen = append(chosen, inZone[i])
	}
	if len(named) == 0 {
		chosen = inZone
	}
	zones := map[string]bool{}
	for _, s := range chosen {
		if zones[s.Zone] {
			return nil, fmt.Errorf("a firewall has one subnet in each zone, and %s has several: say which with --subnet:%s", s.Zone, subnetLines(inZone))
		}
		zones[s.Zone] = true
	}
	return chosen, nil
}

func subnetLines(list []subnet) string {
	var b strings.Builder
	for _, s := range list {
		b.WriteString("\n  " + s.Zone + "  " + s.String())
	}
	return b.String()
}

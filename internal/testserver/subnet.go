package testserver

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// Subnet finds a subnet by its tag Name, as a user would, and returns its id and
// its VPC's.
func (s *Server) Subnet(ctx context.Context, name string) (subnetID, vpcID string, err error) {
	cfg, err := s.AWSConfig(ctx)
	if err != nil {
		return "", "", err
	}
	out, err := ec2.NewFromConfig(cfg).DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{})
	if err != nil {
		return "", "", err
	}
	for _, n := range out.Subnets {
		for _, t := range n.Tags {
			if *t.Key == "Name" && *t.Value == name {
				return *n.SubnetId, *n.VpcId, nil
			}
		}
	}
	return "", "", fmt.Errorf("find subnet %s: none of the %d has that name", name, len(out.Subnets))
}

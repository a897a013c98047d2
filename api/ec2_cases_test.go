package api

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// codeOf is the error code that an SDK read from an answer.
func codeOf(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

// readCase is an EC2 read: missing asks for something that is not there.
func readCase(name, request, missing, missingCode string, sdk func(context.Context, clients) (any, error)) operationCase {
	return operationCase{
		service: serviceEC2, name: name, request: request,
		malformed: "Colour.1=red", malformedCode: "UnknownParameter", malformedMessage: "The parameter Colour.1 is not recognized",
		wrongRequest: missing, wrongCode: missingCode,
		sdk: sdk,
	}
}

func ec2Cases() []operationCase {
	filters := []types.Filter{{Name: aws.String("vpc-id"), Values: []string{vpcA}}}
	return []operationCase{
		readCase("DescribeNetworkInterfaces", "", "NetworkInterfaceId.1=eni-00000000000000fff", "InvalidNetworkInterfaceID.NotFound",
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: filters, MaxResults: aws.Int32(5)})
			}),
		readCase("DescribeInstances", "Filter.1.Name=tag:Name&Filter.1.Value.1=sluice-*", "InstanceId.1=i-00000000000000fff", "InvalidInstanceID.NotFound",
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{instanceA}})
			}),
		readCase("DescribeInstanceTypes", "InstanceType.1=sluice.host", "InstanceType.1=t2.micro", "InvalidInstanceType",
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{MaxResults: aws.Int32(100)})
			}),
		readCase("DescribeSubnets", "", "SubnetId.1=subnet-00000000000000fff", "InvalidSubnetID.NotFound",
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{subnetA}, Filters: filters})
			}),
		readCase("DescribeVpcs", "", "VpcId.1=vpc-00000000000000fff", "InvalidVpcID.NotFound",
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: filters})
			}),
		readCase("DescribeAvailabilityZones", "AllAvailabilityZones=true", "ZoneName.1=eu-west-1z", "InvalidParameterValue",
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{ZoneNames: []string{"eu-west-1a"}})
			}),
		readCase("DescribeRegions", "RegionName.1=eu-west-1", "RegionName.1=mars", "InvalidParameterValue",
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DescribeRegions(ctx, &ec2.DescribeRegionsInput{AllRegions: aws.Bool(true)})
			}),
	}
}

func stsCases() []operationCase {
	return []operationCase{{
		service: serviceSTS, name: "GetCallerIdentity",
		malformed: "Colour=red", malformedCode: "UnknownParameter", malformedMessage: "The parameter Colour is not recognized",
		wrongRequest: "Version=2010-05-08", wrongCode: "NoSuchVersion",
		sdk: func(ctx context.Context, c clients) (any, error) {
			return c.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		},
	}}
}

package api

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"sluice"
)

// writeCase is a change of EC2: without the required parameter it is malformed.
func writeCase(name, request, required string, wrong *sluice.Error, sdk func(context.Context, clients) (any, error)) operationCase {
	c := operationCase{
		service: serviceEC2, name: name, request: request,
		malformed: "", malformedCode: "MissingParameter", malformedMessage: "The request must contain the parameter " + required,
		wrong: wrong, wrongCode: wrong.Code, sdk: sdk,
	}
	if c.malformed = "DryRun=false"; required == "" {
		c.malformed, c.malformedCode, c.malformedMessage = "Colour=red", "UnknownParameter", "The parameter Colour is not recognized"
	}
	return c
}

func mirrorCases() []operationCase {
	noTarget, noFilter := sluice.NoSuchResource(sluice.ResourceMirrorTarget, targetA), sluice.NoSuchResource(sluice.ResourceMirrorFilter, filterA)
	noRule, noSession := sluice.NoSuchResource(sluice.ResourceMirrorFilterRule, ruleA), sluice.NoSuchResource(sluice.ResourceMirrorSession, sessionA)
	inUse := sluice.EC2Errorf(sluice.KindInvalidOperation, "TrafficMirrorTargetInUse", "Cannot delete")
	return []operationCase{
		writeCase("CreateTrafficMirrorTarget", "NetworkInterfaceId="+eniA+"&ClientToken=t", "", noTarget,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.CreateTrafficMirrorTarget(ctx, &ec2.CreateTrafficMirrorTargetInput{NetworkInterfaceId: aws.String(eniA)})
			}),
		readCase("DescribeTrafficMirrorTargets", "", "TrafficMirrorTargetId.1=tmt-1", "InvalidTrafficMirrorTargetId.NotFound",
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DescribeTrafficMirrorTargets(ctx, &ec2.DescribeTrafficMirrorTargetsInput{TrafficMirrorTargetIds: []string{targetA}})
			}),
		writeCase("DeleteTrafficMirrorTarget", "TrafficMirrorTargetId="+targetA, "TrafficMirrorTargetId", inUse,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DeleteTrafficMirrorTarget(ctx, &ec2.DeleteTrafficMirrorTargetInput{TrafficMirrorTargetId: aws.String(targetA)})
			}),
		writeCase("CreateTrafficMirrorFilter", "Description=all&ClientToken=t", "", noFilter,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.CreateTrafficMirrorFilter(ctx, &ec2.CreateTrafficMirrorFilterInput{})
			}),
		readCase("DescribeTrafficMirrorFilters", "", "TrafficMirrorFilterId.1=tmf-1", "InvalidTrafficMirrorFilterId.NotFound",
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DescribeTrafficMirrorFilters(ctx, &ec2.DescribeTrafficMirrorFiltersInput{MaxResults: aws.Int32(5)})
			}),
		writeCase("ModifyTrafficMirrorFilterNetworkServices", "TrafficMirrorFilterId="+filterA+"&AddNetworkService.1=amazon-dns", "TrafficMirrorFilterId", noFilter,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.ModifyTrafficMirrorFilterNetworkServices(ctx, &ec2.ModifyTrafficMirrorFilterNetworkServicesInput{
					TrafficMirrorFilterId: aws.String(filterA), AddNetworkServices: []types.TrafficMirrorNetworkService{"amazon-dns"}})
			}),
		writeCase("DeleteTrafficMirrorFilter", "TrafficMirrorFilterId="+filterA, "TrafficMirrorFilterId", noFilter,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DeleteTrafficMirrorFilter(ctx, &ec2.DeleteTrafficMirrorFilterInput{TrafficMirrorFilterId: aws.String(filterA)})
			}),
		writeCase("CreateTrafficMirrorFilterRule", "TrafficMirrorFilterId="+filterA+"&TrafficDirection=ingress&RuleNumber=10&RuleAction=accept&Protocol=6"+
			"&DestinationPortRange.ToPort=443&SourceCidrBlock=10.0.0.0/8&DestinationCidrBlock=0.0.0.0/0&ClientToken=t", "TrafficMirrorFilterId", noFilter,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.CreateTrafficMirrorFilterRule(ctx, &ec2.CreateTrafficMirrorFilterRuleInput{TrafficMirrorFilterId: aws.String(filterA),
					TrafficDirection: types.TrafficDirectionIngress, RuleNumber: aws.Int32(10), RuleAction: types.TrafficMirrorRuleActionAccept,
					SourceCidrBlock: aws.String("::/0"), DestinationCidrBlock: aws.String("::/0")})
			}),
		readCase("DescribeTrafficMirrorFilterRules", "TrafficMirrorFilterId="+filterA, "TrafficMirrorFilterRuleId.1=tmfr-1", "InvalidTrafficMirrorFilterRuleId.NotFound",
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DescribeTrafficMirrorFilterRules(ctx, &ec2.DescribeTrafficMirrorFilterRulesInput{TrafficMirrorFilterRuleIds: []string{ruleA}})
			}),
		writeCase("ModifyTrafficMirrorFilterRule", "TrafficMirrorFilterRuleId="+ruleA+"&RemoveField.1=protocol", "TrafficMirrorFilterRuleId", noRule,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.ModifyTrafficMirrorFilterRule(ctx, &ec2.ModifyTrafficMirrorFilterRuleInput{TrafficMirrorFilterRuleId: aws.String(ruleA)})
			}),
		writeCase("DeleteTrafficMirrorFilterRule", "TrafficMirrorFilterRuleId="+ruleA, "TrafficMirrorFilterRuleId", noRule,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DeleteTrafficMirrorFilterRule(ctx, &ec2.DeleteTrafficMirrorFilterRuleInput{TrafficMirrorFilterRuleId: aws.String(ruleA)})
			}),
		writeCase("CreateTrafficMirrorSession", "NetworkInterfaceId="+eniA+"&TrafficMirrorTargetId="+targetA+"&TrafficMirrorFilterId="+filterA+"&SessionNumber=1&ClientToken=t",
			"NetworkInterfaceId", noTarget,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.CreateTrafficMirrorSession(ctx, &ec2.CreateTrafficMirrorSessionInput{NetworkInterfaceId: aws.String(eniA),
					TrafficMirrorTargetId: aws.String(targetA), TrafficMirrorFilterId: aws.String(filterA), SessionNumber: aws.Int32(1)})
			}),
		readCase("DescribeTrafficMirrorSessions", "", "TrafficMirrorSessionId.1=tms-1", "InvalidTrafficMirrorSessionId.NotFound",
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DescribeTrafficMirrorSessions(ctx, &ec2.DescribeTrafficMirrorSessionsInput{})
			}),
		writeCase("ModifyTrafficMirrorSession", "TrafficMirrorSessionId="+sessionA+"&RemoveField.1=packet-length", "TrafficMirrorSessionId", noSession,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.ModifyTrafficMirrorSession(ctx, &ec2.ModifyTrafficMirrorSessionInput{TrafficMirrorSessionId: aws.String(sessionA)})
			}),
		writeCase("DeleteTrafficMirrorSession", "TrafficMirrorSessionId="+sessionA, "TrafficMirrorSessionId", noSession,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DeleteTrafficMirrorSession(ctx, &ec2.DeleteTrafficMirrorSessionInput{TrafficMirrorSessionId: aws.String(sessionA)})
			}),
	}
}

func resourceTagCases() []operationCase {
	missing := sluice.NoSuchResource("", "foo")
	return []operationCase{
		writeCase("CreateTags", "ResourceId.1="+targetA+"&Tag.1.Key=a&Tag.1.Value=", "ResourceId", missing,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{targetA}, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("")}}})
			}),
		writeCase("DeleteTags", "ResourceId.1="+targetA, "ResourceId", missing,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{targetA}, Tags: []types.Tag{{Key: aws.String("a")}}})
			}),
		readCase("DescribeTags", "", "Filter.1.Name=colour", "InvalidParameterValue",
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DescribeTags(ctx, &ec2.DescribeTagsInput{MaxResults: aws.Int32(5)})
			}),
	}
}

func groupCases() []operationCase {
	missing := sluice.NoSuchResource(sluice.ResourceSecurityGroup, groupA)
	permissions := []types.IpPermission{{IpProtocol: aws.String("udp"), FromPort: aws.Int32(4789), ToPort: aws.Int32(4789), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}}
	return []operationCase{
		writeCase("CreateSecurityGroup", "GroupName=sensor&GroupDescription=of+the+sensor&VpcId="+vpcA, "GroupName", missing,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("sensor"), Description: aws.String("d")})
			}),
		readCase("DescribeSecurityGroups", "GroupName.1=sensor", "GroupId.1=sg-00000000000000fff", "InvalidGroup.NotFound",
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{groupA}})
			}),
		writeCase("AuthorizeSecurityGroupIngress", "GroupId="+groupA+"&IpPermissions.1.IpProtocol=udp&IpPermissions.1.FromPort=4789&IpPermissions.1.ToPort=4789&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0",
			"", missing,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: aws.String(groupA), IpPermissions: permissions})
			}),
		writeCase("RevokeSecurityGroupIngress", "GroupId="+groupA+"&SecurityGroupRuleId.1=sgr-00000000000000a18", "", missing,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: aws.String(groupA), IpPermissions: permissions})
			}),
		writeCase("DeleteSecurityGroup", "GroupId="+groupA, "", missing,
			func(ctx context.Context, c clients) (any, error) {
				return c.ec2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: aws.String(groupA)})
			}),
	}
}

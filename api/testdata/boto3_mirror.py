"""Builds, modifies, pages, filters, tags and deletes traffic mirroring with boto3.

Usage: boto3_mirror.py ENDPOINT KEY SECRET. Prints a JSON object of every step: the
answer without its metadata, or the error as "status code message".
"""
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, key, secret = sys.argv[1:4]
ec2 = boto3.client("ec2", endpoint_url=endpoint, region_name="eu-west-1", aws_access_key_id=key,
                   aws_secret_access_key=secret, config=Config(retries={"total_max_attempts": 1}))
steps = []


def record(name, call, *hidden):
    try:
        answer = call()
        if isinstance(answer, dict):
            answer.pop("ResponseMetadata", None)
            for member in hidden:
                answer.pop(member, None)
    except ClientError as e:
        error = e.response["Error"]
        answer = f"{e.response['ResponseMetadata']['HTTPStatusCode']} {error['Code']} {error['Message']}"
    steps.append([name, answer])
    return answer


def eni(n):
    return f"eni-{n:017x}"


def specification(kind, **tags):
    return [{"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}]


arn = "arn:aws:elasticloadbalancing:eu-west-1:000000000000:loadbalancer/net/sensors/0123456789abcdef"
target = record("target", lambda: ec2.create_traffic_mirror_target(
    NetworkInterfaceId=eni(20), Description="sensor", ClientToken="one",
    TagSpecifications=specification("traffic-mirror-target", Name="sensor", empty="")))["TrafficMirrorTarget"]["TrafficMirrorTargetId"]
balanced = record("balanced", lambda: ec2.create_traffic_mirror_target(NetworkLoadBalancerArn=arn, ClientToken="two"))["TrafficMirrorTarget"]["TrafficMirrorTargetId"]
mirror_filter = record("filter", lambda: ec2.create_traffic_mirror_filter(Description="all", ClientToken="three"))["TrafficMirrorFilter"]["TrafficMirrorFilterId"]
record("services", lambda: ec2.modify_traffic_mirror_filter_network_services(
    TrafficMirrorFilterId=mirror_filter, AddNetworkServices=["amazon-dns"]))
rule = record("rule", lambda: ec2.create_traffic_mirror_filter_rule(
    TrafficMirrorFilterId=mirror_filter, TrafficDirection="egress", RuleNumber=100, RuleAction="accept", Protocol=17,
    SourcePortRange={"FromPort": 1, "ToPort": 2}, SourceCidrBlock="FD00::1/8", DestinationCidrBlock="::/0", ClientToken="four",
    TagSpecifications=specification("traffic-mirror-filter-rule", a="b")))["TrafficMirrorFilterRule"]["TrafficMirrorFilterRuleId"]
record("modified rule", lambda: ec2.modify_traffic_mirror_filter_rule(
    TrafficMirrorFilterRuleId=rule, RuleAction="reject", Description="none", RemoveFields=["source-port-range", "protocol"]))
for n in range(1, 8):
    session = ec2.create_traffic_mirror_session(
        NetworkInterfaceId=eni(n), TrafficMirrorTargetId=target, TrafficMirrorFilterId=mirror_filter, SessionNumber=n, VirtualNetworkId=n,
        TagSpecifications=specification("traffic-mirror-session", number=str(n)))["TrafficMirrorSession"]["TrafficMirrorSessionId"]
record("modified session", lambda: ec2.modify_traffic_mirror_session(
    TrafficMirrorSessionId=session, TrafficMirrorTargetId=balanced, Description="last", SessionNumber=32766))
record("described session", lambda: ec2.describe_traffic_mirror_sessions(TrafficMirrorSessionIds=[session]))
record("described filter", lambda: ec2.describe_traffic_mirror_filters())
record("described rules", lambda: ec2.describe_traffic_mirror_filter_rules(TrafficMirrorFilterId=mirror_filter))
record("pages", lambda: sorted(len(p["TrafficMirrorSessions"]) for p in ec2.get_paginator("describe_traffic_mirror_sessions").paginate(
    PaginationConfig={"PageSize": 5})))
record("filtered", lambda: sorted(s["SessionNumber"] for s in ec2.describe_traffic_mirror_sessions(
    Filters=[{"Name": "virtual-network-id", "Values": ["1", "2"]}, {"Name": "tag:number", "Values": ["?"]}])["TrafficMirrorSessions"]))
record("no value", lambda: ec2.describe_traffic_mirror_sessions(Filters=[{"Name": "traffic-mirror-session-id", "Values": []}]))
record("nothing", lambda: ec2.describe_traffic_mirror_targets(Filters=[{"Name": "description", "Values": ["x"]}]))
record("tag", lambda: ec2.create_tags(Resources=[session, rule], Tags=[{"Key": "team", "Value": ""}]))
record("tags", lambda: sorted((t["ResourceType"], t["Key"], t["Value"]) for p in ec2.get_paginator("describe_tags").paginate(
    Filters=[{"Name": "resource-id", "Values": [session, rule]}], PaginationConfig={"PageSize": 5}) for t in p["Tags"]))
record("untag", lambda: ec2.delete_tags(Resources=[session, rule], Tags=[{"Key": "team"}]))
group = record("group", lambda: ec2.create_security_group(GroupName="sensor", Description="vxlan"))["GroupId"]
record("authorize", lambda: ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[
    {"IpProtocol": "udp", "FromPort": 4789, "ToPort": 4789, "IpRanges": [{"CidrIp": "10.77.0.0/16", "Description": "vxlan"}]}]))
record("groups", lambda: ec2.describe_security_groups(Filters=[{"Name": "ip-permission.from-port", "Values": ["4789"]}]))
record("revoke", lambda: ec2.revoke_security_group_ingress(GroupId=group, IpProtocol="udp", FromPort=4789, ToPort=4789, CidrIp="10.77.0.0/16"))
record("delete group", lambda: ec2.delete_security_group(GroupId=group))
record("in use", lambda: ec2.delete_traffic_mirror_target(TrafficMirrorTargetId=balanced))
record("dry run", lambda: ec2.delete_traffic_mirror_session(TrafficMirrorSessionId=session, DryRun=True))
for s in ec2.describe_traffic_mirror_sessions()["TrafficMirrorSessions"]:
    ec2.delete_traffic_mirror_session(TrafficMirrorSessionId=s["TrafficMirrorSessionId"])
record("delete rule", lambda: ec2.delete_traffic_mirror_filter_rule(TrafficMirrorFilterRuleId=rule))
record("delete filter", lambda: ec2.delete_traffic_mirror_filter(TrafficMirrorFilterId=mirror_filter))
record("delete target", lambda: ec2.delete_traffic_mirror_target(TrafficMirrorTargetId=target))
record("delete again", lambda: ec2.delete_traffic_mirror_target(TrafficMirrorTargetId=target))
record("left", lambda: ec2.describe_traffic_mirror_sessions())
json.dump(steps, sys.stdout)

"""Calls a front door with boto3 and prints what came of it as JSON.

Usage: boto3_round.py ENDPOINT KEY SECRET. Every result is a name and either the
answer without its metadata or the error as "status code message".
"""
import datetime
import json
import sys
import urllib.request

import boto3
import botocore.auth
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, key, secret = sys.argv[1:4]
firewall = "arn:aws:network-firewall:eu-west-1:000000000000:firewall/gateway"
operation = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
results = {}


def client(service, key=key, secret=secret, region="eu-west-1", token=None, **config):
    config = Config(retries={"total_max_attempts": 1}, **config)
    return boto3.client(service, endpoint_url=endpoint, region_name=region, aws_access_key_id=key,
                        aws_secret_access_key=secret, aws_session_token=token, config=config)


def record(name, call):
    try:
        answer = call()
        if isinstance(answer, dict):
            answer.pop("ResponseMetadata", None)
        results[name] = answer
    except ClientError as e:
        error = e.response["Error"]
        results[name] = f"{e.response['ResponseMetadata']['HTTPStatusCode']} {error['Code']} {error['Message']}"


nfw, ec2, sts = client("network-firewall"), client("ec2"), client("sts")
address = {"AddressDefinition": "10.0.0.0/8"}
record("start", lambda: nfw.start_flow_capture(
    FirewallArn=firewall, AvailabilityZone="eu-west-1a", MinimumFlowAgeInSeconds=60,
    FlowFilters=[{"SourceAddress": address, "DestinationAddress": address, "SourcePort": "ANY",
                  "DestinationPort": "443", "Protocols": ["6"]}]))
record("describe", lambda: nfw.describe_flow_operation(FirewallArn=firewall, FlowOperationId=operation))
record("pages", lambda: [len(p["Flows"]) for p in nfw.get_paginator("list_flow_operation_results").paginate(
    FirewallArn=firewall, FlowOperationId=operation, PaginationConfig={"PageSize": 100})])
record("flow", lambda: nfw.list_flow_operation_results(
    FirewallArn=firewall, FlowOperationId=operation, MaxResults=1)["Flows"][0])
record("firewall", lambda: nfw.describe_firewall(FirewallName="gateway")["FirewallStatus"]["Status"])
record("validation", lambda: nfw.describe_firewall(FirewallName="a b"))
record("empty", lambda: nfw.start_flow_flush(FirewallArn=firewall, FlowFilters=[]))
record("interfaces", lambda: [n["NetworkInterfaceId"] for n in ec2.describe_network_interfaces()["NetworkInterfaces"]])
record("instances", lambda: [i["Tags"][0]["Value"] for p in ec2.get_paginator("describe_instances").paginate(
    PaginationConfig={"PageSize": 5}) for r in p["Reservations"] for i in r["Instances"]])
record("types", lambda: ec2.describe_instance_types()["InstanceTypes"][0]["Hypervisor"])
record("subnets", lambda: ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["cli*"]}])["Subnets"][0]["CidrBlock"])
record("none", lambda: ec2.describe_subnets(Filters=[{"Name": "subnet-id", "Values": []}])["Subnets"])
record("vpcs", lambda: ec2.describe_vpcs()["Vpcs"][0]["Tags"] if "Tags" in ec2.describe_vpcs()["Vpcs"][0] else [])
record("zones", lambda: [z["ZoneId"] for z in ec2.describe_availability_zones()["AvailabilityZones"]])
record("regions", lambda: ec2.describe_regions()["Regions"][0]["RegionName"])
record("missing", lambda: ec2.describe_instances(InstanceIds=["i-00000000000000fff"]))
record("dry run", lambda: ec2.describe_vpcs(DryRun=True))
record("presigned", lambda: urllib.request.urlopen(
    ec2.generate_presigned_url("describe_vpcs", HttpMethod="GET")).status)
record("identity", lambda: sts.get_caller_identity())

calls = {
    "network-firewall": lambda c: c.list_firewalls(),
    "ec2": lambda c: c.describe_vpcs(),
    "sts": lambda c: c.get_caller_identity(),
}
for service, call in calls.items():
    record(f"{service} unsigned", lambda: call(client(service, signature_version=UNSIGNED)))
    record(f"{service} wrong secret", lambda: call(client(service, secret="wrong")))
    record(f"{service} unknown key", lambda: call(client(service, key="AKIDOTHER")))
    record(f"{service} wrong region", lambda: call(client(service, region="us-east-1")))
    record(f"{service} session token", lambda: call(client(service, token="token")))

now = botocore.auth.get_current_datetime
botocore.auth.get_current_datetime = lambda: now() - datetime.timedelta(minutes=16)
for service, call in calls.items():
    record(f"{service} stale", lambda: call(client(service)))
json.dump(results, sys.stdout, default=lambda moment: moment.timestamp())

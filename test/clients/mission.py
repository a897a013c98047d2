"""The call of the API reference, in unmodified boto3: every member of the request,
then describe and the paginator. Prints one JSON object."""

import json
import sys
import time

import boto3

arn, zone, age, filters = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
client = boto3.client("network-firewall")

started = client.start_flow_capture(
    FirewallArn=arn,
    AvailabilityZone=zone,
    MinimumFlowAgeInSeconds=age,
    FlowFilters=filters,
)
assert started["FirewallArn"] == arn, started
assert started["FlowOperationStatus"] in ("IN_PROGRESS", "COMPLETED"), started
operation = started["FlowOperationId"]

deadline = time.monotonic() + 60
while True:
    described = client.describe_flow_operation(FirewallArn=arn, FlowOperationId=operation)
    if described["FlowOperationStatus"] != "IN_PROGRESS":
        break
    assert time.monotonic() < deadline, "the operation does not end"
    time.sleep(0.02)

pages = client.get_paginator("list_flow_operation_results").paginate(
    FirewallArn=arn, FlowOperationId=operation, PaginationConfig={"PageSize": 100}
)
flows = [flow for page in pages for flow in page["Flows"]]
listed = [
    o["FlowOperationId"]
    for page in client.get_paginator("list_flow_operations").paginate(FirewallArn=arn)
    for o in page["FlowOperations"]
]
assert operation in listed, listed
print(json.dumps({"described": described, "flows": flows}, default=str))

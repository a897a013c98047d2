"""Prints the request parameters of EC2 operations as botocore's copy of the service
model puts them on the wire: a JSON object from operation to sorted names, in which
N stands for a position in a list."""
import json
import sys

import botocore.loaders

model = botocore.loaders.Loader().load_service_model("ec2", "service-2")
shapes = model["shapes"]


def names(shape, prefix):
    shape = shapes[shape]
    if shape["type"] == "list":
        yield from names(shape["member"]["shape"], prefix + ".N")
    elif shape["type"] == "structure":
        for name, member in shape["members"].items():
            name = member.get("queryName") or member.get("locationName", name)
            yield from names(member["shape"], f"{prefix}.{name[0].upper()}{name[1:]}")
    else:
        yield prefix[1:]


json.dump({op: sorted(names(model["operations"][op]["input"]["shape"], "")) for op in sys.argv[1:]}, sys.stdout)

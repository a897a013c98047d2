"""Prints the request members of Network Firewall operations as botocore's copy of
the service model has them: a JSON object from "Operation.Member.Member" to its type
and constraints."""
import json
import sys

import botocore.loaders

model = botocore.loaders.Loader().load_service_model("network-firewall", "service-2")
shapes = model["shapes"]
members = {}


def constraints(name):
    shape = shapes[name]
    text = "".join(f" {k}={shape[k]}" for k in ("min", "max", "pattern") if k in shape)
    return text + (" enum=" + ",".join(shape["enum"]) if "enum" in shape else "")


def walk(path, structure):
    for name, member in structure["members"].items():
        shape = shapes[member["shape"]]
        element = member["shape"]
        text = shape["type"]
        if name in structure.get("required", []):
            text = "required " + text
        text += constraints(element)
        if shape["type"] == "list":
            element = shape["member"]["shape"]
            text += " of" + constraints(element)
        elif shape["type"] == "map":
            text += " of" + constraints(shape["key"]["shape"])
            element = shape["value"]["shape"]
        members[f"{path}.{name}"] = text
        if shapes[element]["type"] == "structure":
            walk(f"{path}.{name}", shapes[element])


for operation in sys.argv[1:]:
    walk(operation, shapes[model["operations"][operation]["input"]["shape"]])
json.dump(members, sys.stdout)

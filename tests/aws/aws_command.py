"""The calls of the AWS command line that ``terraform/rollout.sh`` makes, by boto3: ``aws SERVICE OPERATION --…``.

The command itself is no package of this project; its grammar is regular: an option for each parameter, JSON where it is
no plain value, `--query` in JMESPath, and for `invoke` a file that takes the answer.
"""

import json
import sys

import boto3
import jmespath
from botocore import xform_name


def main(service: str, operation: str, *words: str) -> None:
    """Make one call, and print what it answers."""
    client = boto3.client(service)
    method = operation.replace("-", "_")
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method]).input_shape
    parameters = {xform_name(name, "-"): name for name in shape.members}
    arguments, query, file, rest = {}, "@", None, list(words)
    while rest:
        if not rest[0].startswith("--"):
            file = rest.pop(0)
            continue
        option, values = rest.pop(0)[2:], []
        while rest and not rest[0].startswith("--") and (not values or option.endswith("s")):
            values.append(rest.pop(0))
        if option == "query":
            query = values[0]
        elif option in parameters:
            member = shape.members[parameters[option]]
            if member.type_name == "list":
                arguments[parameters[option]] = values
            else:
                arguments[parameters[option]] = json.loads(values[0]) if member.type_name == "structure" else values[0]
    answer = getattr(client, method)(**arguments)
    if file:
        with open(file, "wb") as taken:
            taken.write(answer["Payload"].read())
    found = jmespath.search(query, answer)
    print("\t".join(found) if isinstance(found, list) else found)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Checks what no schema knows of the manifest: that its parts name each other rightly."""

import sys

import yaml


def unique(loader, node, deep=False):
    """A key that stands twice is a slip that YAML readers pass over in silence."""
    keys = [loader.construct_object(key, deep=deep) for key, _ in node.value]
    if len(keys) != len(set(keys)):
        sys.exit(f"a key stands twice among {keys} at {node.start_mark}")
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


class Loader(yaml.SafeLoader):
    """The safe loader, refusing doubled keys."""


Loader.add_constructor("tag:yaml.org,2002:map", lambda loader, node: unique(loader, node, True))

with open(sys.argv[1]) as file:
    objects = {each["kind"]: each for each in yaml.load_all(file, Loader)}
stateful, service = objects["StatefulSet"], objects["Service"]
spec, pod = stateful["spec"], stateful["spec"]["template"]
name, governing = stateful["metadata"]["name"], service["metadata"]["name"]
port = service["spec"]["ports"][0]["port"]
container = pod["spec"]["containers"][0]

wanted = [f"{name}-{i}.{governing}:{port}" for i in range(spec["replicas"])]
hosts = objects["ConfigMap"]["data"]["hosts.txt"].split()
volumes = {each["name"] for each in pod["spec"]["volumes"]}
checks = {
    f"hosts.txt has {hosts} and should have {wanted}": hosts == wanted,
    "the StatefulSet's serviceName is not the Service": spec["serviceName"] == governing,
    "the StatefulSet does not select its own pods": spec["selector"]["matchLabels"] == pod["metadata"]["labels"],
    "the Service does not select the pods": service["spec"]["selector"] == pod["metadata"]["labels"],
    "the container's port is not the Service's": container["ports"][0]["containerPort"] == port,
    "a mount names no volume": all(each["name"] in volumes for each in container["volumeMounts"]),
    "a secret stands in the environment": not any("secretKeyRef" in str(each) for each in container["env"]),
}
wrong = [message for message, holds in checks.items() if not holds]
sys.exit("; ".join(wrong) if wrong else 0)

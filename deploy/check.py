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
    objects = {(each["kind"], each["metadata"]["name"]): each for each in yaml.load_all(file, Loader)}
only = {kind: each for (kind, _), each in objects.items() if kind != "ConfigMap"}
stateful, service = only["StatefulSet"], only["Service"]
spec, pod = stateful["spec"], stateful["spec"]["template"]
name, governing = stateful["metadata"]["name"], service["metadata"]["name"]
port = service["spec"]["ports"][0]["port"]
container = pod["spec"]["containers"][0]

wanted = [f"{name}-{i}.{governing}:{port}" for i in range(spec["replicas"])]
hosts = objects["ConfigMap", "stillroom-hosts"]["data"]["hosts.txt"].split()
volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
mounts = {each["mountPath"]: each for each in container["volumeMounts"]}

settings = objects["ConfigMap", "stillroom-models"]["data"]
registry, cache, cache_bytes_max = (
    settings[f"STILLROOM__MODELS__{field}"] for field in ("REGISTRY", "CACHE", "CACHE_BYTES_MAX")
)
cache_mount = mounts.get(cache, {})
cache_volume = volumes.get(cache_mount.get("name"), {}).get("emptyDir") or {}
cache_gib = cache_volume.get("sizeLimit", "0Gi").removesuffix("Gi")
checks = {
    f"hosts.txt has {hosts} and should have {wanted}": hosts == wanted,
    "the StatefulSet's serviceName is not the Service": spec["serviceName"] == governing,
    "the StatefulSet does not select its own pods": spec["selector"]["matchLabels"] == pod["metadata"]["labels"],
    "the Service does not select the pods": service["spec"]["selector"] == pod["metadata"]["labels"],
    "the container's port is not the Service's": container["ports"][0]["containerPort"] == port,
    "a mount names no volume": all(each["name"] in volumes for each in container["volumeMounts"]),
    "a secret stands in the environment": "secretRef" not in str(container["envFrom"])
    and not any("secretKeyRef" in str(each) for each in container["env"]),
    "the settings of stillroom-models are not in the environment": container["envFrom"]
    == [{"configMapRef": {"name": "stillroom-models"}}],
    f"the registry {registry} is not one for all pods; name a bucket": registry.startswith("s3://"),
    f"no volume that can be written is mounted at the cache {cache}": bool(cache_volume)
    and not cache_mount.get("readOnly", False),
    f"the volume at {cache} has {cache_gib} GiB, which may not hold {cache_bytes_max} bytes": int(cache_gib) << 30
    > int(cache_bytes_max),
}
wrong = [message for message, holds in checks.items() if not holds]
sys.exit("; ".join(wrong) if wrong else 0)

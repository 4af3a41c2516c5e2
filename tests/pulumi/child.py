"""A run of the engine in a process of its own, which a test kills.

usage: python -m tests.pulumi.child FOLDER COUNT TEXT; the engine's environment is this process's.
"""

import os
import sys
from pathlib import Path

import pulumi
from pulumi_kubernetes import Provider
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace

from tests.pulumi.engine import Engine, up

MANAGER = {"pulumi.com/patchFieldManager": "dap"}
OWNER = {"app.kubernetes.io/managed-by": "dap"}


def program(count: int, text: str, upsert: bool = True) -> None:
    """A namespace and ConfigMaps in it, under names and a field manager that every run gives."""
    provider = Provider("cluster", upsert_existing_objects=upsert)
    space = Namespace(
        "space",
        metadata={"name": "space", "labels": OWNER, "annotations": MANAGER},
        opts=pulumi.ResourceOptions(provider=provider),
    )
    for number in range(count):
        ConfigMap(
            f"map-{number}",
            metadata={
                "name": f"map-{number}",
                "namespace": space.metadata.name,
                "labels": OWNER,
                "annotations": MANAGER,
            },
            data={"text": text},
            opts=pulumi.ResourceOptions(parent=space),
        )


def variables() -> dict[str, str]:
    """What of this process's environment is the engine's."""
    return {key: value for key, value in os.environ.items() if key.startswith("PULUMI_")}


if __name__ == "__main__":
    place, count, text = sys.argv[1:]
    up(Engine(Path(place), variables()).stack(lambda: program(int(count), text)), parallel=8)

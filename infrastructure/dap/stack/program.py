"""The program: a platform's components in its cluster."""

from __future__ import annotations

import asyncio

import pulumi
from pulumi_kubernetes import Provider

from dap.stack.components import Application, Space, Volumes
from dap.stack.model import PlatformArgs


async def platform(args: PlatformArgs, context: str) -> None:
    """Declare a platform to Pulumi's engine, which runs this.

    Args:
        args: its objects.
        context: of the kubeconfig that the engine's environment names.
    """
    provider = Provider(
        "cluster",
        context=context,
        # Not the file, which each operator has elsewhere: the same context is the same cluster.
        cluster_identifier=context,
        enable_server_side_apply=True,
        # What changes in them is seen by a digest, and pods that run keep what they have mounted.
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
        # What a run made that was cut off, and what a destroy left, is taken over.
        upsert_existing_objects=True,
    )
    space = Space(args.space, providers=[provider])
    # Volumes need nothing but the namespace, so that all else goes where they are kept; new ones
    # come after a quota that lets them in.
    volumes = Volumes(args.volumes, [space.namespace, *space.quotas], providers=[provider])
    made = {
        each.name: Application(each, [space.namespace], providers=[provider])
        for each in args.applications
    }
    naming = made.pop(args.nameserver, None)
    first: list[pulumi.Resource] = list(space.rules)
    address = None
    if naming is not None:
        # It must answer before others start, of which some look names up but once; and before it
        # answers, it looks for the entry. So all wait for it alone, and it for all that they need.
        names = [service for each in made.values() for service in each.services]
        first = [naming.run([*space.rules, *names], None, awaited=True)]
        address = naming.address
    for each in made.values():
        each.run([*first, *(volumes.claims[name] for name in each.mounted)], address)
    # What has begun, the SDK awaits; where nothing has, it asks over and over until the run's end,
    # which takes a processor.
    await asyncio.sleep(0)

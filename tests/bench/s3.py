"""Objects put and got: through the proxy, and straight to the store."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]

from demo.access import SYSTEM_CA
from demo.project import REPOSITORY
from tests.bench.bench import Bench
from tests.bench.figure import Baseline, Figure
from tests.bench.running import Running
from tests.bench.timing import interleave, rate
from tests.bench.ways import ways

SMALL, SMALL_CALLS = 4 * 1024, 50
LARGE_MIB = 64
AT_LEAST = 0.85
PREFIX = "bench/"
NOTE = "boto3, one client; direct: without TLS; both sign what they send"

# boto3 signs what it sends without TLS and not what it sends over it: here it does so both times.
CONFIG = Config(
    signature_version="s3v4",
    s3={"addressing_style": "path", "payload_signing_enabled": True},
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    retries={"total_max_attempts": 1},
)


def client(platform: Running, url: str) -> Any:
    """Make a client of the store at an address, as the first user."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=platform.access.user,
        aws_secret_access_key=platform.access.password,
        verify=str(SYSTEM_CA),
        config=CONFIG,
    )


def put(store: Any, name: str, body: bytes) -> None:
    """Put an object into the project's bucket."""
    store.put_object(Bucket=REPOSITORY, Key=PREFIX + name, Body=body)


def get(store: Any, name: str, body: bytes) -> None:
    """Get an object of the project's bucket whole.

    Raises:
        RuntimeError: it has not the length of what was put.
    """
    got = store.get_object(Bucket=REPOSITORY, Key=PREFIX + name)["Body"].read()
    if len(got) != len(body):
        raise RuntimeError(f"{name}: {len(got)} bytes came back of {len(body)}")


def compare(bench: Bench, stores: dict[str, Any], body: bytes, times: int) -> None:
    """Put and get an object by either way.

    Args:
        bench: gets the figures.
        stores: client of each way.
        body: the object; its size chooses the unit.
        times: how often in a round.
    """
    small = len(body) == SMALL
    size, unit, factor = (
        ("4 KiB", "objects/s", 1) if small else (f"{LARGE_MIB} MiB", "MiB/s", LARGE_MIB)
    )
    actions: dict[str, Callable[[Any, str, bytes], None]] = {"put": put, "get": get}
    for verb, action in actions.items():
        ways_ = {
            way: functools.partial(rate, functools.partial(action, store, size, body), times)
            for way, store in stores.items()
        }
        for way in ways_.values():
            way()
        values = {
            way: [value * factor for value in rates]
            for way, rates in interleave(bench.rounds, ways_).items()
        }
        baseline = Baseline("direct", values["direct"], AT_LEAST)
        bench.add(Figure(f"{verb} {size}", unit, values["proxy"], NOTE, baseline=baseline))


def measure(bench: Bench) -> None:
    """Put and get small and large objects, one client at a time."""
    platform = bench.platform
    with ways(platform, "s3") as way:
        stores = {"proxy": client(platform, way.proxy), "direct": client(platform, way.direct)}
        try:
            compare(bench, stores, os.urandom(SMALL), SMALL_CALLS)
            compare(bench, stores, os.urandom(LARGE_MIB * 1024**2), 1)
        finally:
            store = stores["direct"]
            found = store.list_objects_v2(Bucket=REPOSITORY, Prefix=PREFIX).get("Contents", [])
            for entry in found:
                store.delete_object(Bucket=REPOSITORY, Key=entry["Key"])

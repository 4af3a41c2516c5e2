"""Objects put and got: through the proxy, and straight to the store."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from demo.access import SYSTEM_CA, await_result
from demo.project import REPOSITORY
from tests.bench.bench import Bench
from tests.bench.figure import Baseline, Figure
from tests.bench.running import Running, archive, bridge_address, container, resolving
from tests.bench.timing import interleave, rate
from tests.bench.ways import ways
from tests.certificates import authority, key_pem, pem, server

SMALL, SMALL_CALLS = 4 * 1024, 50
LARGE_MIB = 64
AT_LEAST = 0.85
PREFIX = "bench/"
NOTE = "boto3, one client; direct: without TLS; all sign what they send"
NOTE_TLS = "what is left when the client's own TLS is in both: the price of the proxy"
UID = 11002  # that the image runs as
START_S = 30

# boto3 signs what it sends without TLS and not what it sends over it: here it does so both times.
CONFIG = Config(
    signature_version="s3v4",
    s3={"addressing_style": "path", "payload_signing_enabled": True},
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    retries={"total_max_attempts": 1},
)


def client(url: str, user: str, password: str, trusted: Path = SYSTEM_CA) -> Any:
    """Make a client of the store at an address."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=user,
        aws_secret_access_key=password,
        verify=str(trusted),
        config=CONFIG,
    )


@contextlib.contextmanager
def tls_store(platform: Running) -> Iterator[Any]:
    """A client of the image's store alone, which serves TLS itself; its data is gone at the end."""
    name, password = "store.bench.invalid", secrets.token_hex(16)
    root = authority("bench")
    certificate = server([name], root)
    files = {
        "public.crt": pem([certificate]).encode(),
        "private.key": key_pem(certificate).encode(),
        "password": password.encode(),
    }
    command = ["minio", "server", "--quiet", "--certs-dir=/tmp", "--address=:9000", "/data"]
    login = {
        "MINIO_ROOT_USER": "bench",
        "MINIO_ROOT_PASSWORD_FILE": "/tmp/password",
        "MINIO_UPDATE": "off",
    }
    image = platform.image("minio")
    with (
        tempfile.TemporaryDirectory() as folder,
        container(
            platform.engine, image, command=command, environment=login, mem_limit="1g"
        ) as made,
    ):
        trusted = Path(folder) / "ca.pem"
        trusted.write_text(pem([root]))
        made.put_archive("/tmp", archive(files, UID))
        made.start()
        with resolving({name: bridge_address(made)}):
            store = client(f"https://{name}:9000", "bench", password, trusted)

            def well() -> bool | None:
                try:
                    store.create_bucket(Bucket=REPOSITORY)
                except (BotoCoreError, ClientError):
                    return None
                return True

            await_result("the bare store", well, START_S)
            yield store


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


def compare(bench: Bench, stores: dict[str, Any], body: bytes, rounds: int, times: int) -> None:
    """Put and get an object by either way.

    Args:
        bench: gets the figures.
        stores: client of each way.
        body: the object; its size chooses the unit.
        rounds: runs of each way.
        times: how often in a run.
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
            for way, rates in interleave(rounds, ways_).items()
        }
        what = f"{verb} {size}"
        direct = Baseline("direct", values["direct"], AT_LEAST)
        tls = Baseline("bare MinIO with TLS of its own", values["tls"])
        bench.add(
            Figure(what, unit, values["proxy"], NOTE, baseline=direct),
            Figure(what, unit, values["proxy"], NOTE_TLS, baseline=tls),
        )


def measure(bench: Bench) -> None:
    """Put and get small and large objects, one client at a time."""
    platform = bench.platform
    login = platform.access.user, platform.access.password
    with ways(platform, "s3") as way, tls_store(platform) as tls:
        stores = {
            "proxy": client(way.proxy, *login),
            "direct": client(way.direct, *login),
            "tls": tls,
        }
        try:
            compare(bench, stores, os.urandom(SMALL), bench.rounds, SMALL_CALLS)
            compare(bench, stores, os.urandom(LARGE_MIB * 1024**2), bench.repeats, 1)
        finally:
            store = stores["direct"]
            found = store.list_objects_v2(Bucket=REPOSITORY, Prefix=PREFIX).get("Contents", [])
            for entry in found:
                store.delete_object(Bucket=REPOSITORY, Key=entry["Key"])

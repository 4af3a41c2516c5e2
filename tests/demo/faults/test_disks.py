"""Rows 2 and 3: a full disk under Postgres, and under the object store in mid-upload."""

import random
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from docker.errors import APIError

from demo.access import await_result
from demo.project import REPOSITORY
from tests.demo.conftest import Platform, privileged
from tests.demo.faults.ledger import Connection, Ledger, check_files, connect, query
from tests.demo.faults.record import keep
from tests.demo.faults.support import Twin, await_health, health, s3, twin
from tests.demo.faults.test_jobs import ended, heads, push
from tests.demo.test_pipelines import Branch

DATABASE_MIB, ROOM_MIB, RECOVERY_S = 400, 96, 90
NO_SPACE = "No space left on device"
ROW_BYTES = 64 * 1024


def tree_secret(platform: Platform, service: str, name: str) -> str:
    return privileged("cat", f"/srv/dap/{platform.name}/secrets/{service}/{service}/{name}").strip()


@pytest.mark.parametrize("service", ["postgres-data"])
def test_a_full_disk_of_a_database(
    platform: Platform, tmp_path: Path, chance: random.Random, service: str
) -> None:
    password = tree_secret(platform, service, "admin-password")
    with twin(platform, service, "/var/lib/postgresql", DATABASE_MIB, tmp_path / "disk") as small:
        small.container.start()
        await_health(small.container, "healthy", 60)
        address = small.address

        def open_connection() -> Connection:
            return connect(
                platform, user="platform_admin", password=password, database="faults",
                hostaddr=address,
            )  # fmt: skip

        small.execute("createdb", "-h", "/tmp", "-U", "postgres", "-O", "platform_admin", "faults")
        small.fill(ROOM_MIB)
        row = chance.randbytes(ROW_BYTES)
        with Ledger(open_connection, "faults", payload=lambda: row) as ledger:
            full = await_result("a full disk", lambda: first_refusal(ledger), 120)
            await_result("an alert", lambda: alert(small) or None, 60)
            said = alert(small)
            await_result("no room for its log", lambda: not goes_on(small) or None, 120, 0.1)
            await_result("its stop", lambda: stopped(small) or None, 30, 0.1)
            at_full = len(ledger.acknowledged)
            moment = time.monotonic()
            small.free()
            up = ledger.recovery(moment, RECOVERY_S)
            await_health(small.container, "healthy", 60)
            ledger.stop()
            lost = ledger.lost()
        assert lost == set()
        assert NO_SPACE in small.container.logs().decode()
        checked = check_files(small.execute)
    keep(
        2,
        f"the disk of Postgres ({small.kind}, {DATABASE_MIB} MiB) full under two writers",
        "clean stop, clear alert; recovers once freed",
        acknowledged=len(ledger.acknowledged),
        acknowledged_before_full=at_full,
        client_was_told=str(full).splitlines()[0],
        alert=said,
        lost=len(lost),
        writes_again_after_freed_s=round(up, 1),
        databases_checked=checked,
    )


def first_refusal(ledger: Ledger) -> psycopg.Error | None:
    """What a writer was told first once the disk is full for good."""
    return ledger.errors[0] if len(ledger.errors) >= 10 else None


def stopped(small: Twin) -> bool:
    """Whether Postgres stopped for want of room for its write-ahead log, and said so."""
    lines = small.container.logs().decode().splitlines()
    return any("PANIC" in line and NO_SPACE in line for line in lines)


def goes_on(small: Twin) -> bool:
    """Let Postgres begin another file of its write-ahead log; whether it could."""
    try:
        query(small.execute, "SELECT pg_logical_emit_message(true, 'faults', 'full')")
        query(small.execute, "SELECT pg_switch_wal()")
    except (AssertionError, APIError):
        return False
    return True


def alert(small: Twin) -> str:
    """What an operator is told: the state, and the health check's words."""
    state = health(small.container)
    log = small.container.attrs["State"].get("Health", {}).get("Log") or [{"Output": ""}]
    if state == "healthy":
        return ""
    return f"{state}: {log[-1]['Output'].strip()}"


STORE_MIB, FREE_MIB, PART_MIB = 320, 96, 64
STORE = "minio"


@pytest.fixture
def small_store(platform: Platform, tmp_path: Path) -> Iterator[Twin]:
    """The object store with its data on a small disk, in the place of the platform's own."""
    original = platform.container(STORE)
    source = next(m["Name"] for m in original.attrs["Mounts"] if m["Destination"] == "/data")
    used = int(platform.execute(STORE, "du", "--summarize", "--block-size=1M", "/data").split()[0])
    size = STORE_MIB + used
    with twin(platform, STORE, "/data", size, tmp_path / "disk", aliases=(STORE,)) as small:
        original.stop()
        try:
            user = original.attrs["Config"]["User"]
            platform.docker.containers.run(
                original.attrs["Config"]["Image"],
                ["cp", "-a", "/from/.", "/data/"],
                user=user,
                network_mode="none",
                remove=True,
                volumes=[f"{source}:/from:ro", f"{small.volume}:/data"],
            )
            small.on_volume("sh", "-c", "[ ! -d /data/lost+found ] || rmdir /data/lost+found")
            small.container.start()
            await_health(small.container, "healthy", 60)
            yield small
        finally:
            small.container.stop()
            original.start()
            await_health(original, "healthy", 60)


def keys(store: Any, prefix: str) -> set[str]:
    found = store.list_objects_v2(Bucket=REPOSITORY, Prefix=prefix)
    return {entry["Key"] for entry in found.get("Contents", [])}


def put(store: Any, key: str, body: bytes) -> int:
    """Upload in one request; the HTTP status."""
    try:
        store.put_object(Bucket=REPOSITORY, Key=key, Body=body)
    except ClientError as error:
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
    return int(requests.codes["ok"])


def test_a_full_disk_of_the_object_store(
    platform: Platform, branch: Branch, small_store: Twin, chance: random.Random
) -> None:
    store = s3(platform)
    prefix = f"faults-{chance.randrange(10**6)}/"
    small = chance.randbytes(100_000)
    await_result("the small store", lambda: put(store, f"{prefix}early", small) == 200 or None, 30)
    small_store.fill(FREE_MIB)
    # Each has room alone, both have not: the disk is full in the middle.
    body = chance.randbytes(PART_MIB * 1024**2)
    with ThreadPoolExecutor(2) as pool:
        names = [f"{prefix}big-{n}" for n in range(2)]
        statuses = dict(
            zip(names, pool.map(lambda name: put(store, name, body), names), strict=True)
        )
    refused = {name: status for name, status in statuses.items() if status != 200}
    assert refused
    assert all(500 <= status < 600 for status in refused.values())
    assert keys(store, prefix) == {f"{prefix}early", *statuses} - set(refused)
    upload = f"import boto3; boto3.client('s3').upload_file('big', '{REPOSITORY}', '{prefix}job')"
    job = {
        "image": "$DAP_ENVIRONMENT_PYTHON",
        "script": [f"head -c {2 * FREE_MIB}M /dev/zero > big", f'python -c "{upload}"'],
    }
    [number] = push(branch, {"upload": job})
    pipeline = ended(platform, number, 120)
    log = platform.admin.pipeline(REPOSITORY, number, pipeline["jobs"][0]["log"]).text
    assert pipeline["status"] == "failed"
    assert pipeline["jobs"][0]["exit"] == 1
    # What the store says: before it writes a part, or in the middle of one.
    assert re.search("minimum free drive threshold|no space left on device", log), log[-500:]
    assert f"{prefix}job" not in keys(store, prefix)
    assert store.list_multipart_uploads(Bucket=REPOSITORY).get("Uploads", []) == []
    early = store.get_object(Bucket=REPOSITORY, Key=f"{prefix}early")["Body"].read()
    assert early == small
    moment = time.monotonic()
    small_store.free()
    await_result(
        "an upload again", lambda: put(store, f"{prefix}late", body) == 200 or None, 60, 0.2
    )
    again = time.monotonic() - moment
    branch.git("push", *heads(branch, 1, ""))
    keep(
        3,
        f"the object store's disk ({small_store.kind}, {FREE_MIB} MiB free) full: two uploads at "
        f"once of {PART_MIB} MiB, then a job's of {2 * FREE_MIB} MiB in parts",
        "5xx; no partial object listed; the job fails loudly",
        answers=sorted(statuses.values()),
        partial_objects=0,
        parts_left=0,
        job=f"{pipeline['status']}, exit {pipeline['jobs'][0]['exit']}",
        read_while_full="same bytes",
        uploads_again_after_freed_s=round(again, 1),
    )

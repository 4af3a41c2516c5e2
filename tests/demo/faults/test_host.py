"""Row 4: all that runs dies at once, and the engine restarts; all is well again, unaided."""

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from demo.access import Access, await_result
from demo.project import REPOSITORY
from tests import engine
from tests.demo.conftest import Platform, privileged
from tests.demo.faults.ledger import project_connection
from tests.demo.faults.record import FULL, keep
from tests.demo.faults.support import await_all_healthy, kill, s3
from tests.paths import ROOT

EXPECTED = "everything healthy again unaided; same data"
START = "from tests.unit.engine.modules import load; print(load('dap_engine').start())"


def data(platform: Platform) -> dict[str, Any]:
    """What the platform holds, as its users see it."""
    store = s3(platform)
    with project_connection(platform)() as connection:
        tables = connection.execute(
            "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname !~ '^(pg_|info)'"
        ).fetchall()
        rows = {
            str(table): connection.execute(
                psycopg.sql.SQL("SELECT count(*) FROM {}").format(
                    psycopg.sql.Identifier(*str(table).split("."))
                )
            ).fetchall()
            for table, *_ in sorted(tables)
        }
    run = platform.admin.run(platform.outcome.run["info"]["run_id"])
    return {
        "objects": sorted(
            (bucket["Name"], entry["Key"], entry["ETag"])
            for bucket in store.list_buckets()["Buckets"]
            for entry in store.list_objects_v2(Bucket=bucket["Name"]).get("Contents", [])
        ),
        "rows": rows,
        "run": run["data"],
        "branches": platform.project.git("ls-remote", "origin"),
        "pipeline": platform.admin.pipeline(REPOSITORY, platform.outcome.number).json(),
        "images": platform.admin.request("GET", "registry", "/v2/_catalog").status_code,
    }


@pytest.fixture(autouse=True)
def an_object(platform: Platform, chance: random.Random) -> Iterator[None]:
    """Have an object in the project's bucket."""
    store = s3(platform)
    store.put_object(Bucket=REPOSITORY, Key="faults-host", Body=chance.randbytes(2**20))
    yield
    store.delete_object(Bucket=REPOSITORY, Key="faults-host")


def well_again(platform: Platform, services: set[str], moment: float) -> float:
    """Wait until all is healthy and answers; seconds since the fault."""
    await_all_healthy(platform, services, 240)
    for route in platform.plan["routes"]:
        if route["health"]:
            name = route["hostname"].removesuffix(platform.domain).rstrip(".")
            who = platform.admin if route["auth"] == "proxy" else platform.anonymous

            def answers(
                who: Access = who, name: str = name, path: str = route["health"]
            ) -> bool | None:
                return who.request("GET", name, path).status_code == 200 or None

            await_result(f"{name}{route['health']}", answers, 30)
    return time.monotonic() - moment


def test_everything_dies_at_once(platform: Platform, chance: random.Random) -> None:
    before, started = data(platform), platform.started()
    containers = list(platform.containers().items())
    chance.shuffle(containers)
    moment = time.monotonic()
    for _, container in containers:
        kill(container)
    killing = time.monotonic() - moment
    took = well_again(platform, set(started), moment)
    again = platform.started()
    assert [name for name in started if again[name] == started[name]] == []
    after = data(platform)
    assert after == before
    keep(
        4,
        "SIGKILL of every container, in random order, as by a power cut",
        EXPECTED,
        containers=len(containers),
        killed_within_s=round(killing, 1),
        healthy_after_s=round(took, 1),
        same=f"{len(after['objects'])} objects, {len(after['rows'])} tables, run, branches, pages",
    )


def others(platform: Platform) -> list[str]:
    """Names of the containers here, running or not, that belong to something else."""
    label = "com.docker.compose.project"
    return [
        str(container.name)
        for container in platform.docker.containers.list(all=True)
        if container.labels.get(label) != platform.name
    ]


def engine_process() -> int:
    return int(privileged("cat", "/var/run/docker.pid").strip())


@pytest.fixture
def engine_alone() -> Iterator[None]:
    """Have no other test here use the engine."""
    if not FULL and not os.environ.get("CI"):
        pytest.skip("restarts this machine's Docker engine: only with CI=1 or DAP_FAULTS=full")
    with engine.to_oneself():
        yield


@pytest.mark.usefixtures("engine_alone")
def test_the_engine_restarts(platform: Platform) -> None:
    if others(platform):
        pytest.skip(f"would stop what is not this platform's: {', '.join(others(platform))}")
    before, started = data(platform), platform.started()
    old = engine_process()
    moment = time.monotonic()
    if Path("/run/systemd/system").is_dir():
        privileged("systemctl", "restart", "docker.service")
    else:
        privileged("kill", f"-{signal.SIGTERM.value}", str(old))
        await_result("the engine's end", lambda: not Path("/proc", str(old)).exists() or None, 90)
        # As an init would: nothing but the engine itself is started.
        privileged("env", "-C", str(ROOT), sys.executable, "-c", START)
    assert engine_process() != old
    took = well_again(platform, set(started), moment)
    again = platform.started()
    assert [name for name in started if again[name] == started[name]] == []
    assert data(platform) == before
    keep(
        4,
        "the engine stops with all it runs, and starts",
        EXPECTED,
        containers=len(started),
        healthy_after_s=round(took, 1),
        same="objects, tables, run, branches, pages",
    )

"""`make status` tells how the platform is, and every way in which it is not well."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container

from demo.access import await_result
from tests.demo.conftest import OTHER, Platform
from tests.programs import tried

# A service that nobody needs while it is broken.
VICTIM = "portal"


def planned(platform: Platform) -> set[str]:
    return {each["name"] for each in platform.plan["services"] if not each["task"]}


def told(platform: Platform) -> tuple[int, dict[str, Any]]:
    done = platform.dap("status", "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


@pytest.fixture
def victim(platform: Platform) -> Iterator[Container]:
    """A service's container; started anew and awaited afterwards."""
    container = platform.container(VICTIM)
    yield container
    container.reload()
    if container.status == "paused":
        container.unpause()
    container.restart(timeout=1)

    def well() -> bool | None:
        container.reload()
        return container.attrs["State"]["Health"]["Status"] == "healthy" or None

    await_result(f"health of {VICTIM}", well, 60)


def test_a_platform_that_is_well(platform: Platform) -> None:
    found = platform.project.make_json("status")
    assert (found["ok"], found["deployed"], found["platform"]) == (True, True, platform.name)
    rows = {row["service"]: row for row in found["services"]}
    assert set(rows) == planned(platform)
    assert {each["name"] for each in platform.plan["settings"]["workspaces"]} <= set(rows)
    for name, container in platform.containers().items():
        row = rows[name]
        assert (row["state"], row["health"], row["well"]) == ("running", "healthy", True)
        assert row["image"] == container.attrs["Config"]["Image"]
        assert row["digest"] == container.attrs["Image"]
        assert 0 < row["memory_used"] < row["memory_limit"]
        assert row["memory_limit"] == container.attrs["HostConfig"]["Memory"]
        assert row["cpu_percent"] >= 0
    addresses = {address for row in rows.values() for address in row["addresses"]}
    assert addresses == {
        *(route["url"] for route in platform.plan["routes"]),
        *(f"{each['hostname']}:{each['listen']}" for each in platform.plan["streams"]),
    }
    (host,) = {row["host"] for row in rows.values()}
    assert [(each["host"], each["days"] > 30) for each in found["certificates"]] == [
        (host, True)
    ] * 2
    assert all(disk["free"] > 0 for disk in found["disks"])


def test_the_processor_use_is_measured(platform: Platform) -> None:
    worker = platform.container(platform.plan["settings"]["workspaces"][0]["name"])
    loop = "until [ -e /tmp/enough ]; do :; done; rm /tmp/enough"
    worker.exec_run(["timeout", "90", "sh", "-c", loop], detach=True)
    try:
        # Idle it uses a tenth of a percent; a busy machine leaves it less than a core.
        await_result("a busy processor", lambda: use(platform, worker) > 3 or None, 60)
    finally:
        worker.exec_run(["touch", "/tmp/enough"])


def use(platform: Platform, container: Container) -> float:
    service = container.labels["com.docker.compose.service"]
    _, found = told(platform)
    return float(next(r["cpu_percent"] for r in found["services"] if r["service"] == service))


def test_it_reads_well_on_80_columns_and_tells_all_on_more(platform: Platform) -> None:
    narrow, wide = (platform.dap("status", columns=columns) for columns in (80, 220))
    assert (narrow.returncode, narrow.stderr) == (0, "")
    lines = narrow.stdout.splitlines()
    # What stands below the table is words, which a terminal breaks without harm to a path in them.
    assert max(map(len, lines[: lines.index("")])) <= 80
    assert lines[-1] == f"{platform.name}: all {len(planned(platform))} services are well"
    assert "JSON=1" in narrow.stdout
    first = {line.split()[0] for line in lines if line}
    assert planned(platform) <= first
    # An address is there to be copied: whole, on one line.
    words = narrow.stdout.split()
    assert all(route["hostname"] in words for route in platform.plan["routes"])
    image = platform.container(VICTIM).attrs["Config"]["Image"]
    assert image not in narrow.stdout
    assert image in wide.stdout
    assert platform.container(VICTIM).attrs["Image"].removeprefix("sha256:")[:12] in wide.stdout


def stop(container: Container) -> None:
    container.stop(timeout=1)


def pause(container: Container) -> None:
    container.pause()


@pytest.mark.parametrize(
    ("break_it", "state", "words"),
    [
        (stop, "exited", "is stopped since"),
        (pause, "paused", "is paused"),
    ],
)
def test_a_service_that_does_not_run(
    platform: Platform,
    victim: Container,
    break_it: Callable[[Container], None],
    state: str,
    words: str,
) -> None:
    break_it(victim)
    status, found = told(platform)
    assert (status, found["ok"], found["deployed"]) == (1, False, True)
    unwell = [row for row in found["services"] if not row["well"]]
    assert [(row["service"], row["state"]) for row in unwell] == [(VICTIM, state)]
    (finding,) = [each for each in found["findings"] if each["level"] == "problem"]
    assert finding["where"] == VICTIM
    assert words in finding["what"]
    assert finding["remedy"]
    shown = tried(platform.project.path, "make", "status")
    assert shown.returncode == 2  # make's own, whatever the status
    assert words in shown.stdout
    assert f"1 of {len(found['services'])} services not well" in shown.stdout.splitlines()[-1]


def test_a_process_that_was_killed_for_memory(platform: Platform, victim: Container) -> None:
    victim.exec_run(["sh", "-c", "head -c 1G /dev/zero | tail"])
    status, found = told(platform)
    assert status == 0  # it serves on
    (finding,) = [each for each in found["findings"] if each["where"] == VICTIM]
    assert finding["level"] == "warning"
    assert "for lack of memory (limit " in finding["what"]
    assert f"resources.{VICTIM}" in finding["remedy"]


def test_what_is_not_deployed(platform: Platform, other: Path) -> None:
    done = platform.dap("--project", str(other), "status")
    assert done.returncode == 2
    assert f"{OTHER} is not deployed here" in done.stdout
    assert "make deploy" in done.stdout
    as_json = platform.dap("--project", str(other), "status", "--json")
    assert as_json.returncode == 2
    assert (json.loads(as_json.stdout)["ok"], json.loads(as_json.stdout)["deployed"]) == (
        False,
        False,
    )

"""One host, three, ten and fifty: rendering, and deploys over SSH that change nothing."""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import yaml

from demo.access import await_result
from demo.project import ROOT, clean_environment, run
from tests.bench.bench import Bench
from tests.bench.figure import Baseline, Figure
from tests.bench.page import number
from tests.bench.simulated import SimulatedHost, record, recorded
from tests.bench.simulated import members as simulated
from tests.bench.timing import interleave, seconds
from tests.fleet.hosts import Fleet, FreshHost, Member, members
from tests.fleet.line import slow
from tests.fleet.platform import FleetPlatform
from tests.fleet.seed import copy

RENDERED = (1, 3, 10, 50)
MOST = 50
AT_MOST = 1.3  # of three hosts to one
SLOW_MS = 500
LOGS = ".dap/logs/*-deploy.log"
ONE = (Member("hub", 10, settings={"roles": ["service", "runner"], "slots": 1}, memory="8g"),)


def hosts_of(count: int) -> list[dict[str, Any]]:
    """A service host and runner hosts that are never reached."""
    return [
        {"name": f"h{n}", "address": f"192.0.2.{n + 1}", "roles": ["runner" if n else "service"]}
        for n in range(count)
    ]


def rendering(bench: Bench, source: Path, place: Path) -> None:
    """Time `dap render` for each number of hosts."""
    program = str(source / ".venv" / "bin" / "dap")
    ways = {}
    for count in RENDERED:
        root = place / f"hosts-{count}"
        unwanted = shutil.ignore_patterns(".venv", ".git", ".dap", "vault.yml")
        shutil.copytree(source, root, symlinks=True, ignore=unwanted)
        settings = yaml.safe_load((root / "platform.yml").read_text(encoding="utf-8"))
        settings |= {"hosts": hosts_of(count), "address": "192.0.2.1", "workspaces": []}
        (root / "platform.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        command = (program, "--project", str(root), "render", "--out", str(root / "trees"))
        run(*command)
        ways[str(count)] = lambda command=command: seconds(lambda: run(*command))
    values = interleave(bench.repeats, ways)
    one = Baseline("one host", values["1"])
    for count in RENDERED:
        against = None if count == 1 else one
        bench.add(
            Figure(f"`dap render`, hosts: {count}", "s", values[str(count)], baseline=against)
        )


def deploying(bench: Bench) -> None:
    """Time deploys that change nothing: of one host and of three by turns, then of more."""
    with fleet("bench-one", 201, ONE) as one, fleet("bench-many", 202, members(3)) as many:
        unchanged(one)
        unchanged(many)
        ways = {"one": lambda: unchanged(one), "three": lambda: unchanged(many)}
        values = interleave(bench.repeats, ways)
        alone = Baseline("one host", values["one"], at_most=AT_MOST)
        bench.add(
            Figure(
                *("`make deploy`, nothing to change, three hosts", "s", values["three"]),
                "over SSH: a service host and two runner hosts; the one host has both roles",
                baseline=alone,
            )
        )
        slow_host(bench, many)


def slow_host(bench: Bench, platform: FleetPlatform) -> None:
    """Time when the others are done where one host's line is slow."""
    runs = min(3, bench.repeats)
    usual = [max(ends(platform, ("hub", "r1"))) for _ in range(runs)]
    with slow(platform.fleet.hosts["r2"], SLOW_MS, 0) as by:
        found = [ends(platform, ("hub", "r1", "r2")) for _ in range(runs)]
    bench.add(
        Figure(
            *("one of three hosts slow: until the other two are done", "s"),
            [max(others) for *others, _ in found],
            f"what r2 sends takes {SLOW_MS} ms (by {by}); r2 itself is done after "
            f"{number(statistics.median(last for *_, last in found))} s",
            baseline=Baseline("none slow", usual),
        )
    )


def further(bench: Bench, platform: FleetPlatform) -> None:
    """Time three hosts, then ten, then fifty of which most have no engine."""
    fleet, answers = platform.fleet, recorded_answers(platform)
    three = Baseline("three hosts", [unchanged(platform) for _ in range(bench.repeats)])
    like = fleet.hosts["r2"].volume
    for member in members(10)[3:]:
        host = fleet.hosts[member.name] = FreshHost(fleet, member)
        host.create()
        # As if it had pulled what r2 did: images are not what is measured, nor fit ten times.
        copy(docker.from_env(), like, host.volume)
    grown(platform)
    values = [unchanged(platform) for _ in range(bench.repeats)]
    what = "`make deploy`, nothing to change, ten hosts"
    note = "all ten share this machine's cores with the controller"
    bench.add(Figure(what, "s", values, note, baseline=three))
    for name in [name for name in fleet.hosts if name not in ("hub", "r1", "r2")]:
        fleet.hosts.pop(name).remove()
    for member in simulated(3, MOST - 1):
        host = fleet.hosts[member.name] = SimulatedHost(fleet, member, answers)
        host.create()
    grown(platform)
    values = [unchanged(platform) for _ in range(min(3, bench.repeats))]
    what = f"`make deploy`, nothing to change, {MOST} hosts"
    note = (
        f"{MOST - 3} of them simulated, without engines: sshd, Python, recorded answers as docker; "
        "all share this machine's cores with the controller"
    )
    bench.add(Figure(what, "s", values, note, baseline=three))


def recorded_answers(platform: FleetPlatform) -> str:
    """What Docker's client says on a runner host in a deploy that changes nothing."""
    host = platform.fleet.hosts["r2"]
    record(host)
    unchanged(platform)
    return recorded(host)


def grown(platform: FleetPlatform) -> None:
    """Deploy to all hosts that there are."""
    platform.change(hosts=[host.settings for host in platform.fleet.hosts.values()])
    deploy(platform)


@contextlib.contextmanager
def fleet(name: str, network: int, wanted: tuple[Member, ...]) -> Iterator[FleetPlatform]:
    """A platform on fresh hosts, deployed; gone at the end."""
    made = FleetPlatform.on(Fleet(name, network, wanted))
    try:
        made.scaffold(list(made.fleet.hosts), [])
        made.fleet.up()
        made.seed()
        deploy(made)
        yield made
    finally:
        made.fleet.down()
        made.project.forget_key()
        shutil.rmtree(made.fleet.directory)


def deploy(platform: FleetPlatform) -> list[Any]:
    """Deploy; what it changed.

    Raises:
        RuntimeError: it failed.
    """
    done = platform.deploy()
    if not done["ok"]:
        raise RuntimeError(f"deploy: {json.dumps(done['failures'])}")
    changes: list[Any] = done["changes"]
    return changes


def unchanged(platform: FleetPlatform) -> float:
    """Time a deploy in seconds.

    Raises:
        RuntimeError: it changed something.
    """
    began = time.perf_counter()
    changes = deploy(platform)
    if changes:
        raise RuntimeError(f"a deploy over an unchanged platform changed {changes}")
    return time.perf_counter() - began


def ends(platform: FleetPlatform, names: tuple[str, ...]) -> list[float]:
    """Deploy; when each of these hosts had its last step behind it, in seconds from the start."""
    root = platform.project.path
    earlier = set(root.glob(LOGS))
    began = time.perf_counter()
    with subprocess.Popen(
        [str(root / ".venv" / "bin" / "dap"), "deploy", "--json"],
        cwd=root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
    ) as process:
        log = await_result("the log", lambda: next(iter(set(root.glob(LOGS)) - earlier), None), 60)
        last: dict[str, float] = {}
        with log.open(encoding="utf-8") as lines:
            while True:
                over = process.poll() is not None
                for line in lines:
                    if line.startswith('{"event": "ok"'):
                        last[json.loads(line)["host"]] = time.perf_counter() - began
                if over:
                    break
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
    if process.returncode:
        raise RuntimeError(f"deploy: exit status {process.returncode}, see {log}")
    return [last[name] for name in names]


def measure(bench: Bench) -> None:
    """Time rendering and deploys."""
    place = ROOT / "build" / "bench-render"
    made = FleetPlatform.on(Fleet(place.name, 200, members(1)))
    try:
        made.scaffold(list(made.fleet.hosts), [])
        run("infrastructure/bootstrap", cwd=made.project.path)
        rendering(bench, made.project.path, place)
    finally:
        made.project.forget_key()
        shutil.rmtree(place)
    deploying(bench)


def measure_many(bench: Bench) -> None:
    """Time deploys to more hosts than a team begins with."""
    with fleet("bench-many", 202, members(3)) as many:
        further(bench, many)

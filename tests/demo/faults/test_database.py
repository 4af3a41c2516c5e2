"""Row 1: Postgres killed under writes; what was acknowledged is there, and soon it answers."""

import random
import time
from functools import partial
from typing import Any

import requests

from demo.access import Access, await_result
from demo.project import REPOSITORY
from tests.demo.conftest import Platform
from tests.demo.faults.ledger import Ledger, check_files, project_connection, query
from tests.demo.faults.record import FULL, count, keep
from tests.demo.faults.support import kill, median

UP_S = 30
# After so long a run the engine starts a container again at once; before, it doubles its delay.
FORGOTTEN_S = 10
EXPECTED = "no acknowledged commit lost; up in < 30 s; `pg_amcheck` clean"


def strike(platform: Platform, service: str, what: str, chance: random.Random) -> float:
    """Kill all of a Postgres server, its postmaster or one of its backends; when."""
    container = platform.container(service)
    run = partial(platform.execute, service)
    if what == "all":
        return kill(container)
    if what == "postmaster":
        pid = run("head", "-n", "1", "/var/lib/postgresql/17/postmaster.pid")
    else:
        busy = query(run, "SELECT pid FROM pg_stat_activity WHERE backend_type = "
                     "'client backend' AND pid <> pg_backend_pid()")  # fmt: skip
        pid = chance.choice(busy)[0]
    moment = time.monotonic()
    container.exec_run(["sh", "-c", f"kill -KILL {int(pid)}"])
    return moment


def started(platform: Platform, service: str) -> str:
    return platform.started().get(service, "")


def test_kills_of_the_database_of_projects(platform: Platform, chance: random.Random) -> None:
    service = "postgres-data"
    kills = ["all", "postmaster", "backend"] * count(1, 7)
    kills = kills[:20]
    recoveries = []
    before = started(platform, service)
    with Ledger(project_connection(platform), f"faults_{chance.randrange(10**6)}") as ledger:
        for what in kills:
            ledger.wait_for(chance.randrange(50, 200))
            seen = started(platform, service)
            moment = strike(platform, service, what, chance)
            recoveries.append(ledger.recovery(moment, UP_S))
            assert (started(platform, service) == seen) == (what == "backend")
            if FULL:
                ledger.go_on(FORGOTTEN_S)
        ledger.stop()
        assert started(platform, service) != before
        lost = ledger.lost()
        assert lost == set()
        # Each kill broke every connection.
        assert len(ledger.errors) >= len(kills)
        keep(
            1,
            "SIGKILL of Postgres for data under two writers, through the proxy's TLS stream",
            EXPECTED,
            kills=f"{len(kills)} (all its processes, the postmaster or a backend, in turn)",
            acknowledged=len(ledger.acknowledged),
            lost=len(lost),
            up_median_s=median(recoveries),
            up_max_s=round(max(recoveries), 1),
            databases_checked=check_files(partial(platform.execute, service)),
        )


def log_steps(access: Access, run: str, acknowledged: list[int], commits: int) -> None:
    """Log as many values as asked, one a request; keep which were acknowledged."""
    for _ in range(commits):
        step = len(acknowledged)
        body: dict[str, Any] = {"run_id": run, "key": "step", "value": step, "timestamp": step + 1}
        access.mlflow("runs/log-metric", **body, step=step)
        acknowledged.append(step)


def test_kills_of_the_database_of_services(platform: Platform, chance: random.Random) -> None:
    service = "postgres-service"
    kills = ["all", "postmaster", "backend"][: count(2, 3)] * count(1, 3)
    access = platform.admin
    experiment = access.mlflow(f"experiments/get-by-name?experiment_name={REPOSITORY}")
    number = experiment["experiment"]["experiment_id"]
    run = access.mlflow("runs/create", experiment_id=number)["run"]["info"]["run_id"]
    acknowledged: list[int] = []
    recoveries = []
    try:
        for what in kills:
            log_steps(access, run, acknowledged, chance.randrange(10, 30))
            moment = strike(platform, service, what, chance)

            def again() -> bool | None:
                try:
                    log_steps(access, run, acknowledged, 1)
                except requests.RequestException:
                    return None
                return True

            await_result("a value logged after the fault", again, UP_S, 0.1)
            recoveries.append(time.monotonic() - moment)
        found = access.mlflow(
            f"metrics/get-history?run_id={run}&metric_key=step&max_results={len(acknowledged) * 2}"
        )
        lost = set(acknowledged) - {int(metric["value"]) for metric in found["metrics"]}
        assert lost == set()
    finally:
        access.mlflow("runs/delete", run_id=run)
    keep(
        1,
        "SIGKILL of Postgres for services while MLflow logs into it",
        EXPECTED,
        kills=len(kills),
        acknowledged=len(acknowledged),
        lost=len(lost),
        up_median_s=median(recoveries),
        up_max_s=round(max(recoveries), 1),
        databases_checked=check_files(partial(platform.execute, service)),
    )

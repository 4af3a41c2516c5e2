"""Rows 4, 5, 6, 7 and 10 of the faults, where they meet several hosts."""

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from demo.access import await_result
from demo.flow import PIPELINE_ENDS
from demo.project import REPOSITORY
from tests.demo.faults.record import count, keep
from tests.fleet.hosts import FreshHost
from tests.fleet.line import cut, slow
from tests.fleet.platform import WORKSPACES, FleetPlatform
from tests.fleet.user import Client, Clone
from tests.programs import start_deploy

CUT_S = 60
GONE_S = 60
DELAY_MS, LOSS_PERCENT = 200, 5
BASE = "$DAP_ENVIRONMENT_BASE"
# Logs a metric each second; MLflow's client has to retry what does not get through.
LOGGING = (
    'python -c "import mlflow, threading, time\n'
    f"mlflow.set_experiment('{REPOSITORY}')\n"
    "with mlflow.start_run(run_name='{name}'):\n"
    "    end = time.monotonic() + {seconds}\n"
    "    step = 0\n"
    "    while time.monotonic() < end:\n"
    "        mlflow.log_metric('step', step, step=step)\n"
    "        step += 1\n"
    "        threading.Event().wait(1)\n"
    "    mlflow.log_param('steps', step)\n"
    '"'
)


@pytest.fixture(autouse=True)
def as_it_was(platform: FleetPlatform) -> Iterator[None]:
    """Leave settings and hosts as each test found them."""
    settings = platform.settings
    yield
    for host in platform.fleet.hosts.values():
        if host.container.status != "running":
            host.on()
    if platform.settings != settings:
        platform.change(**settings)
        assert platform.deploy()["ok"]
    await_well(platform)


def await_well(platform: FleetPlatform, timeout_s: float = 240) -> float:
    """Wait until every container of every host is healthy; seconds that it took."""
    began = time.monotonic()

    def look() -> bool | None:
        found = [
            state
            for host in platform.fleet.hosts.values()
            for state in engine_states(platform, host).values()
        ]
        return (bool(found) and set(found) == {"running healthy"}) or None

    await_result("health of all hosts", look, timeout_s)
    return time.monotonic() - began


def engine_states(platform: FleetPlatform, host: FreshHost) -> dict[str, str]:
    """States of a host's containers; while its engine starts, that it does."""
    try:
        return platform.states(host)
    except RuntimeError:
        return {"engine": "starting"}


def leftovers(host: FreshHost, number: int) -> list[str]:
    """What a pipeline left on a host's engine."""
    label = f"label=dap.pipeline={number}"
    found = []
    for kind in ("container ls -a", "volume ls", "network ls"):
        found += host.execute(*f"docker {kind} -q --filter {label}".split()).split()
    return found


def job_runs(clone: Clone, number: int, job: str) -> bool:
    """Whether a job has its container."""
    jobs = {each["name"]: each for each in clone.look(number).get("jobs", [])}
    return bool(jobs.get(job, {}).get("status") == "running")


def await_job(clone: Clone, number: int, job: str, host: FreshHost) -> None:
    """Wait until a job's container runs on a host."""

    def look() -> bool | None:
        label = f"label=dap.pipeline={number}"
        found = host.execute(*f"docker ps -q --filter {label}".split()).split()
        return (bool(found) and job_runs(clone, number, job)) or None

    await_result(f"{job} of pipeline {number} on {host.name}", look, 90)


def test_the_service_host_loses_power_while_runner_hosts_work(
    platform: FleetPlatform, clone: Clone, user: Client
) -> None:
    hub, r1 = platform.hub, platform.fleet.hosts["r1"]
    name = str(WORKSPACES[0]["name"])
    user.said(name, "echo kept > ~/kept")
    before = platform.started(r1)
    number = clone.push({"long": {"image": BASE, "tags": ["one"], "script": ["sleep 300"]}})
    await_job(clone, number, "long", r1)
    runs = len(platform.admin.mlflow("experiments/search?max_results=100")["experiments"])
    moment = time.monotonic()
    hub.off()
    hub.on()
    await_well(platform)
    took = time.monotonic() - moment
    # Runner hosts went on: nothing there was started anew.
    assert platform.started(r1) == before
    ended = clone.ended(number)
    assert ended["status"] in {"crashed", "failed"}, ended
    assert ended["reason"]
    await_result("the end of what the job left", lambda: not leftovers(r1, number) or None, 60)
    assert user.said(name, "cat ~/kept").strip() == "kept"
    again = len(platform.admin.mlflow("experiments/search?max_results=100")["experiments"])
    assert again == runs
    after = clone.ended(clone.push({"j": {"image": BASE, "tags": ["one"], "script": ["true"]}}))
    assert after["status"] == "success", after
    assert platform.deploy()["changes"] == []
    keep(
        4,
        "the service host loses its power while a runner host works",
        "everything healthy again unaided; same data",
        healthy_after_s=round(took, 1),
        restarted_on_runner_hosts=0,
        running_pipeline=ended["status"],
    )


def test_a_runner_host_is_cut_off_from_mlflow(platform: FleetPlatform, clone: Clone) -> None:
    r1, name = platform.fleet.hosts["r1"], clone.path.name
    script = LOGGING.format(name=name, seconds=20)
    number = clone.push(
        {"log": {"image": "$DAP_ENVIRONMENT_PYTHON", "tags": ["one"], "script": [script]}}
    )
    await_result("first metrics", lambda: run_called(platform, name), 90)
    port = platform.plan["settings"]["ports"]["https"]
    with cut(r1, platform.hub, port):
        assert job_runs(clone, number, "log"), "the cut comes while it logs"
        over = time.monotonic() + CUT_S
        await_result("the end of the cut", lambda: time.monotonic() > over or None, CUT_S + 5, 1)
    pipeline = clone.ended(number, 300)
    job = pipeline["jobs"]["log"]
    run = run_called(platform, name)
    assert run is not None
    steps = {p["key"]: p["value"] for p in run["data"].get("params", [])}.get("steps")
    if pipeline["status"] == "success":
        # Nothing may be lost silently: as many metrics as the job believes.
        history = platform.admin.mlflow(
            f"metrics/get-history?run_id={run['info']['run_id']}&metric_key=step"
        )
        assert len(history["metrics"]) == int(str(steps))
    else:
        assert job["status"] == "failed", pipeline
        assert run["info"]["status"] != "FINISHED"
        assert re.search("Max retries|timed out|Connection", clone.log(number, job))
    keep(
        6,
        f"a runner host is cut off from MLflow for {CUT_S} s while its job logs",
        "the client retries or the job fails; no silent loss",
        job=job["status"],
        metrics=steps or "not all",
        job_took_s=round(job["finished"] - job["started"], 1),
    )


def run_called(platform: FleetPlatform, name: str) -> dict[str, Any] | None:
    """The MLflow run of a name."""
    found = platform.admin.mlflow(f"experiments/get-by-name?experiment_name={REPOSITORY}")
    runs = platform.admin.mlflow(
        "runs/search",
        experiment_ids=[found["experiment"]["experiment_id"]],
        filter=f"tags.mlflow.runName = '{name}'",
    )
    return next(iter(runs.get("runs", [])), None)


def test_deploy_and_pipeline_pass_over_a_slow_and_lossy_line(
    platform: FleetPlatform, clone: Clone
) -> None:
    r1 = platform.fleet.hosts["r1"]
    platform.change(workspaces=[{**WORKSPACES[0], "memory": "2500m"}, *WORKSPACES[1:]])
    with slow(r1, DELAY_MS, LOSS_PERCENT) as by:
        began = time.monotonic()
        done = platform.deploy()
        deployed = time.monotonic() - began
        assert done["ok"], done["failures"]
        assert [each for each in done["changes"] if each["host"] == "r1"]
        job = {"image": BASE, "tags": ["one"], "script": ["seq 1000"]}
        number = clone.push({"job": job})
        pipeline = clone.ended(number, 300)
        assert pipeline["status"] == "success", clone.log(number, pipeline["jobs"]["job"])
        took = time.monotonic() - began - deployed
    keep(
        7,
        f"{DELAY_MS} ms and {LOSS_PERCENT} % loss on all that a runner host sends, by {by}",
        "deploy and pipeline still pass",
        deploy_took_s=round(deployed, 1),
        pipeline_took_s=round(took, 1),
    )


def test_a_runner_host_dies_in_mid_job(platform: FleetPlatform, clone: Clone) -> None:
    r1, r2 = platform.fleet.hosts["r1"], platform.fleet.hosts["r2"]
    # The one slot of r1 is taken, so the others go to r2.
    sleeper = clone.push({"sleeper": {"image": BASE, "tags": ["one"], "script": ["sleep 600"]}})
    await_job(clone, sleeper, "sleeper", r1)
    again = clone.push(
        {
            "again": {
                "image": BASE,
                "retry": 1,
                "script": ["sleep ${WAIT:-20}", "echo came to its end"],
            }
        }
    )
    await_job(clone, again, "again", r2)
    moment = time.monotonic()
    r2.off()

    def gone() -> bool | None:
        jobs = {job["name"]: job for job in clone.look(again)["jobs"]}
        return jobs["again"]["status"] != "running" or None

    await_result("the loss of the job is told", gone, GONE_S)
    told = time.monotonic() - moment
    status = platform.dap("status")
    assert status.returncode != 0
    assert "r2" in status.stdout
    lone = clone.push({"lone": {"image": BASE, "tags": ["two"], "script": ["true"]}})
    cancel(platform, sleeper)
    clone.ended(sleeper)
    pipeline = clone.ended(again)
    assert pipeline["status"] == "success", pipeline
    assert pipeline["jobs"]["again"]["host"] == "r1"
    assert clone.look(lone)["status"] not in PIPELINE_ENDS, "it waits for its host"
    r2.on()
    assert clone.ended(lone)["status"] == "success"
    await_result("the end of orphans", lambda: not leftovers(r2, again) or None, 60)
    keep(
        10,
        "a runner host loses its power in mid-job, the job has retry: 1",
        "job marked failed; no orphan container",
        told_after_s=round(told, 1),
        retried_on="r1",
        orphans=0,
    )


def test_a_job_without_retry_fails_with_its_host(platform: FleetPlatform, clone: Clone) -> None:
    r2 = platform.fleet.hosts["r2"]
    number = clone.push({"once": {"image": BASE, "tags": ["two"], "script": ["sleep 600"]}})
    await_job(clone, number, "once", r2)
    moment = time.monotonic()
    r2.off()
    pipeline = clone.ended(number, GONE_S)
    told = time.monotonic() - moment
    assert pipeline["status"] == "failed"
    assert pipeline["jobs"]["once"]["status"] == "failed"
    assert "r2" in pipeline["reason"] + clone.log(number, pipeline["jobs"]["once"])
    r2.on()
    await_result("the end of orphans", lambda: not leftovers(r2, number) or None, 60)
    keep(
        10,
        "a runner host loses its power in mid-job",
        "job marked failed; no orphan container",
        failed_after_s=round(told, 1),
        reason=pipeline["reason"],
        orphans=0,
    )


def cancel(platform: FleetPlatform, number: int) -> None:
    """Cancel a pipeline as a user does."""
    platform.forge("pipeline", "cancel", str(number))


def test_a_deploy_of_several_hosts_is_killed(
    platform: FleetPlatform, chance: random.Random
) -> None:
    began = time.monotonic()
    assert platform.deploy()["changes"] == []
    whole = time.monotonic() - began
    points = []
    for step in range(count(2, 10)):
        point = chance.uniform(0.1, 0.9) * whole
        workspaces = [{**entry, "memory": f"{2100 + step}m"} for entry in WORKSPACES]
        platform.change(workspaces=workspaces)
        killed(platform, point)
        points.append(round(point, 1))
    done = platform.deploy()
    assert done["ok"], done["failures"]
    assert platform.deploy()["changes"] == []
    await_well(platform)
    keep(
        5,
        "SIGKILL of `make deploy` of three hosts, its whole process group, while settings change",
        "a re-run converges; the next reports `changed=0`",
        deploy_takes_s=round(whole, 1),
        kills=len(points),
        killed_after_s=points,
        changed_after=0,
    )


def killed(platform: FleetPlatform, after_s: float) -> None:
    """Deploy, and kill its whole process group after a time."""
    deploy = start_deploy(platform.project.path)
    with pytest.raises(subprocess.TimeoutExpired):
        deploy.wait(after_s)
    os.killpg(deploy.pid, signal.SIGKILL)
    deploy.wait()

"""Rows 8, 9 and 10: jobs that want too much, too many of them, and a runner that dies."""

import subprocess
import time
from itertools import count as numbers_from
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.access import await_result
from demo.flow import ASKED, PIPELINE_ENDS
from demo.project import REPOSITORY
from tests.demo.conftest import Platform
from tests.demo.faults.record import keep
from tests.demo.faults.support import kill, s3
from tests.demo.test_pipelines import Branch

KILLED = 137
JOBS = 20
SPARE = 2  # pipelines that are made ready while others fill the slots
ANSWER_S = 5


def push(branch: Branch, pipeline: dict[str, Any], refs: int = 1) -> list[int]:
    """Push a pipeline to as many branches at once; the numbers of what was started."""
    (branch.path / ".gitlab-ci.yml").write_text(yaml.safe_dump(pipeline))
    branch.git("add", ".gitlab-ci.yml")
    branch.git("commit", "--quiet", "--allow-empty", "--message", "A fault")
    return [int(found[1]) for found in ASKED.finditer(branch.git("push", *heads(branch, refs)))]


def heads(branch: Branch, refs: int, what: str = "HEAD") -> list[str]:
    """Where to push, and what to which branches; an empty `what` deletes them."""
    port, domain = branch.platform.project.ssh_port, branch.platform.domain
    remote = f"ssh://git@git.{domain}:{port}/{REPOSITORY}"
    names = [f"refs/heads/{branch.path.name}-{n}" for n in range(refs)]
    return [remote, *(f"{what}:{name}" for name in names)]


def pipeline_of(platform: Platform, number: int) -> dict[str, Any]:
    answer = platform.admin.pipeline(REPOSITORY, number)
    data: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
    return data


def ended(platform: Platform, number: int, timeout_s: float) -> dict[str, Any]:
    """Wait for the end of a pipeline."""

    def look() -> dict[str, Any] | None:
        found = pipeline_of(platform, number)
        return found if found.get("status") in PIPELINE_ENDS else None

    return await_result(f"end of pipeline {number}", look, timeout_s)


def restarts(platform: Platform) -> dict[str, tuple[str, int]]:
    """When each service was started, and how often the engine had to start it again."""
    return {
        name: (c.attrs["State"]["StartedAt"], c.attrs["RestartCount"])
        for name, c in platform.containers().items()
    }


def available_mib() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable"))


def test_a_job_that_takes_more_memory_than_it_may(platform: Platform, branch: Branch) -> None:
    limits = platform.execute("pipelines", "cat", "/etc/forge/pipelines.json")
    memory = str(yaml.safe_load(limits)["job"]["memory"])
    mib = int(memory[:-1]) * 1024
    assert memory.endswith("g")
    if available_mib() < mib * 5 // 4:
        pytest.skip(f"{available_mib()} MiB of memory are free; the job is to take {mib}")
    before = restarts(platform)
    image = "$DAP_ENVIRONMENT_PYTHON"
    mark = f"faults-{branch.path.name}"
    found = (
        f"import boto3; assert boto3.client('s3').list_objects(Bucket='{REPOSITORY}', "
        f"Prefix='{mark}').get('Contents')"
    )
    [number] = push(
        branch,
        {
            "hungry": {"image": image, "script": [f"python -c 'b\"x\" * ({mib + 512} << 20)'"]},
            # It waits to be told that the other one is dead.
            "neighbour": {
                "image": image,
                "script": [f'until python -c "{found}" 2>/dev/null; do sleep 1; done'],
            },
        },
    )

    def dead() -> bool | None:
        jobs = pipeline_of(platform, number).get("jobs") or [{}]
        return jobs[0].get("status") == "failed" or None

    await_result("the end of the hungry job", dead, 120)
    store = s3(platform)
    store.put_object(Bucket=REPOSITORY, Key=mark, Body=b"dead")
    pipeline = ended(platform, number, 120)
    store.delete_object(Bucket=REPOSITORY, Key=mark)
    hungry, neighbour = pipeline["jobs"]
    log = platform.admin.pipeline(REPOSITORY, number, hungry["log"]).text
    assert (hungry["status"], hungry["exit"]) == ("failed", KILLED), log
    assert f"out of memory: its limit is {memory}" in log
    assert f"hungry (out of memory: its limit is {memory})" in pipeline["reason"]
    assert neighbour["status"] == "success"
    assert hungry["finished"] < neighbour["finished"], "the neighbour did not outlive it"
    assert restarts(platform) == before
    branch.nothing_left(number)
    branch.git("push", *heads(branch, 1, ""))
    keep(
        8,
        f"a job allocates more than its {memory}, another runs beside it",
        "only that job dies (137); services stay up",
        exit=hungry["exit"],
        dead_after_s=round(hungry["finished"] - hungry["started"], 1),
        said=pipeline["reason"],
        neighbour=neighbour["status"],
        services_restarted=0,
    )


def most_at_once(jobs: list[dict[str, Any]]) -> int:
    """How many of these ran at the same time."""
    edges = [(j["started"], 1) for j in jobs] + [(j["finished"], -1) for j in jobs]
    running = most = 0
    for _, step in sorted(edges):
        running += step
        most = max(most, running)
    return most


def test_more_jobs_than_slots(platform: Platform, branch: Branch) -> None:
    slots = platform.plan["settings"]["hosts"][0]["slots"]
    assert slots < JOBS
    before = restarts(platform)
    busy = "for i in $(seq 100000); do :; done"
    script = {"image": "$DAP_ENVIRONMENT_BASE", "script": [busy]}
    started = time.monotonic()
    numbers = push(branch, {"busy": script}, JOBS)
    assert len(numbers) == JOBS
    waiting = set(numbers)
    answers: list[float] = []
    turns = numbers_from()

    def look() -> bool | None:
        # One of the pages each time, and one pipeline.
        host, path = [("", "/"), ("git", f"/-/pipelines/{REPOSITORY}"), ("git", f"/{REPOSITORY}"),
                      ("mlflow", "/"), ("minio", "/")][next(turns) % 5]  # fmt: skip
        asked = time.monotonic()
        answer = platform.admin.request("GET", host, path)
        answers.append(time.monotonic() - asked)
        assert answer.status_code == 200, answer.url
        number = min(waiting)
        if pipeline_of(platform, number).get("status") in PIPELINE_ENDS:
            waiting.remove(number)
        return not waiting or None

    await_result(f"end of {JOBS} pipelines", look, 600, 0.05)
    took = time.monotonic() - started
    pipelines = [pipeline_of(platform, number) for number in numbers]
    assert {p["status"] for p in pipelines} == {"success"}
    most = most_at_once([job for p in pipelines for job in p["jobs"]])
    assert 1 <= most <= slots
    # In the order in which they came; those that are made ready together pass each other.
    order = [p["id"] for p in sorted(pipelines, key=lambda p: p["started"])]
    ready = slots + SPARE
    assert all(abs(order.index(n) - place) < ready for place, n in enumerate(sorted(numbers)))
    assert restarts(platform) == before
    late = sorted(answers)[len(answers) * 95 // 100]
    assert len(answers) >= JOBS
    assert late < ANSWER_S
    label: dict[str, Any] = {"label": ["dap.pipeline", f"dap.platform={platform.name}"]}
    assert platform.docker.containers.list(all=True, filters=label) == []
    branch.git("push", *heads(branch, JOBS, ""))
    keep(
        9,
        f"{JOBS} pipelines by one push, {slots} slots, {platform_cores()} cores",
        "they queue; no OOM; the UI answers",
        succeeded=len(pipelines),
        at_once=most,
        all_ended_after_s=round(took),
        page_answers=len(answers),
        page_p95_s=round(late, 2),
        page_max_s=round(max(answers), 2),
        services_restarted=0,
    )


def platform_cores() -> int:
    done = subprocess.run(["nproc"], check=True, capture_output=True, text=True)
    return int(done.stdout)


def oom_score(container: Any) -> int:
    """How the kernel ranks a container where the host itself runs out of memory."""
    return int(Path(f"/proc/{container.attrs['State']['Pid']}/oom_score_adj").read_text())


def test_the_worker_of_pipelines_dies_with_all_its_runners(
    platform: Platform, branch: Branch
) -> None:
    slots = platform.plan["settings"]["hosts"][0]["slots"]
    sleeping = {"job": {"image": "$DAP_ENVIRONMENT_BASE", "script": ["sleep 300"]}}
    running = push(branch, sleeping, slots)
    jobs = [platform.docker.containers.get(branch.container(number)) for number in running]
    turn = {"job": {"image": "$DAP_ENVIRONMENT_BASE", "script": ["echo my turn"]}}
    [waiting] = push(branch, turn)
    numbers = [*running, waiting]
    services = [oom_score(container) for container in platform.containers().values()]
    # Where the host itself has no memory left, what goes first is a job.
    assert min(oom_score(job) for job in jobs) > max(services)
    assert pipeline_of(platform, waiting)["status"] == "pending"
    moment = kill(platform.container("pipelines"))
    crashed = [ended(platform, number, 60) for number in running]
    marked = time.monotonic() - moment
    assert {p["status"] for p in crashed} == {"crashed"}
    assert all(p["reason"] for p in crashed)
    assert {job["status"] for p in crashed for job in p["jobs"]} == {"crashed"}
    after = ended(platform, waiting, 60)
    assert after["status"] == "success"
    for number in numbers:
        branch.nothing_left(number)
    branch.git("push", *heads(branch, slots, ""))
    keep(
        10,
        f"the worker killed with {slots} pipelines running and one waiting",
        "job marked failed; no orphan container",
        marked_crashed=len(crashed),
        marked_after_s=round(marked, 1),
        waiting_one=after["status"],
        orphans=0,
    )

"""What is measured, each figure as its user meets it: by the generated project's commands."""

import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import docker
import requests
import yaml

from demo.access import Access, Clock, await_result
from demo.flow import ASKED, PIPELINE_ENDS, PLATFORM, admin, deploy, push_and_wait
from demo.project import REPOSITORY, ROOT, clean_environment, run

HOSTS = 10
WORKSPACES = 50
COMMAND = ["python", "-c", "print('hello')"]


@dataclass
class Figure:
    """A measured figure.

    Attributes:
        what: what it is.
        unit: of its values.
        values: one of each run.
        reach: the largest value that is wanted; nothing if there is none.
        note: how it was measured or where it goes.
    """

    what: str
    unit: str
    values: list[float]
    reach: float | None = None
    note: str = ""

    @property
    def median(self) -> float:
        """Median of the runs."""
        return statistics.median(self.values)

    def data(self) -> dict[str, Any]:
        """Give the figure as plain data."""
        return {**self.__dict__, "median": self.median}


@dataclass
class Bench:
    """The runs so far.

    Attributes:
        repeats: runs of each figure that is cheap enough.
        figures: what was measured.
    """

    repeats: int
    figures: list[Figure] = field(default_factory=list)

    def add(self, figure: Figure) -> None:
        """Keep a figure and show it."""
        self.figures.append(figure)
        values = ", ".join(f"{value:.2f}" for value in figure.values)
        print(f"{figure.what}: {values} {figure.unit}", flush=True)


def seconds(action: Callable[[], object]) -> float:
    """Time an action in seconds."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def make(target: str) -> None:
    """Run a target of the distribution with its output shown."""
    subprocess.run(
        ["make", "--no-print-directory", target], cwd=ROOT, check=True, env=clean_environment()
    )


def own_images(client: docker.DockerClient) -> list[str]:
    """Name the images that the platform built here."""
    return [tag for image in client.images.list() for tag in image.tags if tag.startswith("dap/")]


def cold_demo(bench: Bench, *, remove_images: bool) -> None:
    """Time `make demo` with no image there; only on a fresh machine or where removal is asked."""
    client = docker.from_env() if shutil.which("dockerd") else None
    if remove_images and client is not None:
        make("clean")
        for tag in own_images(client):
            client.images.remove(tag, force=True)
        run("docker", "builder", "prune", "--all", "--force")
    if client is not None and own_images(client):
        print("cold demo: not measured, images are there (COLD=1 removes them and the build cache)")
        return
    note = "nothing cached, every image built from packages, the Docker engine installed if missing"
    bench.add(Figure("`make demo`, cold", "s", [seconds(lambda: make("demo"))], 480, note))


def warm_demo(bench: Bench) -> None:
    """Time `make demo` with the images there and no platform."""
    values = []
    for _ in range(max(1, bench.repeats - 2)):
        make("clean")
        values.append(seconds(lambda: make("demo")))
    note = "no platform, no data, images present; to the end of the pipeline"
    bench.add(Figure("`make demo`, images present", "s", values, 90, note))


def no_change(bench: Bench) -> None:
    """Time a deploy that changes nothing, and the plan of it."""
    PLATFORM.make("deploy")

    def again() -> None:
        result = PLATFORM.make_json("deploy")
        if result["changed"]:
            raise RuntimeError(f"a deploy over an unchanged platform changed {result['changes']}")

    values = [seconds(again) for _ in range(bench.repeats)]
    bench.add(Figure("`make deploy`, nothing to change", "s", values, 8, "changed=0 each time"))
    values = [seconds(lambda: PLATFORM.make_json("plan")) for _ in range(bench.repeats)]
    bench.add(Figure("`make plan`, nothing to change", "s", values))


def large_settings(text: str) -> str:
    """Give settings of many hosts and workspaces, made from those of a project."""
    settings = yaml.safe_load(text)
    owner = settings["users"][0]["name"]
    settings["hosts"] = [{"name": "main", "address": "192.0.2.1", "roles": ["service"]}] + [
        {"name": f"runner-{n}", "address": f"192.0.2.{n + 1}", "roles": ["runner"]}
        for n in range(1, HOSTS)
    ]
    settings["address"] = "192.0.2.1"
    settings["workspaces"] = [
        {"name": f"{owner}-{n}", "owner": owner, "environment": "python", "ssh_port": 2300 + n}
        for n in range(WORKSPACES)
    ]
    return yaml.safe_dump(settings, sort_keys=False)


def render(bench: Bench) -> None:
    """Time validating and rendering a large platform."""
    project = ROOT / "build" / "bench" / "large"
    if project.exists():
        shutil.rmtree(project)
    shutil.copytree(
        PLATFORM.path,
        project,
        symlinks=True,
        ignore=shutil.ignore_patterns(".venv", ".git", ".dap"),
    )
    file = project / "platform.yml"
    file.write_text(large_settings(file.read_text()))
    program = str(PLATFORM.path / ".venv" / "bin" / "dap")

    def once() -> None:
        run(program, "--project", str(project), "render", "--out", str(project / "trees"))

    once()
    values = [seconds(once) for _ in range(bench.repeats)]
    what = f"validate and render {HOSTS} hosts, {WORKSPACES} workspaces"
    bench.add(Figure(what, "s", values, 1, "`dap render`, the whole command"))


def small_repository() -> Path:
    """Make a repository whose pipeline is one command."""
    path = ROOT / "build" / "bench" / "small"
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    pipeline = {
        "hello": {
            "image": "$DAP_ENVIRONMENT_PYTHON",
            "script": [shlex.join(COMMAND)],
        }
    }
    (path / ".gitlab-ci.yml").write_text(yaml.safe_dump(pipeline))
    remote = PLATFORM.git("remote", "get-url", "origin").strip()
    run("git", "init", "--quiet", "--initial-branch", "bench", cwd=path)
    run(
        "git",
        "config",
        "core.sshCommand",
        PLATFORM.git("config", "core.sshCommand").strip(),
        cwd=path,
    )
    run("git", "config", "user.name", "Bench", cwd=path)
    run("git", "config", "user.email", f"bench@{PLATFORM.domain}", cwd=path)
    run("git", "remote", "add", "origin", remote, cwd=path)
    run("git", "add", ".gitlab-ci.yml", cwd=path)
    return path


@dataclass(frozen=True)
class Push:
    """Times of one push, in seconds from its start: first line of the log, end of the pipeline.

    Attributes:
        first_line: when the job's page showed a line.
        end: when the pipeline had ended.
        job: how long the job took.
        image: what the job ran in.
    """

    first_line: float
    end: float
    job: float
    image: str


def push_small(path: Path, access: Access) -> Push:
    """Push a commit of the small repository and follow its pipeline's page.

    Raises:
        RuntimeError: the pipeline did not start or failed.
    """
    run("git", "commit", "--quiet", "--allow-empty", "-m", "Run", cwd=path)
    command = ["git", "push", "--force", "origin", "bench"]
    started = time.time()
    with subprocess.Popen(
        command, cwd=path, stderr=subprocess.PIPE, text=True, env=clean_environment()
    ) as push:
        assert push.stderr is not None
        asked = next(filter(None, map(ASKED.search, push.stderr)), None)
        if asked is None:
            raise RuntimeError("the push started no pipeline")
        number = int(asked[1])
        first: list[float] = []

        def ended() -> dict[str, Any] | None:
            state: dict[str, Any] = access.pipeline(REPOSITORY, number).json()
            if not first and state["jobs"]:
                log = access.pipeline(REPOSITORY, number, state["jobs"][0]["log"])
                if log.ok and log.text.strip():
                    first.append(time.time() - started)
            return state if state["status"] in PIPELINE_ENDS else None

        state = await_result(f"pipeline #{number}", ended, 60, 0.02)
        push.stderr.read()
    if state["status"] != "success" or not first:
        raise RuntimeError(f"pipeline #{number}: {state['status']}; see {asked[2]}")
    [job] = state["jobs"]
    return Push(
        first[0], state["finished"] - started, job["finished"] - job["started"], job["image"]
    )


def pipeline_times(bench: Bench) -> None:
    """Time a trivial pipeline from the push, and the same command by a bare `docker run`."""
    path = small_repository()
    with requests.Session() as session:
        access = replace(admin(PLATFORM), session=session)
        pushes = [push_small(path, access) for _ in range(bench.repeats)]
    image = environment_image()
    bare = [
        seconds(lambda: run("docker", "run", "--rm", image, *COMMAND)) for _ in range(bench.repeats)
    ]
    bare_median = statistics.median(bare)
    first_lines = [push.first_line for push in pushes]
    what = "push → first line of the job's log"
    bench.add(Figure(what, "s", first_lines, 3, "as its page shows it"))
    bench.add(Figure("bare `docker run` of the job's command", "s", bare))
    ratios = [push.job / bare_median for push in pushes]
    what = "the job over the bare `docker run`"
    bench.add(Figure(what, "times", ratios, None, "from the job's start to its end"))
    ratios = [push.end / bare_median for push in pushes]
    note = "from the push to the pipeline's end: checkout, variables, rules and pages are in it"
    what = "the whole pipeline over the bare `docker run`"
    bench.add(Figure(what, "times", ratios, None, note))


def environment_image() -> str:
    """Name the image of the python environment, as this host has it."""
    client = docker.from_env()
    names = [tag for tag in own_images(client) if tag.startswith("dap/environment-python:")]
    if not names:
        raise RuntimeError("this host has no image dap/environment-python")
    return names[0]


def example(bench: Bench) -> None:
    """Time the example from the push to the end of its MLflow run."""
    values = []
    for _ in range(bench.repeats):
        started = time.time()
        outcome = push_and_wait(PLATFORM, Clock())
        values.append(outcome.run["info"]["end_time"] / 1000 - started)
    bench.add(Figure("push → the example's MLflow run finished", "s", values, 30))


def memory(bench: Bench) -> None:
    """Take the memory of each idle service; workspaces apart."""
    client = docker.from_env()
    plan_workspaces = {
        workspace["name"]
        for workspace in yaml.safe_load((PLATFORM.path / "platform.yml").read_text())["workspaces"]
    }
    label = f"com.docker.compose.project={PLATFORM.name}"
    total = 0.0
    for container in client.containers.list(filters={"label": label}):
        answer: Any = container.stats(stream=False)
        stats = answer["memory_stats"]
        # As `docker stats` counts: the page cache that can be dropped is not in use.
        cache = stats["stats"].get("total_inactive_file", stats["stats"].get("inactive_file", 0))
        used = (stats["usage"] - cache) / 1024**2
        service = container.labels["com.docker.compose.service"]
        is_workspace = any(name in service for name in plan_workspaces)
        total += 0 if is_workspace else used
        bench.add(Figure(f"memory of {service}", "MiB", [used]))
    note = "sum over the services, workspaces apart"
    bench.add(Figure("idle memory of the default stack", "MiB", [total], 1.2 * 1024, note))


def image_sizes(bench: Bench) -> None:
    """Take the uncompressed size of each image."""
    client = docker.from_env()
    for image in sorted(client.images.list(), key=lambda image: str(image.tags)):
        for tag in image.tags:
            name = tag.removeprefix("dap/").partition(":")[0]
            if tag.startswith("dap/"):
                reach = 829 if name == "environment-python" else None
                bench.add(Figure(f"image {name}", "MB", [image.attrs["Size"] / 1e6], reach))


def measure(bench: Bench) -> None:
    """Measure everything, cheap or not, in an order in which nothing is done twice."""
    cold_demo(bench, remove_images=os.environ.get("COLD") == "1")
    warm_demo(bench)
    deploy(PLATFORM, Clock())
    no_change(bench)
    memory(bench)
    pipeline_times(bench)
    example(bench)
    render(bench)
    image_sizes(bench)


def machine() -> dict[str, str]:
    """Describe this machine."""
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    release = dict(
        line.split("=", 1)
        for line in Path("/etc/os-release").read_text().splitlines()
        if "=" in line
    )
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    version = json.loads(run("docker", "version", "--format", "{{json .Server.Version}}"))
    return {
        "processor": f"{os.cpu_count()} x {models[0] if models else 'unknown'}",
        "memory": f"{memory_kib / 1024**2:.0f} GiB",
        "system": release.get("PRETTY_NAME", "").strip('"'),
        "docker": str(version),
        "python": sys.version.split()[0],
    }

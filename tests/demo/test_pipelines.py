"""Pipelines that end badly, and jobs that want more than is theirs."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from demo.access import await_result
from demo.flow import ASKED, PIPELINE_ENDS
from demo.project import ADMIN, REPOSITORY
from tests.demo.conftest import Platform
from tests.programs import author, printed

NOSY = r"""
  - test ! -e /var/run/docker.sock
  - for host in postgres-service postgres-data minio mlflow registry git-web; do
      ! getent hosts "$host";
    done
  - "! mount -t tmpfs none /mnt"
  - cat "$NETRC"; base64 -w0 "$NETRC"
"""


class Branch:
    """A repository of its own whose `.gitlab-ci.yml` is pushed to a branch."""

    def __init__(self, platform: Platform, path: Path) -> None:
        self.platform = platform
        self.path = path
        self.ssh = ["ssh", *platform.project.ssh_options]
        self.pipelines: list[int] = []
        self.git("init", "--quiet", "--initial-branch", path.name)

    def git(self, *arguments: str) -> str:
        environment = {**author(self.platform.domain), "GIT_SSH_COMMAND": " ".join(self.ssh)}
        return printed(self.path, "git", *arguments, **environment)

    def push(self, script: str, job: str = "job") -> int:
        """Push a pipeline of one job; its number."""
        return self.push_file(f'"{job}":\n image: $DAP_ENVIRONMENT_BASE\n script:{script}\n')

    def push_file(self, text: str) -> int:
        """Push a `.gitlab-ci.yml`; the pipeline's number."""
        (self.path / ".gitlab-ci.yml").write_text(text)
        self.git("add", ".gitlab-ci.yml")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A test")
        port, domain = self.platform.project.ssh_port, self.platform.domain
        remote = f"ssh://git@git.{domain}:{port}/{REPOSITORY}"
        answer = self.git("push", remote, f"HEAD:{self.path.name}")
        asked = ASKED.search(answer)
        assert asked, answer
        self.pipelines.append(int(asked[1]))
        return self.pipelines[-1]

    def end(self) -> None:
        """Cancel what has not ended: it would keep the slots from the tests that follow."""
        for number in self.pipelines:
            if self.state(number).get("status") not in PIPELINE_ENDS:
                self.ask("pipeline", "cancel", str(number))
                self.until(number, PIPELINE_ENDS)

    def ask(self, *words: str) -> str:
        """Say something to the forge over SSH; what it answered."""
        port, host = str(self.platform.project.ssh_port), f"git@git.{self.platform.domain}"
        command = [*self.ssh, "-p", port, host, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def state(self, number: int) -> dict[str, Any]:
        """What is known of a pipeline; nothing before it has begun."""
        answer = self.platform.admin.pipeline(REPOSITORY, number)
        found: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        return found

    def until(self, number: int, states: set[str]) -> dict[str, Any]:
        """Wait for a pipeline to be in one of these states; what is known of it then."""

        def look() -> dict[str, Any] | None:
            found = self.state(number)
            return found if found.get("status") in states else None

        return await_result(f"pipeline {number} in {states}", look, 60)

    def container(self, number: int) -> str:
        """Wait for the running container of a pipeline's job; its id."""

        def look() -> str | None:
            label: dict[str, Any] = {"label": f"dap.pipeline={number}"}
            found = self.platform.docker.containers.list(filters=label)
            # One that only asks for the image's user has no input.
            jobs = (c.id for c in found if c.attrs["Config"]["OpenStdin"])
            return next(jobs, None)

        return await_result(f"container of pipeline {number}", look, 30)

    def nothing_left(self, number: int) -> None:
        """Fail unless the pipeline's containers, networks, volumes and secrets are gone."""
        label: dict[str, Any] = {"label": f"dap.pipeline={number}"}
        engine = self.platform.docker
        assert engine.containers.list(all=True, filters=label) == []
        assert engine.networks.list(filters=label) == []
        assert engine.volumes.list(filters=label) == []
        shared = self.platform.execute("pipelines", "ls", "-A", "/tmp", "/dev/shm")
        assert "gitlab-ci-local" not in shared


@pytest.fixture
def branch(platform: Platform, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Branch]:
    path = tmp_path / f"{request.node.name.replace('_', '-')}-{uuid4().hex[:8]}"
    path.mkdir()
    made = Branch(platform, path)
    yield made
    made.end()


@pytest.fixture
def idle(platform: Platform) -> None:
    """Wait until no job is left of the tests before."""
    seen: dict[str, Any] = {}

    def look() -> bool | None:
        seen.update(platform.admin.queue())
        busy = [host for host in seen["hosts"] if host["running"] or host["status"] != "up"]
        return None if busy or seen["waiting"] else True

    try:
        await_result("slots that are all free", look, 180)
    except TimeoutError as error:
        error.add_note(str(seen))
        raise


def test_a_canceled_pipeline_says_so_and_leaves_nothing(branch: Branch) -> None:
    number = branch.push(" [sleep 300]")
    branch.container(number)
    branch.ask("pipeline", "cancel", str(number))
    assert branch.until(number, PIPELINE_ENDS)["status"] == "canceled"
    branch.nothing_left(number)


BUSY = """\
default: {image: $DAP_ENVIRONMENT_BASE}
busy: {parallel: COUNT, script: [sleep 300]}
"""


@pytest.mark.usefixtures("idle")
def test_who_waits_sees_for_what_and_behind_whom(branch: Branch) -> None:
    host = branch.platform.plan["settings"]["hosts"][0]
    slots = int(host["slots"])
    number = branch.push_file(BUSY.replace("COUNT", str(slots + 1)))

    def listed() -> list[str] | None:
        lines = branch.ask("pipeline", "list").splitlines()
        waits = [line for line in lines if line.endswith(": a free slot")]
        busy = f"host {host['name']} (image-builder): {slots} of {slots} slots busy"
        return lines if waits and busy in lines else None

    try:
        lines = await_result("a job that waits", listed, 60)
    except TimeoutError as error:
        error.add_note(branch.ask("pipeline", "list"))
        raise
    jobs = [line.split()[0] for line in lines if f"#{number} busy: [" in line]
    assert sorted(jobs) == sorted([f"#{number}"] * slots + ["1"]), lines
    queue = branch.platform.admin.queue()
    assert [len(each["running"]) for each in queue["hosts"]] == [slots]
    assert [(job["pipeline"], job["user"]) for job in queue["waiting"]] == [(number, ADMIN)]
    branch.ask("pipeline", "cancel", str(number))
    assert branch.until(number, PIPELINE_ENDS)["status"] == "canceled"
    branch.nothing_left(number)
    assert not [line for line in branch.ask("pipeline", "list").splitlines() if "#" in line]


TAGGED = """\
default: {image: $DAP_ENVIRONMENT_BASE, tags: [$PLACE]}
here: {variables: {PLACE: HOST}, script: [echo here]}
"""


def test_tags_choose_the_host_or_end_the_pipeline(branch: Branch) -> None:
    host = branch.platform.plan["settings"]["hosts"][0]["name"]
    number = branch.push_file(TAGGED.replace("HOST", host))
    pipeline = branch.until(number, PIPELINE_ENDS)
    assert (pipeline["status"], pipeline["jobs"][0]["host"]) == ("success", host)
    number = branch.push_file(TAGGED.replace("HOST", "moon"))
    pipeline = branch.until(number, PIPELINE_ENDS)
    assert pipeline["status"] == "failed"
    assert pipeline["reason"].startswith("job here: tags: no host has the label moon; hosts and")
    assert pipeline["reason"].endswith(f": {host}, image-builder")
    assert {job["status"] for job in pipeline["jobs"]} == {"skipped"}


RETRIED = """\
default: {image: $DAP_ENVIRONMENT_BASE, retry: 1}
always: {script: [exit 3]}
code: {retry: {max: 2, exit_codes: 4}, script: [exit 4]}
other: {retry: {max: 2, exit_codes: [5]}, script: [exit 3]}
missing:
  image: localhost:1/nothing
  retry: {max: 1, when: runner_system_failure}
  script: [echo]
"""


def test_a_job_is_started_anew_as_often_as_it_asks(branch: Branch) -> None:
    number = branch.push_file(RETRIED)
    pipeline = branch.until(number, PIPELINE_ENDS)
    assert pipeline["status"] == "failed"
    started = {}
    for job in pipeline["jobs"]:
        log = branch.platform.admin.pipeline(REPOSITORY, number, job["log"]).text
        started[job["name"]] = log.count("Z image ")
        assert (job["status"], log.count("Z failed in ")) == ("failed", started[job["name"]]), log
    assert started == {"always": 2, "code": 3, "other": 1, "missing": 2}
    branch.nothing_left(number)


def test_a_runner_that_dies_leaves_a_crashed_pipeline(branch: Branch) -> None:
    number = branch.push(" [sleep 300]")
    branch.container(number)
    pid = branch.platform.execute("pipelines", "cat", f"/run/pipelines/pid-{number}")
    branch.platform.execute("pipelines", "sh", "-c", f"kill -9 {int(pid)}")
    pipeline = branch.until(number, PIPELINE_ENDS)
    assert pipeline["status"] == "crashed"
    assert pipeline["reason"]
    branch.nothing_left(number)


def test_a_job_reaches_nothing_of_the_platforms_inside_and_shows_no_secret(branch: Branch) -> None:
    number = branch.push(NOSY, job="nosy $(touch /tmp/made-by-a-name)")
    pipeline = branch.until(number, PIPELINE_ENDS)
    log = branch.platform.admin.pipeline(REPOSITORY, number, pipeline["jobs"][0]["log"]).text
    assert pipeline["status"] == "success", log
    assert log.count("[masked]") >= 2
    assert not [secret for secret in branch.platform.secrets() if secret in log]
    branch.nothing_left(number)
    made = branch.platform.execute("pipelines", "ls", "-A", "/tmp")
    assert "made-by-a-name" not in made


def test_what_runs_shows_no_secret_to_who_looks_at_the_engine(branch: Branch) -> None:
    number = branch.push(" [sleep 300]")
    container = branch.platform.docker.containers.get(branch.container(number))
    commands = b"".join(
        path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()
    ).decode(errors="replace")
    seen = str(container.attrs) + commands
    branch.ask("pipeline", "cancel", str(number))
    branch.until(number, PIPELINE_ENDS)
    assert not [secret for secret in branch.platform.secrets() if secret in seen]
    assert container.attrs["HostConfig"]["CapDrop"] == ["ALL"]
    assert not [mount for mount in container.attrs["Mounts"] if mount["Type"] != "volume"]


def test_pages_of_pipelines_need_a_login(platform: Platform) -> None:
    number = platform.outcome.number
    assert platform.anonymous.pipeline(REPOSITORY, number).status_code == 401
    page = platform.anonymous.request("GET", "git", f"/-/pipelines/{REPOSITORY}/{number}")
    assert page.status_code == 401


def test_every_card_of_the_start_page_is_up(platform: Platform) -> None:
    for route in platform.plan["routes"]:
        if route["portal"] and route["health"]:
            answer = platform.admin.request("GET", "", f"/health/{route['name']}")
            assert answer.status_code == 200, route["name"]

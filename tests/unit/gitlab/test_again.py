"""A job is run again on GitLab: the same commit, what it is given, and what is left of it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import requests
from dap.errors import DapError
from dap.reproduce.model import Ended, Order, Platform

from tests.gitlab.forge import Forge
from tests.gitlab.recorded import AGAIN, kinds, listed
from tests.paths import ROOT
from tests.unit.gitlab.test_move import git

IMAGE = "registry.lab.example.org/environments/python@sha256:" + "a" * 64
RUN = "0" * 32
BRANCH = f"dap.reproduce/{RUN}"
ROOT_FILE = (ROOT / "infrastructure/pattern/project/.gitlab-ci.yml").read_text()
EXAMPLE = "src/breast-cancer/.gitlab-ci.yml"


def module() -> Any:
    path = ROOT / "infrastructure/services/gitlab/reproduce.py"
    spec = importlib.util.spec_from_file_location("gitlab_reproduce", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


class Runner:
    """Takes the jobs of the forge and hands them back, with what `ends` says."""

    def __init__(self, forge: Forge) -> None:
        self.api = f"http://127.0.0.1:{forge.port}/api/v4"
        self.token = forge.vault.values["gitlab-runner/token-local"]
        self.ends: dict[str, str] = {"state": "success"}
        self.jobs: list[dict[str, Any]] = []
        self.over = Event()

    def __call__(self) -> None:
        while not self.over.wait(0.05):
            job = requests.post(f"{self.api}/jobs/request", json={"token": self.token}, timeout=9)
            if job.status_code != 201:
                continue
            self.jobs.append(job.json())
            place, token = f"{self.api}/jobs/{job.json()['id']}", job.json()["token"]
            said = "2026-11-23T12:00:00.000000Z 00O \x1b[32mit went\x1b[0m\n"
            headers = {"JOB-TOKEN": token, "Content-Range": f"0-{len(said) - 1}"}
            requests.patch(f"{place}/trace", data=said, headers=headers, timeout=9)
            requests.put(place, json={"token": token, **self.ends}, timeout=9)

    def variables(self) -> dict[str, str]:
        """Return those of the last job, as a runner has them: of one name, the last."""
        return {each["key"]: each["value"] for each in self.jobs[-1]["variables"]}


class Project:
    """A project of the forge with commits, and what runs its jobs again."""

    def __init__(self, forge: Forge, made: Any) -> None:
        self.forge = forge
        self.repository = forge.repositories / "dap/analysis.git"
        self.clone = forge.place / "clone"
        self.clone.mkdir()
        git(self.clone, "init", "--quiet", "--initial-branch=main")
        forge.place.joinpath("authority.pem").touch()
        self.jobs = made.jobs(
            Platform(
                "dap",
                forge.place / "authority.pem",
                {"git": f"http://127.0.0.1:{forge.port}"}.__getitem__,
                forge.vault.get,
            )
        )
        self.said: list[str] = []
        # The stand-in makes the repository of a project that is asked for.
        self.jobs.ask("GET", self.jobs.path("analysis"))

    def commit(self, files: dict[str, str], branch: str = "main") -> str:
        """Commit files to a branch of the repository, past its hooks; the commit."""
        for name, text in files.items():
            (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
            (self.clone / name).write_text(text)
        git(self.clone, "add", "--all")
        git(self.clone, "commit", "--quiet", "--message", "One")
        git(self.repository, "fetch", "--quiet", str(self.clone), f"+HEAD:refs/heads/{branch}")
        return git(self.clone, "rev-parse", "HEAD").strip()

    def again(self, commit: str, job: str, **variables: str) -> Ended:
        """Run a job again."""
        given = {"DAP_ENVIRONMENT_PYTHON": IMAGE, "DATA_VERSION": "seven", **variables}
        ref = self.jobs.look("analysis", commit, IMAGE).ref
        order = Order(RUN, "analysis", commit, ref, job, IMAGE, given)
        ended: Ended = self.jobs.again(order, self.said.append)
        return ended

    def left(self) -> list[Any]:
        """What a reproduction must leave as it is."""
        state = self.forge.state
        tables = ("branches", "members", "project_tokens", "users")
        return [git(self.repository, "for-each-ref", "refs/heads"), *(state[t] for t in tables)]


@pytest.fixture
def project(made: Forge, monkeypatch: pytest.MonkeyPatch) -> Project:
    found = module()
    monkeypatch.setattr(found, "LOOK_S", 0.05)
    return Project(made, found)


@pytest.fixture
def runner(made: Forge) -> Iterator[Runner]:
    given = Runner(made)
    thread = Thread(target=given)
    thread.start()
    yield given
    given.over.set()
    thread.join()


@pytest.fixture
def example(project: Project) -> str:
    """The example's commit, with another on top of it."""
    files = {".gitlab-ci.yml": ROOT_FILE, EXAMPLE: (ROOT / EXAMPLE).read_text()}
    commit = project.commit(files)
    project.commit({"later": "on"})
    return commit


def test_one_job_runs_with_what_it_is_given(project: Project, runner: Runner, example: str) -> None:
    before = project.left()
    ended = project.again(example, "breast-cancer train")
    assert (ended.status, ended.reason, ended.image) == ("success", "", IMAGE)
    assert list(ended.log) == ["it went"]
    (job,) = runner.jobs
    assert job["job_info"]["name"] == "breast-cancer train"
    assert job["image"]["name"] == "$DAP_ENVIRONMENT_PYTHON"
    given = runner.variables()
    assert (given["DAP_ENVIRONMENT_PYTHON"], given["DATA_VERSION"]) == (IMAGE, "seven")
    assert given["CI_PIPELINE_ID"] == str(ended.number)
    # Of its project, as in every pipeline of a protected branch, and of no other.
    assert given["DAP_PROJECT_PASSWORD"] == project.forge.vault.values["projects/analysis/password"]
    # A job may do what the one may who started it: that is nobody who is root.
    assert given["GITLAB_USER_LOGIN"].startswith("project_")
    text = str(job)
    closed = project.forge.vault.values["projects/closed/password"]
    assert closed not in text
    assert project.forge.vault.values["gitlab/token"] not in text
    assert project.left() == before
    assert project.said == [
        f"pipeline #{ended.number}: {ended.url}",
        *(line for line in project.said if line.startswith("  breast-cancer train: ")),
    ]
    assert project.said[-1] == "  breast-cancer train: success"


def test_it_begins_at_its_commit(
    project: Project, runner: Runner, example: str, tmp_path: Path
) -> None:
    """What the job does first is run in a clone of what its runner got, as it is fetched."""
    kept = project.repository / "refs" / "kept"

    def fetched() -> None:
        made = runner.jobs[0]["git_info"]["sha"]
        git(project.repository, "update-ref", "refs/kept", made)

    project.again(example, "breast-cancer train")
    fetched()
    assert kept.exists()
    place = tmp_path / "job"
    place.mkdir()
    git(place, "init", "--quiet")
    git(place, "fetch", "--quiet", str(project.repository), "refs/kept")
    git(place, "checkout", "--quiet", "FETCH_HEAD")
    assert git(place, "rev-parse", "HEAD^").strip() == example
    (step,) = (s for s in runner.jobs[0]["steps"] if s["name"] == "script")
    (place / "src/breast-cancer").mkdir(parents=True, exist_ok=True)
    lines = [*step["script"][:3], "git rev-parse HEAD", "pwd", 'echo "$CI_COMMIT_SHA"']
    assert step["script"][3:] == ["python -m analysis train"]
    script = ["sh", "-euc", "\n".join(lines)]
    said = subprocess.run(script, cwd=place, check=True, capture_output=True, text=True).stdout
    assert said.split() == [example, str(place / "src/breast-cancer"), example]
    assert git(place, "status", "--porcelain") == ""


def test_the_branch_is_as_open_as_the_one_that_holds_the_commit(
    project: Project, runner: Runner, example: str
) -> None:
    """Who may not push to main, may not push to it; what main's jobs are not given, it is not."""
    path = project.jobs.path("analysis")
    requests = project.forge.requests

    def levels() -> list[int]:
        lines = requests.read_text().splitlines()
        made = [line for line in lines if "/protected_branches {} {" in line]
        return [json.loads(line.split(" {} ")[1])["push_access_level"] for line in made]

    requests.write_text("")
    assert project.again(example, "breast-cancer train").status == "success"
    assert levels() == [30]
    project.jobs.ask("DELETE", f"{path}/protected_branches/main")
    rule = {"name": "main", "push_access_level": 40}
    project.jobs.ask("POST", f"{path}/protected_branches", json=rule)
    requests.write_text("")
    assert project.again(example, "breast-cancer train").status == "success"
    assert levels() == [40]
    assert "DAP_PROJECT_PASSWORD" in runner.variables()
    requests.write_text("")
    other = project.commit({"other": "branch"}, "topic/one")
    assert project.again(other, "breast-cancer train").status == "success"
    assert levels() == []
    assert "DAP_PROJECT_PASSWORD" not in runner.variables()


def test_how_it_failed_is_told(project: Project, runner: Runner, example: str) -> None:
    runner.ends = {"state": "failed", "failure_reason": "script_failure"}
    before = project.left()
    ended = project.again(example, "breast-cancer train")
    assert (ended.status, ended.reason) == ("failed", "script_failure")
    assert list(ended.log) == ["it went"]
    assert project.left() == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train:\n  image: other\n  script: [one]\n", "runs in other, not in"),
        ("test:\n  image: $DAP_ENVIRONMENT_PYTHON\n  script: [one]\n", "has no job train"),
        ("train: {extends: .gone, script: [one]}\n", "makes no pipeline any more"),
    ],
)
def test_what_can_not_be_run_is_refused_before_anything_is_made(
    project: Project, text: str, says: str
) -> None:
    commit = project.commit({".gitlab-ci.yml": text})
    before = project.left()
    with pytest.raises(DapError, match=says):
        project.again(commit, "train")
    assert project.left() == before
    assert not project.forge.state["pipelines"]


def test_of_a_configuration_stays_what_the_job_needs(project: Project, runner: Runner) -> None:
    text = """\
default: {before_script: [everywhere]}
variables: {A: global, DAP_ENVIRONMENT_PYTHON: moved}
stages: [one, two]
.base: {image: "${DAP_ENVIRONMENT_PYTHON}", variables: {B: base}, tags: [local]}
first: {extends: .base, stage: one, script: [first]}
second:
  extends: .base
  stage: two
  needs: [first]
  rules: [{if: "$NEVER"}]
  script: [second]
"""
    commit = project.commit({".gitlab-ci.yml": text})
    assert project.again(commit, "second").status == "success"
    (job,) = runner.jobs
    (step,) = job["steps"]
    assert step["script"][2:] == ["everywhere", "second"]
    given = runner.variables()
    assert (given["A"], given["B"]) == ("global", "base")
    assert given["DAP_ENVIRONMENT_PYTHON"] == IMAGE


def test_branches_and_tags_tell_whether_a_commit_is_there(project: Project, example: str) -> None:
    assert project.jobs.look("analysis", example, IMAGE).ref == "refs/heads/main"
    assert project.jobs.look("analysis", "0" * 40, IMAGE).ref == ""
    other = project.commit({"other": "branch"}, "topic/one")
    assert project.jobs.look("analysis", other, IMAGE).ref == "refs/heads/topic/one"
    git(project.repository, "tag", "v1", other)
    git(project.repository, "update-ref", "-d", "refs/heads/topic/one")
    assert project.jobs.look("analysis", other, IMAGE).ref == "refs/tags/v1"
    git(project.repository, "update-ref", f"refs/heads/{BRANCH}", other)
    git(project.repository, "update-ref", "-d", "refs/tags/v1")
    assert project.jobs.look("analysis", other, IMAGE).ref == ""


def end(line: str) -> None:
    raise KeyboardInterrupt(line)


def interrupted(project: Project, commit: str, say: Callable[[str], None]) -> None:
    """Begin, with no runner to take the job, and have the operator end it."""
    order = Order(RUN, "analysis", commit, "refs/heads/main", "breast-cancer train", IMAGE, GIVEN)
    with pytest.raises(KeyboardInterrupt):
        project.jobs.again(order, say)


GIVEN = {"DAP_ENVIRONMENT_PYTHON": IMAGE}


def test_who_ends_it_ends_the_pipeline_and_leaves_nothing(project: Project, example: str) -> None:
    before = project.left()
    interrupted(project, example, end)
    assert project.left() == before
    (pipeline,) = project.forge.state["pipelines"].values()
    assert pipeline["status"] == "canceled"


@pytest.mark.usefixtures("runner")
def test_what_one_left_that_was_killed_is_taken_away(project: Project, example: str) -> None:
    before = project.left()
    git(project.repository, "update-ref", f"refs/heads/{BRANCH}", example)
    rule = {"name": BRANCH, "push_access_level": 40}
    project.jobs.ask("POST", f"{project.jobs.path('analysis')}/protected_branches", json=rule)
    assert project.again(example, "breast-cancer train").status == "success"
    assert project.left() == before


def test_a_run_is_reproduced_once_at_a_time(project: Project, example: str) -> None:
    """A second one while the first waits for its job, and one after that was ended."""

    def second(line: str) -> None:
        assert line.startswith("pipeline #")
        with pytest.raises(DapError, match=r"is being reproduced: .*/-/pipelines/"):
            project.again(example, "breast-cancer train")
        raise KeyboardInterrupt

    interrupted(project, example, second)


def test_its_requests_are_listed(project: Project, runner: Runner, example: str) -> None:
    """tests/gitlab/requests-reproduce.txt has each kind once, to hold against GitLab's own API."""
    project.forge.requests.write_text("")
    interrupted(project, example, end)
    runner.ends = {"state": "failed"}
    assert project.again(example, "breast-cancer train").status == "failed"
    found = kinds(project.forge.requests.read_text().splitlines())
    new = "\n".join(line for kind, line in sorted(found.items()) if kind not in listed(AGAIN))
    assert not new, f"add to {AGAIN}:\n{new}"
    assert not listed(AGAIN) - found.keys(), f"take out of {AGAIN}"

"""An analysis project on the platform, from `make new-project` to its first run made again."""

import fcntl
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import yaml

from demo.access import await_result
from demo.flow import ASKED, PIPELINE_ENDS
from tests.demo.conftest import Platform
from tests.demo.projects.conftest import Make, reproduced
from tests.demo.test_run import postgres, s3


@dataclass
class Made:
    """A new project.

    Attributes:
        name: its name.
        folder: its repository.
        interrupted: what was said when it could not be finished.
        said: what was said when it could.
    """

    name: str
    folder: Path
    interrupted: str
    said: str


@pytest.fixture(scope="module")
def made(
    platform: Platform, make: Make, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Made]:
    """Make a project, at first while another deploy is at work; it leaves the platform again."""
    name = f"whales-{uuid4().hex[:6]}"
    folder = tmp_path_factory.mktemp("beside") / name
    settings = platform.project.path / "platform.yml"
    text = settings.read_text()
    try:
        with (platform.project.path / ".dap" / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            first = make("new-project", f"NAME={name}", f"DIR={folder}", "MEMBERS=admin")
        assert first.returncode != 0
        second = make("new-project", f"NAME={name}")
        assert second.returncode == 0, second.stdout
        yield Made(name, folder, first.stdout, second.stdout)
    finally:
        settings.write_text(text)
        platform.project.make("deploy")


def test_one_that_failed_says_what_stands_and_goes_on(made: Made) -> None:
    there = f"there is the folder {made.folder} and its entry in platform.yml"
    assert f"{made.name} is not finished; {there}" in made.interrupted
    assert "run the same again: it goes on" in made.interrupted
    assert "not finished" not in made.said


def test_the_settings_have_one_entry_more_with_their_comments(
    platform: Platform, made: Made
) -> None:
    text = (platform.project.path / "platform.yml").read_text()
    added = f"  - {{name: {made.name}, members: [admin]}}\n"
    assert text.count(added) == 1
    before = platform.project.git("show", "HEAD:platform.yml")
    assert text.replace(added, "") == before
    assert [each["name"] for each in yaml.safe_load(text)["projects"]][-1] == made.name


def test_the_next_step_stands_last(made: Made) -> None:
    *_, change, push = made.said.splitlines()
    assert change.endswith(f"cd {made.folder}")
    assert push.endswith("git push -u origin main")


def test_the_folder_is_a_repository_of_one_commit_with_the_forge_as_its_remote(
    platform: Platform, made: Made, git: Callable[..., str]
) -> None:
    assert git(made.folder, "status", "--porcelain") == ""
    assert git(made.folder, "rev-list", "--count", "main").strip() == "1"
    remote = git(made.folder, "remote", "get-url", "origin").strip()
    assert remote == f"ssh://git@git.{platform.domain}:2222/{made.name}"
    assert [path.name for path in made.folder.parent.iterdir()] == [made.name]


@pytest.fixture(scope="module")
def pushed(platform: Platform, made: Made, git: Callable[..., str]) -> dict[str, Any]:
    """The pipeline of the first push, once it has ended."""
    answer = git(made.folder, "push", "-u", "origin", "main")
    asked = ASKED.search(answer)
    assert asked, answer

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = platform.admin.pipeline(made.name, int(asked[1])).json()
        return found if found["status"] in PIPELINE_ENDS else None

    return await_result("the first pipeline", ended, 180)


@pytest.fixture(scope="module")
def run(platform: Platform, made: Made, pushed: dict[str, Any]) -> dict[str, Any]:
    """The run that it made."""
    found = platform.admin.run_of_commit(made.name, pushed["commit"])
    assert found
    return found


def test_the_first_push_runs_green(made: Made, pushed: dict[str, Any]) -> None:
    jobs = [(job["name"], job["status"]) for job in pushed["jobs"]]
    steps = ("check", "load", "train", "register")
    assert sorted(jobs) == sorted((f"{made.name} {step}", "success") for step in steps)


def test_it_leaves_a_run_an_object_rows_and_a_model(
    platform: Platform, made: Made, run: dict[str, Any]
) -> None:
    assert run["info"]["status"] == "FINISHED"
    found = platform.admin.mlflow(f"artifacts/list?run_id={run['info']['run_id']}")["files"]
    assert "loss.png" in {file["path"] for file in found}
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    table = tags["data"].removeprefix("table:")
    with psycopg.connect(**{**postgres(platform), "dbname": made.name}) as connection:
        query = psycopg.sql.SQL("select count(*) from {}").format(psycopg.sql.Identifier(table))
        assert connection.execute(query).fetchone() == (569,)
    alias = f"registered-models/alias?name={made.name}&alias=champion"
    assert platform.admin.mlflow(alias)["model_version"]["run_id"] == run["info"]["run_id"]


def test_it_has_a_bucket(platform: Platform, made: Made) -> None:
    client = s3(platform)
    client.put_object(Bucket=made.name, Key="object", Body=b"bytes")
    assert client.get_object(Bucket=made.name, Key="object")["Body"].read() == b"bytes"


def test_its_run_reproduces_with_equal_metrics(platform: Platform, run: dict[str, Any]) -> None:
    status, done, said = reproduced(platform, run["info"]["run_id"])
    assert status == 0, said
    assert done["ok"]
    assert {metric["difference"] for metric in done["metrics"]} == {0}


@pytest.fixture
def refused(platform: Platform, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Ask for what is refused; what was said. Nothing is changed."""
    root = platform.project.path
    text = (root / "platform.yml").read_bytes()
    notes = sorted((root / ".dap").glob("new-project/*"))
    listed = sorted(tmp_path.iterdir())

    def ask(*arguments: str) -> str:
        done = platform.dap("new-project", *arguments)
        assert done.returncode == 2, done.stdout + done.stderr
        return re.sub(r"\s+", " ", done.stderr)

    yield ask
    assert (root / "platform.yml").read_bytes() == text
    assert sorted((root / ".dap").glob("new-project/*")) == notes
    assert sorted(tmp_path.iterdir()) == listed


@pytest.mark.parametrize(
    "name", ["Churn", "ch_urn", "-churn", "churn-", "ab", "a" * 64, "a b", "../churn", "", "a\nb"]
)
def test_a_name_that_is_no_dns_label(
    refused: Callable[..., str], tmp_path: Path, name: str
) -> None:
    said = refused("--dir", str(tmp_path / "new"), "--", name)
    assert "allowed: 3 to 63 characters of a-z, 0-9 and -" in said


@pytest.mark.parametrize(("name", "whose"), [("analysis", "project"), ("admin", "user")])
def test_a_name_that_is_taken(
    refused: Callable[..., str], tmp_path: Path, name: str, whose: str
) -> None:
    said = refused("--dir", str(tmp_path / "new"), name)
    assert f"{name}: is already the name of a {whose}" in said


def test_a_reserved_name(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "is reserved" in refused("--dir", str(tmp_path / "new"), "postgres")


def test_a_member_who_is_no_user(refused: Callable[..., str], tmp_path: Path) -> None:
    said = refused("--dir", str(tmp_path / "new"), "--members", "admin,adnim", "seals")
    assert "--members: is no user; allowed: admin; " in said
    assert "found: adnim" in said


def test_a_folder_that_is_there(
    platform: Platform, refused: Callable[..., str], tmp_path: Path
) -> None:
    assert "is there already" in refused("--dir", str(tmp_path), "seals")
    assert "no such folder" in refused("--dir", str(tmp_path / "no" / "seals"), "seals")
    inside = str(platform.project.path / "seals")
    assert "lies in the platform's own repository" in refused("--dir", inside, "seals")

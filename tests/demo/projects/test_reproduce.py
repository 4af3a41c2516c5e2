"""Runs are made again from their tags, or it is said what is gone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from demo.project import REPOSITORY
from tests.demo.conftest import Platform
from tests.demo.projects.conftest import reproduced
from tests.demo.test_run import postgres, s3

REPOSITORIES = "/home/git/repositories"
NO_DIGEST = "sha256:" + "0" * 64


def tags(run: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["data"]["tags"]}


def example_runs(platform: Platform) -> list[str]:
    """Every run that a pipeline made of a commit that the example's repository still has."""
    found = platform.admin.mlflow(
        "runs/search",
        experiment_ids=[platform.outcome.run["info"]["experiment_id"]],
        filter="tags.pipeline_id != '' and attributes.status = 'FINISHED'",
        max_results=1000,
    )
    kept = set(platform.project.git("rev-list", platform.outcome.commit).split())
    return [
        run["info"]["run_id"]
        for run in found.get("runs", [])
        if {"job", "data"} <= tags(run).keys()
        and tags(run)["commit"] in kept
        and "dap.reproduces" not in tags(run)
    ]


def tables(platform: Platform) -> list[tuple[str, int]]:
    """Tables of the project with what was ever written to them."""
    query = "select relname, n_tup_ins + n_tup_upd + n_tup_del from pg_stat_user_tables order by 1"
    with psycopg.connect(**postgres(platform)) as connection:
        return [(str(name), int(count)) for name, count in connection.execute(query).fetchall()]


def state(platform: Platform) -> list[object]:
    """What a reproduction must leave as it is."""
    listed = s3(platform).list_objects_v2(Bucket=REPOSITORY)
    return [
        platform.admin.mlflow("registered-models/search"),
        platform.admin.mlflow("model-versions/search"),
        tables(platform),
        [(each["Key"], each["ETag"]) for each in listed.get("Contents", [])],
        platform.execute("git", "git", "-C", f"{REPOSITORIES}/{REPOSITORY}.git", "for-each-ref"),
    ]


def pipelines(platform: Platform) -> set[str]:
    return set(platform.execute("pipelines", "ls", f"/var/lib/pipelines/{REPOSITORY}").split())


@pytest.fixture(scope="module")
def again(platform: Platform) -> dict[str, Any]:
    """Every run of the example made again; the last one of them."""
    before = state(platform)
    wanted = example_runs(platform)
    assert platform.outcome.run["info"]["run_id"] in wanted
    done: dict[str, Any] = {}
    for identifier in wanted[:3]:
        status, done, said = reproduced(platform, identifier)
        assert (status, done["ok"]) == (0, True), f"{done}\n{said}"
        assert done["metrics"]
        assert all(metric["agrees"] and metric["difference"] == 0 for metric in done["metrics"])
    assert state(platform) == before
    return done


def test_all_runs_of_the_example_reproduce_with_equal_metrics(again: dict[str, Any]) -> None:
    assert {metric["name"] for metric in again["metrics"]} >= {"test_log_loss", "train_log_loss"}
    assert max(metric["values"] for metric in again["metrics"]) > 3


def test_the_new_run_says_of_what_it_is_and_is_from_the_same(
    platform: Platform, again: dict[str, Any]
) -> None:
    old, new = (tags(platform.admin.run(again[each])) for each in ("run", "reproduction"))
    assert new["dap.reproduces"] == again["run"]
    assert new["pipeline_id"] == str(again["pipeline"]) != old["pipeline_id"]
    for tag in ("commit", "image", "job", "data", "data_version"):
        assert new[tag] == old[tag], tag


def test_it_ran_the_one_job_that_made_the_run(platform: Platform, again: dict[str, Any]) -> None:
    pipeline = platform.admin.pipeline(REPOSITORY, again["pipeline"]).json()
    assert [(job["name"], job["status"]) for job in pipeline["jobs"]] == [(again["job"], "success")]
    assert pipeline["jobs"][0]["image"] == again["image"]
    assert pipeline["message"] == f"Reproduces run {again['run']}"


def test_a_metric_that_was_changed_disagrees(platform: Platform, again: dict[str, Any]) -> None:
    changed = again["reproduction"]
    platform.admin.mlflow(
        "runs/log-metric", run_id=changed, key="test_accuracy", value=0.5, timestamp=1, step=7
    )
    status, done, _ = reproduced(platform, changed)
    assert (status, done["ok"]) == (1, False)
    assert [each["name"] for each in done["metrics"] if not each["agrees"]] == ["test_accuracy"]


@pytest.fixture
def copied(platform: Platform, again: dict[str, Any]) -> Callable[..., str]:
    """Make a run that bears the tags of one that a pipeline made, but for those given."""
    experiment = platform.outcome.run["info"]["experiment_id"]

    def make(without: tuple[str, ...] = (), **other: str) -> str:
        kept = {**tags(platform.admin.run(again["run"])), **other}
        made = platform.admin.mlflow(
            "runs/create",
            experiment_id=experiment,
            start_time=1,
            tags=[{"key": k, "value": v} for k, v in kept.items() if k not in without],
        )["run"]["info"]["run_id"]
        platform.admin.mlflow("runs/update", run_id=made, status="FINISHED", end_time=2)
        return str(made)

    return make


@pytest.fixture
def gone(platform: Platform) -> Iterator[Callable[[str], str]]:
    """Reproduce what can't be; what was said. No pipeline is started and nothing changed."""
    before, ran = state(platform), pipelines(platform)

    def run(identifier: str) -> str:
        status, done, said = reproduced(platform, identifier)
        assert status == 1, said
        assert done["ok"] is False
        assert done["problems"]
        return said

    yield run
    assert state(platform) == before
    assert pipelines(platform) == ran


def test_a_commit_that_no_branch_holds_is_named(
    platform: Platform,
    copied: Callable[..., str],
    gone: Callable[[str], str],
    git: Callable[..., str],
    tmp_path: Path,
) -> None:
    branch = f"gone-{uuid4().hex[:8]}"
    remote = platform.project.git("remote", "get-url", "origin").strip()
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "Gone")
    git(tmp_path, "push", "--quiet", "-o", "ci.skip", remote, f"HEAD:refs/heads/{branch}")
    git(tmp_path, "push", "--quiet", remote, f":refs/heads/{branch}")
    commit = git(tmp_path, "rev-parse", "HEAD").strip()
    said = gone(copied(commit=commit))
    assert f"commit: {commit} is in no branch or tag of the repository {REPOSITORY}" in said
    assert "image:" not in said
    assert "data:" not in said


def test_image_and_table_that_are_gone_are_named_together(
    platform: Platform, copied: Callable[..., str], gone: Callable[[str], str]
) -> None:
    image = f"registry.{platform.domain}/environments/python@{NO_DIGEST}"
    said = gone(copied(image=image, data="table:gone_1"))
    assert f"image: {image} is neither in the registry nor on the runner" in said
    assert "data: table:gone_1, version " in said
    assert "commit:" not in said
    assert said.count("→") == 2, "each says what can be done"


def test_objects_that_are_gone_are_named_and_those_that_are_there_are_not(
    platform: Platform, copied: Callable[..., str], gone: Callable[[str], str]
) -> None:
    image = f"registry.{platform.domain}/environments/python@{NO_DIGEST}"
    run = copied(image=image, data=f"s3://{REPOSITORY}/tests/version-1/")
    store = s3(platform)
    store.put_object(Bucket=REPOSITORY, Key="tests/version-1/part", Body=b"rows")
    try:
        status, done, _ = reproduced(platform, run)
        assert status == 1
        assert len(done["problems"]) == 1, "the image alone is gone"
    finally:
        store.delete_object(Bucket=REPOSITORY, Key="tests/version-1/part")
    assert f"data: s3://{REPOSITORY}/tests/version-1/, version" in gone(run)


def test_a_run_that_no_pipeline_made_says_what_it_lacks(
    copied: Callable[..., str], gone: Callable[[str], str]
) -> None:
    said = gone(copied(without=("commit", "image", "job", "pipeline_id")))
    assert "was not made by a pipeline" in said
    assert "lacks the tags commit, image, job, pipeline_id" in said


def test_a_deleted_run_is_told(
    platform: Platform, copied: Callable[..., str], gone: Callable[[str], str]
) -> None:
    run = copied()
    platform.admin.mlflow("runs/delete", run_id=run)
    assert "the run is deleted" in gone(run)


def test_a_run_that_nobody_has_is_told(gone: Callable[[str], str]) -> None:
    assert "there is no such run that a project can see" in gone(uuid4().hex)


def test_what_is_no_id_is_refused(platform: Platform) -> None:
    status, _, said = reproduced(platform, "../etc")
    assert status == 2
    assert "32 hex digits" in said

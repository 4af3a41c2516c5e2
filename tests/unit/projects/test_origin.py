"""A run's tags say what made it, or what is missing."""

import dataclasses

import pytest
from dap.reproduce import Run, UnreproducibleError
from dap.reproduce.origin import origin

DIGEST = "sha256:" + "a" * 64
TAGS = {
    "commit": "b" * 40,
    "image": f"registry.dap.test/environments/python-cuda@{DIGEST}",
    "job": "churn train",
    "data_version": "c" * 12,
    "pipeline_id": "12",
}
RUN = Run("d" * 32, "1", "name", "FINISHED", False, 0, "", TAGS, ())


def refused(run: Run, job: str = "") -> str:
    with pytest.raises(UnreproducibleError) as error:
        origin(run, job)
    return str(error.value)


def test_the_tags_are_the_origin() -> None:
    found = origin(RUN)
    assert (found.registry, found.repository) == ("registry.dap.test", "environments/python-cuda")
    assert (found.environment, found.digest, found.data) == ("python-cuda", DIGEST, "")


@pytest.mark.parametrize("tag", sorted(set(TAGS) - {"job"}))
def test_each_tag_is_needed_and_named(tag: str) -> None:
    tags = {key: value for key, value in TAGS.items() if key != tag}
    said = refused(dataclasses.replace(RUN, tags=tags))
    assert "was not made by a pipeline" in said
    assert f"lacks the tags {tag}\n" in said


def test_a_run_made_by_hand_is_told_all_that_is_missing() -> None:
    said = refused(dataclasses.replace(RUN, tags={"data_version": "c" * 12}))
    assert "lacks the tags commit, image, job, pipeline_id" in said


def test_the_job_alone_can_be_given() -> None:
    run = dataclasses.replace(RUN, tags={k: v for k, v in TAGS.items() if k != "job"})
    assert "JOB=" in refused(run)
    assert origin(run, "train").job == "train"


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("image", "registry.dap.test/environments/python:latest"),
        ("image", "registry.dap.test/environments/python@sha256:1"),
        ("image", DIGEST),
        ("commit", "main"),
        ("commit", "--help"),
    ],
)
def test_what_does_not_name_one_thing_is_refused(tag: str, value: str) -> None:
    assert value in refused(dataclasses.replace(RUN, tags={**TAGS, tag: value}))


def test_a_deleted_or_unfinished_run_is_told() -> None:
    run = dataclasses.replace(RUN, deleted=True, status="FAILED")
    said = refused(run)
    assert "deleted" in said
    assert "FAILED" in said

"""Pipelines of the stand-in: what a configuration makes of a push."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gitlab.standin.ci import CiError, jobs
from tests.paths import ROOT

TEMPLATE = ROOT / "template"
ANALYSIS = "src/breast-cancer/.gitlab-ci.yml"


def made(files: dict[str, str], **given: Any) -> dict[str, dict[str, Any]]:
    known = given.pop("known", {})
    found = jobs(files.__getitem__, list(files), given.pop("changed", None), known)
    return {row["name"]: row for row in found}


@pytest.fixture
def platform() -> dict[str, str]:
    """The platform's own repository, as far as pipelines see it."""
    read = {path: (ROOT / path).read_text() for path in ("environments/.gitlab-ci.yml", ANALYSIS)}
    return {".gitlab-ci.yml": (TEMPLATE / ".gitlab-ci.yml").read_text(), **read}


def test_the_pipeline_of_the_example(platform: dict[str, str]) -> None:
    found = made(platform)
    assert [name.removeprefix("breast-cancer ") for name in found] == [
        *("check", "load", "train", "register")
    ]
    train = found["breast-cancer train"]
    assert train["before_script"] == ["cd src/breast-cancer"]
    assert train["needs"] == ["breast-cancer check", "breast-cancer load"]
    assert train["artifacts"] == {"reports": {"dotenv": "src/breast-cancer/train.env"}}


@pytest.mark.parametrize(
    ("changed", "branch", "there"),
    [
        (["environments/python/Dockerfile"], "main", True),
        (["environments/python/tests/deep/test_it.py"], "main", True),
        (["environments/python/Dockerfile"], "other", False),
        (["environments/lock.yml"], "main", False),
        ([ANALYSIS], "main", False),
        (None, "main", True),
    ],
)
def test_rules_say_which_jobs_there_are(
    platform: dict[str, str], changed: list[str] | None, branch: str, there: bool
) -> None:
    known = {"CI_COMMIT_BRANCH": branch, "CI_DEFAULT_BRANCH": "main"}
    known["DAP_ENVIRONMENT_IMAGE_BUILDER"] = "image"
    assert ("build environments" in made(platform, changed=changed, known=known)) == there


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: {script: x, image: y, retyr: 1}", "knows no retyr"),
        ("a: {script: x, image: y, stage: z}", "stage z does not exist"),
        ("a: {script: x, image: y, needs: [b]}", "needs b"),
        ("a: {script: x, image: y, extends: .b}", "extends"),
        ("a: {script: x}", "needs script and image"),
        ("include: [{remote: x}]", "only local"),
    ],
)
def test_what_is_not_known_is_refused(text: str, says: str) -> None:
    with pytest.raises(CiError, match=says):
        made({".gitlab-ci.yml": text})

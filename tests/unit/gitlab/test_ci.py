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
    since = given.pop("since", None)
    found = jobs(files.__getitem__, list(files), given.pop("changed", None), known, since)
    return {row["name"]: row for row in found}


@pytest.fixture
def platform() -> dict[str, str]:
    """The platform's own repository, as far as pipelines see it."""
    paths = ("environments/.gitlab-ci.yml", "infrastructure/.gitlab-ci.yml", ANALYSIS)
    read = {path: (ROOT / path).read_text() for path in paths}
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


MAIN = {"CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main", "CI_PIPELINE_SOURCE": "push"}
TOPIC = {**MAIN, "CI_COMMIT_BRANCH": "topic"}
DRIFT = {
    **MAIN,
    "CI_PIPELINE_SOURCE": "schedule",
    "CI_PIPELINE_SCHEDULE_DESCRIPTION": "platform drift",
}
GITOPS = {"DAP_GITOPS_PLAN": "true", "DAP_GITOPS_APPLY": "true"}


@pytest.mark.parametrize(
    ("known", "changed", "there"),
    [
        (TOPIC, ["platform.yml"], set()),
        (MAIN, ["platform.yml"], set()),
        ({**TOPIC, **GITOPS}, ["platform.yml"], {"plan"}),
        ({**TOPIC, **GITOPS}, ["infrastructure/services/x/compose.yml"], {"plan"}),
        ({**TOPIC, **GITOPS}, ["src/breast-cancer/README.md"], set()),
        ({**MAIN, **GITOPS}, ["platform.yml"], {"apply"}),
        ({**MAIN, **GITOPS}, ["src/breast-cancer/README.md"], set()),
        ({**MAIN, "DAP_GITOPS_PLAN": "true"}, ["platform.yml"], set()),
        ({**DRIFT, **GITOPS}, None, {"drift"}),
        ({**TOPIC, **GITOPS, "CI_COMMIT_BRANCH": "", "CI_COMMIT_TAG": "v1"}, None, set()),
        ({**MAIN, **GITOPS, "CI_PIPELINE_SOURCE": "schedule"}, None, set()),
    ],
)
def test_what_looks_after_the_platform_and_when(
    platform: dict[str, str], known: dict[str, str], changed: list[str] | None, there: set[str]
) -> None:
    builder = {"DAP_ENVIRONMENT_IMAGE_BUILDER": "image"}
    found = made(platform, changed=changed, known={**known, **builder})
    own = {name.removeprefix("platform "): row for name, row in found.items() if "platform" in name}
    assert own.keys() == there
    # Whoever may push gets no runner that deploys.
    assert {name: row["tags"] for name, row in own.items()} == {
        name: [] if name == "plan" else ["platform"] for name in there
    }
    # That schedule runs no analysis, and builds nothing.
    assert ("breast-cancer train" in found) == ("drift" not in there)
    assert "drift" not in there or len(found) == 1


@pytest.mark.parametrize(
    ("since_main", "there"),
    [(["platform.yml", "README.md"], True), (["src/breast-cancer/README.md"], False)],
)
def test_a_branch_is_held_against_main_even_if_it_is_new(
    platform: dict[str, str], since_main: list[str], there: bool
) -> None:
    since = {"refs/heads/main": since_main}.__getitem__
    found = made(platform, known={**TOPIC, **GITOPS}, since=since)
    assert ("platform plan" in found) == there


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: {script: x, image: y, artifacts: {reports: {junit: z}}}", "artifacts: .* no junit"),
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

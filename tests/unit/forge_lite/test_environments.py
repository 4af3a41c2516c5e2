"""Which pipelines may build, and what a commit's lock makes of a job's images."""

from dataclasses import replace

import pytest
from dap_pipelines.environments import LockError, may_build, read_lock
from dap_pipelines.state import Pipeline
from dap_pipelines.variables import predefined

from tests.unit.forge_lite.given import values

DIGEST = "sha256:" + "1" * 64
VALUES = replace(values(), projects=("analysis", "churn"))
PUSH = Pipeline(1, "analysis", "refs/heads/main", "0" * 40, "", "ada", 0)


@pytest.mark.parametrize(
    ("pipeline", "may"),
    [
        (PUSH, True),
        (replace(PUSH, project="churn"), False),
        (replace(PUSH, ref="refs/heads/mine"), False),
        (replace(PUSH, ref="refs/tags/main"), False),
        (replace(PUSH, job="train"), False),
    ],
)
def test_only_pushes_to_main_of_the_platforms_repository_build(
    pipeline: Pipeline, may: bool
) -> None:
    assert may_build(pipeline, VALUES) is may


def test_a_lock_names_images_of_the_registry() -> None:
    text = f"r: {{content: 0, image: environments/r@{DIGEST}}}".encode()
    assert read_lock(text, "registry.example") == {"r": f"registry.example/environments/r@{DIGEST}"}
    assert read_lock(b"", "registry.example") == {}


@pytest.mark.parametrize(
    "text",
    [
        "r: {content: 0}",
        "[]: 1",
        "r: {image: 'other.example/r@" + DIGEST + "'}",
        "r: {image: environments/r:latest}",
        "r: {image: environments/s@" + DIGEST + "}",
        "r: [",
        "- r",
    ],
)
def test_any_other_lock_is_refused(text: str) -> None:
    with pytest.raises(LockError, match=r"environments/lock\.yml"):
        read_lock(text.encode(), "registry.example")


@pytest.mark.parametrize(
    ("project", "gitops", "has"),
    [("analysis", True, True), ("churn", True, False), ("analysis", False, False)],
)
def test_the_platforms_repository_alone_shows_what_a_deploy_would_change(
    project: str, gitops: bool, has: bool
) -> None:
    found = predefined(replace(PUSH, project=project), replace(VALUES, gitops=gitops), {})
    assert ("DAP_GITOPS_PLAN" in found) is has

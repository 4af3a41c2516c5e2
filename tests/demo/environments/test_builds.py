"""Pushes that change environments, in the order in which somebody makes them."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.demo.conftest import Platform
from tests.demo.environments.conftest import BUILD, SMALL, SMALLER, TEST, Clone, Ended
from tests.programs import printed

BROKEN = "FROM parent\nUSRE 0\n"
UNRESOLVABLE = "apt-get update && apt-get install -y no-such-package-at-all"


class Story:
    """What the pushes have led to so far."""

    first: Ended
    second: Ended
    locks: list[dict[str, dict[str, str]]]
    two: str  # the commit that changed the environment
    good: str  # the last before the failures


@pytest.fixture(scope="module")
def story() -> Story:
    story = Story()
    story.locks = []
    return story


@pytest.fixture(scope="module")
def workspace(platform: Platform, clone: Clone) -> Iterator[str]:
    """A workspace of the small environment, from the next deploy on; afterwards it is gone."""
    name = "admin-small"
    project = platform.project
    settings = project.path / "platform.yml"
    text = settings.read_text()
    settings.write_text(text + f"  - {{name: {name}, owner: admin, environment: {SMALL}}}\n")
    yield name
    settings.write_text(text)
    project.git("checkout", "--quiet", clone.start, "--", ".gitlab-ci.yml", "environments")
    for name in ("lock.yml", SMALL, SMALLER):
        subprocess.run(["rm", "-rf", project.path / "environments" / name], check=True)
    project.git("reset", "--quiet")
    project.make("deploy")


def deploy(platform: Platform) -> str:
    """Deploy what the forge's main holds; what the deploy said."""
    project = platform.project
    project.git("fetch", "--quiet", "origin", "main")
    project.git("checkout", "--quiet", "FETCH_HEAD", "--", "environments")
    return printed(project.path, "make", "--no-print-directory", "deploy")


def digests_of(platform: Platform, service: str) -> set[str]:
    """Digests in the registry of the image that a service's container runs."""
    image = platform.container(service).image
    assert image is not None
    found: list[str] = image.attrs["RepoDigests"]
    return {each.partition("/")[2] for each in found}


def test_a_push_builds_tests_pushes_and_locks_without_root(clone: Clone, story: Story) -> None:
    clone.environment(SMALL, "base", "echo one >/etc/small")
    clone.write(f"environments/{SMALL}/tests/test_small.py", TEST)
    clone.environment(SMALLER, SMALL, "echo smaller >/etc/smaller")
    number = clone.push("Add small environments")
    container = clone.job_container(number)
    pipeline = clone.ended(number)
    assert pipeline.state["status"] == "success", pipeline.logs

    host = container["HostConfig"]
    assert container["Config"]["User"] == "1000:1000"
    assert not host["Privileged"]
    assert host["CapDrop"] == ["ALL"]
    assert {name.removeprefix("CAP_") for name in host["CapAdd"]} == {"SETGID", "SETUID"}
    assert not host["Devices"]
    mounts = [mount for mount in container["Mounts"] if mount["Type"] != "volume"]
    assert mounts == []
    assert not [option for option in host["SecurityOpt"] if option == "seccomp=unconfined"]

    log = pipeline.logs[BUILD]
    assert f"building environments/{SMALL}" in log
    assert f"building environments/{SMALLER}" in log
    assert "building environments/base" not in log
    assert "passed" in log
    clone.pull()
    assert set(clone.lock) == {SMALL, SMALLER}
    for name, entry in clone.lock.items():
        assert entry["content"] in clone.tags(name)
        image, _, digest = entry["image"].partition("@")
        answer = clone.platform.admin.request(
            "HEAD", "registry", f"/v2/{image}/manifests/{digest}",
            headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"},
        )  # fmt: skip
        assert answer.status_code == 200, name
    assert clone.git("log", "-1", "--format=%an", "--", "environments/lock.yml") == "dap.lock\n"
    story.locks.append(clone.lock)

    story.first = clone.ended(clone.lock_pipeline(number))
    assert story.first.jobs == {"look": "success"}
    assert story.first.images["DAP_ENVIRONMENT_SMALL"].endswith(clone.lock[SMALL]["image"])
    assert "Z one\n" in story.first.logs["look"]


def test_a_deploy_brings_a_workspace_the_image_that_was_built(
    platform: Platform, story: Story, workspace: str
) -> None:
    said = deploy(platform)
    image = story.locks[0][SMALL]["image"]
    assert digests_of(platform, workspace) == {image}
    assert f"pulling registry.{platform.domain}/{image}" in said
    assert "building environment-small" not in said


def test_a_change_rebuilds_the_environment_and_its_children_alone(
    clone: Clone, story: Story
) -> None:
    clone.environment(SMALL, "base", "echo two >/etc/small")
    number = clone.push("Say two")
    story.two = clone.git("rev-parse", "HEAD").strip()
    pipeline = clone.ended(number)
    assert pipeline.state["status"] == "success", pipeline.logs
    log = pipeline.logs[BUILD]
    built = {
        line.rpartition("/")[2] for line in log.splitlines() if "==> building environments/" in line
    }
    assert built == {SMALL, SMALLER}
    # Beside the build, jobs still run in what was locked.
    assert "Z one\n" in pipeline.logs["look"]
    clone.pull()
    story.locks.append(clone.lock)
    for name in (SMALL, SMALLER):
        assert story.locks[0][name]["image"] != story.locks[1][name]["image"]
    story.second = clone.ended(clone.lock_pipeline(number))
    assert "Z two\n" in story.second.logs["look"]


def test_the_next_deploy_moves_the_workspace(
    platform: Platform, story: Story, workspace: str
) -> None:
    deploy(platform)
    assert digests_of(platform, workspace) == {story.locks[1][SMALL]["image"]}
    assert platform.execute(workspace, "cat", "/etc/small") == "two\n"


def test_a_push_that_touches_no_environment_builds_nothing(clone: Clone) -> None:
    clone.write("README.md", "Nothing of an environment\n")
    pipeline = clone.ended(clone.push("Write"))
    assert pipeline.jobs == {"look": "success"}
    assert pipeline.state["finished"] - pipeline.state["created"] < 60


def test_a_failure_says_where_and_moves_nothing(clone: Clone, story: Story) -> None:
    dockerfile = f"environments/{SMALLER}/Dockerfile"
    test = f"environments/{SMALLER}/tests/test_smaller.py"
    before = (clone.path / dockerfile).read_text()
    story.good = clone.git("rev-parse", "HEAD").strip()
    failing = TEST.replace("in {", "not in {")
    for name, text, reason in (
        (dockerfile, BROKEN, f"{dockerfile}: not built: "),
        (dockerfile, before.replace("RUN", f"RUN {UNRESOLVABLE} &&"), "no-such-package"),
        (test, failing, f"environments/{SMALLER}: its tests fail: "),
    ):
        clone.write(dockerfile, before.replace("smaller", "smallest"))
        clone.write(name, text)
        tags = clone.tags(SMALLER)
        pipeline = clone.ended(clone.push(f"Break {name}"))
        log = pipeline.logs[BUILD]
        assert pipeline.jobs[BUILD] == "failed", log
        assert reason in log
        assert "Nothing was moved: jobs and workspaces keep the images they have." in log
        assert pipeline.state["reason"] == f"failed: {BUILD}"
        assert "Z two\n" in pipeline.logs["look"]
        assert clone.pull() == pipeline.state["commit"]
        assert clone.lock == story.locks[1]
        assert clone.tags(SMALLER) == tags


def test_reverting_moves_back_to_the_digest_before(clone: Clone, story: Story) -> None:
    clone.git("revert", "--no-edit", f"{story.good}..HEAD")
    clone.git("revert", "--no-edit", story.two)
    number = clone.pushed()
    pipeline = clone.ended(number)
    assert pipeline.state["status"] == "success", pipeline.logs
    assert "==> building" not in pipeline.logs[BUILD]
    clone.pull()
    assert clone.lock == story.locks[0]
    again = clone.ended(clone.lock_pipeline(number))
    assert again.images == story.first.images
    assert "Z one\n" in again.logs["look"]

"""Environments beyond the default ones: built as a deploy does it, tested as their folders say."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.project import ROOT
from tests.demo.conftest import Platform
from tests.environments import COMMIT, build

ENVIRONMENTS = ROOT / "environments"
EXTRA = ("r", "python-cuda")
REVISION = "org.opencontainers.image.revision"


@pytest.fixture(scope="module")
def images(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """References by environment, each built; the large one is removed, its layers are cached."""
    built = build(platform.project, EXTRA, tmp_path_factory.mktemp("extra"))
    yield built
    if os.environ.get("DAP_KEEP") != "1":
        platform.docker.images.remove(built["python-cuda"])


@pytest.mark.parametrize("name", EXTRA)
def test_it_passes_its_parents_tests_and_its_own(images: dict[str, str], name: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--environment", name, "--image", images[name]],
        cwd=ENVIRONMENTS,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    if name == "python-cuda" and shutil.which("nvidia-smi") is None:
        assert done.stdout.count("no GPU: this machine has no driver of NVIDIA's") == 2
        assert " 2 skipped" in done.stdout


def test_labels_say_what_an_image_is_and_of_which_commit(
    platform: Platform, images: dict[str, str]
) -> None:
    for name in EXTRA:
        labels = platform.docker.images.get(images[name]).labels
        assert labels["org.opencontainers.image.title"] == f"environments/{name}"
        assert labels["org.opencontainers.image.version"] == images[name].rpartition(":")[2]
        assert labels[REVISION] == COMMIT
    deployed = platform.docker.images.get(images["python"]).labels[REVISION]
    assert len(deployed.removesuffix("-dirty")) == 40


def test_a_child_starts_from_the_very_image_that_is_deployed(
    platform: Platform, images: dict[str, str]
) -> None:
    def layers(name: str) -> list[str]:
        found: list[str] = platform.docker.images.get(images[name]).attrs["RootFS"]["Layers"]
        return found

    for child, parent in (("python-cuda", "python"), ("r", "base"), ("python", "base")):
        assert layers(child)[: len(layers(parent))] == layers(parent)


def test_a_default_deploy_builds_none_of_them(platform: Platform) -> None:
    names = {image["name"] for image in platform.plan["images"]}
    assert "environment-python" in names
    assert not names & {f"environment-{name}" for name in EXTRA}


BROKEN = {
    "a Dockerfile with a mistake": (
        "FROM parent\nRUNN true\n",
        "unknown instruction: RUNN",
    ),
    "a dependency that can't be resolved": (
        "FROM builder\nRUN uv pip install --system --break-system-packages "
        "no-such-package-dap==0.1\n",
        "no-such-package-dap",
    ),
}


@pytest.fixture
def environment(platform: Platform) -> Iterator[Path]:
    """Folder of a further environment that the settings ask for; gone afterwards."""
    folder = platform.project.path / "environments" / "broken"
    settings = platform.project.path / "platform.yml"
    before = settings.read_text()
    folder.mkdir()
    (folder / "environment.yml").write_text("parent: base\ndescription: Broken\n")
    settings.write_text(f"environments: [python, broken]\n{before}")
    yield folder
    shutil.rmtree(folder)
    settings.write_text(before)
    done = platform.dap("deploy")
    assert done.returncode == 0, done.stderr


def test_what_can_not_be_built_leaves_all_as_it_runs(platform: Platform, environment: Path) -> None:
    before = platform.started()
    running = {name: c.image.id for name, c in platform.containers().items() if c.image}
    for dockerfile, said in BROKEN.values():
        (environment / "Dockerfile").write_text(dockerfile)
        done = platform.dap("deploy", columns=200)
        assert done.returncode == 1, done.stdout
        assert said in done.stdout + done.stderr
        assert "mend what the lines above say" in done.stdout + done.stderr
    assert platform.started() == before
    assert {n: c.image.id for n, c in platform.containers().items() if c.image} == running

"""GitLab's own runner reads what is rendered for it: it knows all keys, and takes all values."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import docker
import pytest

from tests.cluster import image
from tests.unit.gitlab.test_contracts import SETTINGS, trees

PLACE = "secrets/gitlab-runner/gitlab-runner/config.toml"
LINT = "for file in /tmp/configurations/*; do gitlab-runner lint --config $file || exit; done"


def lint(*texts: str) -> tuple[int, str]:
    """What the runner says of configurations: exit status and output."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for number, text in enumerate(texts):
            entry = tarfile.TarInfo(f"configurations/{number}.toml")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    made = docker.from_env().containers.create(
        image.have(*image.RUNNERS)["gitlab-runner"],
        ["-c", LINT],
        entrypoint=["sh"],
        network_mode="none",
        labels={"dap.test": "cluster"},
    )
    try:
        made.put_archive("/tmp", target.getvalue())
        made.start()
        status = int(made.wait()["StatusCode"])
        return status, made.logs().decode()
    finally:
        made.remove(force=True)


def configurations(data: dict[str, Any]) -> list[str]:
    files = [file for tree in trees(data) for file in tree.files if file.path == PLACE]
    return [file.content.decode() for file in files]


@pytest.mark.parametrize("name", SETTINGS)
def test_the_runner_knows_all_that_its_configuration_says(name: str) -> None:
    found = configurations(SETTINGS[name])
    assert found
    status, said = lint(*found)
    assert status == 0, said
    assert said.count("Configuration file is valid.") == len(found)


def test_the_runner_says_which_key_it_does_not_know() -> None:
    (text, *_) = configurations({})
    status, said = lint(text.replace("output_limit", "output_limits"))
    assert status != 0
    assert "unknown key: runners.output_limits" in said

"""The worker and git's server read what the platform renders for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dap_pipelines.values import read_values

from tests.unit.render.test_real_catalogue import rendered

CONFIG, ENGINES = "config/forge-lite/pipelines.json", "config/forge-lite/hosts/engines.json"


def files_of(data: dict[str, Any]) -> dict[str, str]:
    """The rendered files of the first host, by path."""
    return {file.path: file.content.decode() for file in rendered(data)[0].files}


def test_the_worker_reads_its_values(tmp_path: Path) -> None:
    files = files_of({})
    for name in (CONFIG, ENGINES):
        (tmp_path / Path(name).name).write_text(files[name])
    values = read_values(tmp_path / "pipelines.json", tmp_path / "engines.json")
    assert values.platform == "dap"
    assert values.projects == ("analysis",)
    assert [host.slots for host in values.engines] == [2]


@pytest.mark.parametrize(
    ("data", "runs"),
    [
        ({}, True),
        ({"target": "kubernetes", "cluster": {"context": "c", "slots": 0}}, False),
    ],
)
def test_git_s_server_knows_whether_there_is_a_worker(data: dict[str, Any], runs: bool) -> None:
    assert json.loads(files_of(data)[CONFIG])["runs"] is runs

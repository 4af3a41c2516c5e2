from pathlib import Path

import pytest
from dap_pipelines import state
from dap_pipelines.state import Pipeline, forget, pipelines, prune


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Pipeline]:
    """Three pipelines that have ended."""
    monkeypatch.setattr(state, "STATE", tmp_path)
    made = [Pipeline(n, "p", "refs/heads/main", "0" * 40, "", "ada", n) for n in (1, 2, 3)]
    for pipeline in made:
        pipeline.directory.mkdir(parents=True)
        pipeline.end("success")
    return made


@pytest.mark.usefixtures("kept")
def test_the_oldest_are_deleted() -> None:
    prune("p", 1)
    assert [pipeline.id for pipeline in pipelines()] == [3]


def test_two_runners_may_delete_the_same(kept: list[Pipeline]) -> None:
    forget(kept[0])
    forget(kept[0])
    assert [pipeline.id for pipeline in pipelines()] == [2, 3]


def test_one_that_goes_while_all_are_read_is_left_out(kept: list[Pipeline]) -> None:
    found = pipelines()
    next(found)
    forget(kept[1])
    assert [pipeline.id for pipeline in found] == [3]

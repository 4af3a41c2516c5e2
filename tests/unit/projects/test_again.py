"""Which of a pipeline's runs is the reproduction of another."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from dap.errors import DapError
from dap.reproduce import Run
from dap.reproduce.model import Ended, History
from dap.reproduce.origin import origin
from dap.reproduce.steps import made_again

IMAGE = "registry.x.test/environments/python@sha256:" + "a" * 64
NEW = Ended(3, "https://new/3", "success", "", IMAGE, ())


def made(number: str, pipeline: str, **tags: str) -> Run:
    given = {"commit": "c" * 40, "image": IMAGE, "job": "train", "data_version": "1"}
    given |= {"pipeline_id": pipeline, **tags}
    return Run(number, "1", "", "FINISHED", False, int(number), "", given, ())


class Kept:
    """Runs, in the order in which they were made."""

    def __init__(self, *runs: Run) -> None:
        self.runs = runs

    def find(self, run: str) -> Run | None:
        return next((each for each in self.runs if each.id == run), None)

    def tagged(self, experiment: str, tag: str, value: str) -> Sequence[Run]:
        return [r for r in self.runs if r.experiment == experiment and r.tags.get(tag) == value]

    def history(self, run: str, metric: str) -> History:
        raise NotImplementedError

    def tag(self, run: str, tag: str, value: str) -> None:
        raise NotImplementedError


def again(kept: Kept, number: str) -> str:
    run = kept.find(number)
    assert run is not None
    return made_again(kept, run, origin(run), NEW).id


def test_it_is_the_one_in_the_same_place_of_the_same_job() -> None:
    kept = Kept(
        made("1", "2"), made("2", "2"), made("3", "3", job="other"), made("4", "3"), made("5", "3")
    )
    assert (again(kept, "1"), again(kept, "2")) == ("4", "5")


def test_pipelines_of_another_forge_do_not_count() -> None:
    """It gave the same numbers to its own."""
    old = [
        made("1", "3", pipeline_url="https://old/3"),
        made("2", "2", pipeline_url="https://old/2"),
    ]
    new = [
        made("3", "2", pipeline_url="https://new/2"),
        made("4", "3", pipeline_url="https://new/3"),
    ]
    kept = Kept(*old, *new)
    assert [again(kept, number) for number in "123"] == ["4", "4", "4"]


def test_a_pipeline_that_made_less_is_told() -> None:
    kept = Kept(made("1", "2"), made("2", "2"), made("3", "3"))
    with pytest.raises(DapError, match="made 1 runs in the experiment; the run was number 2"):
        again(kept, "2")

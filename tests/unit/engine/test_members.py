"""The service host keeps in mind which hosts it had, until the platform was taken off them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.engine.modules import load

TREE = load("dap_tree")  # puts the modules' folder on the way

from dap.onhost import members  # noqa: E402

FIRST = {"name": "hub", "address": "localhost"}
SECOND = {"name": "r1", "address": "10.0.0.1"}
OTHER = {"name": "r1", "address": "10.0.0.2"}


@pytest.fixture
def module() -> Any:
    return TREE


def known(directory: Path) -> Any:
    return json.loads((directory / "hosts.json").read_text())


def test_nothing_is_gone_at_first(module: Any, tmp_path: Path) -> None:
    place = tmp_path / "tree"
    assert module.gone(place, [FIRST, SECOND], False) == []
    assert known(place) == [FIRST, SECOND]
    assert (place / "hosts.json").stat().st_mode & 0o777 == 0o600


def test_one_that_left_is_told_until_it_is_forgotten(module: Any, tmp_path: Path) -> None:
    module.gone(tmp_path, [FIRST, SECOND], False)
    for _ in range(2):
        assert module.gone(tmp_path, [FIRST], False) == [SECOND]
    (tmp_path / "plan.json").write_text(json.dumps({"settings": {"hosts": [FIRST]}}))
    members.main({"directory": str(tmp_path), "gone": [SECOND]})
    assert module.gone(tmp_path, [FIRST], False) == [SECOND]
    members.main({"directory": str(tmp_path), "gone": []})
    assert module.gone(tmp_path, [FIRST], False) == []


def test_another_machine_of_the_name_is_another_host(module: Any, tmp_path: Path) -> None:
    module.gone(tmp_path, [FIRST, SECOND], False)
    assert module.gone(tmp_path, [FIRST, OTHER], False) == [SECOND]


def test_another_name_or_the_own_address_make_no_other_machine(module: Any, tmp_path: Path) -> None:
    module.gone(tmp_path, [FIRST, SECOND], False)
    (tmp_path / "plan.json").write_text(json.dumps({"host": "hub"}))
    members = [FIRST | {"address": "10.0.0.9"}, SECOND | {"name": "renamed"}]
    assert module.gone(tmp_path, members, False) == []
    assert known(tmp_path) == members


def test_a_plan_that_somebody_wrote_into_stops_no_deploy(module: Any, tmp_path: Path) -> None:
    module.gone(tmp_path, [FIRST, SECOND], False)
    (tmp_path / "plan.json").write_text("{} what somebody added")
    assert module.gone(tmp_path, [FIRST], False) == [SECOND]


def test_a_look_writes_nothing(module: Any, tmp_path: Path) -> None:
    assert module.gone(tmp_path / "tree", [FIRST], True) == []
    assert not (tmp_path / "tree").exists()

"""A machine that is in the settings by another address is not taken for one that is gone."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dap.engine import forget as module
from dap.engine.forget import forget
from dap.engine.playbook import Failure, Outcome, Step
from dap.plan.model import Place

from tests.paths import ROOT

OLD, NEW = "localhost", "10.0.0.2"  # as the same machine is reached before and now


class Fleet:
    """Service host and runner host on this machine, in a folder each."""

    def __init__(self, folder: Path) -> None:
        self.hub = Place("hub", "localhost", None, None, "", None, str(folder / "hub"))
        self.old = Place("r1", OLD, None, None, "", None, str(folder / "r1"))
        self.destroyed: list[str] = []
        self.said: list[str] = []
        members = [vars(self.hub) | {"address": "10.0.0.1"}, vars(self.old) | {"address": NEW}]
        self.deployed(self.hub, members)
        (folder / "hub" / "hosts.json").write_text(json.dumps([*members, vars(self.old)]))
        self.prepared: Any = SimpleNamespace(
            root=ROOT,
            work=folder,
            vault=SimpleNamespace(label="test"),
            plan=SimpleNamespace(
                service_host=SimpleNamespace(host=self.hub),
                hosts=[SimpleNamespace(host=SimpleNamespace(**each)) for each in members],
            ),
        )

    def deployed(self, place: Place, hosts: list[dict[str, Any]]) -> None:
        Path(place.directory).mkdir()
        plan = {"host": place.name, "settings": {"hosts": hosts}}
        Path(place.directory, "plan.json").write_text(json.dumps(plan))

    def forget(self, tmp_path: Path, *failures: Failure, lost: tuple[str, ...] = ()) -> list[str]:
        """Return the addresses of r1 that are still in mind."""
        step = Step("hub", "tree", 0, (), {}, (), (vars(self.old),))
        outcome = Outcome(tmp_path / "log", [step], list(failures))
        progress: Any = SimpleNamespace(say=self.said.append)
        forget(self.prepared, outcome, progress, log=tmp_path / "log", lost=lost)
        hosts = json.loads(Path(self.hub.directory, "hosts.json").read_text())
        return [each["address"] for each in hosts if each["name"] == "r1"]


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root_account: None) -> Fleet:  # noqa: ARG001
    made = Fleet(tmp_path)

    def destroy(*_: Any, log: Path, **__: Any) -> Outcome:
        made.destroyed.append("r1")
        return Outcome(log)

    monkeypatch.setattr(module, "write_gone_inventory", lambda *_: tmp_path / "gone.json")
    monkeypatch.setattr(module, "run_playbook", destroy)
    return made


def test_a_machine_with_another_address_is_left_as_it_is(fleet: Fleet, tmp_path: Path) -> None:
    fleet.deployed(fleet.old, [{"name": "r1", "address": NEW}])
    assert fleet.forget(tmp_path) == [NEW]
    assert fleet.destroyed == []


def test_the_machine_that_another_has_replaced_is_destroyed(fleet: Fleet, tmp_path: Path) -> None:
    fleet.deployed(fleet.old, [{"name": "r1", "address": OLD}])
    assert fleet.forget(tmp_path) == [NEW]
    assert fleet.destroyed == ["r1"]


def test_nothing_is_decided_before_the_host_of_that_name_is_deployed(
    fleet: Fleet, tmp_path: Path
) -> None:
    fleet.deployed(fleet.old, [{"name": "r1", "address": OLD}])
    failure = Failure("r1", "Tree", "no room", "", "", refused=False)
    assert fleet.forget(tmp_path, failure) == [NEW, OLD]
    assert fleet.destroyed == []


def test_a_lost_machine_is_forgotten_though_another_has_its_name(
    fleet: Fleet, tmp_path: Path
) -> None:
    assert fleet.forget(tmp_path, lost=("r1",)) == [NEW]
    assert fleet.destroyed == []
    assert fleet.said == ["r1: forgotten unseen; what runs there still runs"]


def test_who_is_not_gone_can_t_be_forgotten(fleet: Fleet, tmp_path: Path) -> None:
    fleet.deployed(fleet.old, [{"name": "r1", "address": OLD}])
    fleet.forget(tmp_path, lost=("r2",))
    assert fleet.destroyed == ["r1"]
    assert fleet.said == ["r2: no machine of that name is gone from platform.yml"]

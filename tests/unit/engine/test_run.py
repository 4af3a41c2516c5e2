"""A run does not take what an earlier one left for its own."""

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dap.engine.inventory import told_file
from dap.engine.playbook import Outcome
from dap.engine.run import run


def test_what_a_killed_deploy_told_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "run"
    service = SimpleNamespace(host=SimpleNamespace(name="hub"))
    prepared: Any = SimpleNamespace(
        root=tmp_path,
        work=work,
        plan=SimpleNamespace(
            service_host=service, hosts=[service], settings=SimpleNamespace(cluster=None)
        ),
        trees=(),
        secrets={},
        vault=SimpleNamespace(label="test"),
        new_secrets=(),
        log=lambda verb, time: tmp_path / f"{time}-{verb}.log",
    )
    work.mkdir()
    told_file(work).write_text('{"error": "the service host hub failed"}')
    seen = []
    module = import_module("dap.engine.run")  # the package has a function of that name

    def playbook(*_: Any, log: Path, **__: Any) -> Outcome:
        seen.append(told_file(work).exists())
        return Outcome(log)

    monkeypatch.setattr(module, "write_inventory", lambda *_: work / "inventory.json")
    monkeypatch.setattr(module, "run_playbook", playbook)
    progress: Any = SimpleNamespace(say=lambda _: None)
    assert run(prepared, "deploy", progress).failures == []
    assert seen == [False]

"""What the verbs do with clusters beside hosts: in which order, what they print and end with.

What runs at hosts and in clusters is left out here; tests/pulumi runs the latter.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dap import cli, engine
from dap.engine import Outcome
from dap.errors import InputError
from dap.secrets import open_vault
from dap.stack import Change, clusters
from dap.stack.clusters import InCluster
from dap.stack.status import Row

SETTINGS = """\
domain: dap.test
address: 10.0.0.5
forge: gitlab
users:
  - {name: ada, email: ada@example.org, admin: true}
workspaces: []
clusters:
  - {name: gpu, context: lab}
"""
KUBECONFIG = "contexts: [{name: lab}]\nclusters: [{name: lab}]\nusers: [{name: lab}]\n"
DONE = [InCluster("gpu", (Change("create", "Deployment/gitlab-runner"),))]
Dap = Callable[..., tuple[int, str]]


@pytest.fixture
def did() -> list[str]:
    """What was done, in its order."""
    return []


@pytest.fixture
def root(project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("DAP_VAULT_KEY_FILE", raising=False)
    project.write("platform.yml", SETTINGS)
    found: Path = project.root
    return found


@pytest.fixture
def dap(
    root: Path,
    did: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Dap:
    def note(what: str, answer: object) -> Callable[..., object]:
        def called(*_: object, **__: object) -> object:
            did.append(what)
            return answer

        return called

    monkeypatch.setattr(engine, "run", note("hosts", Outcome(Path("log"))))
    monkeypatch.setattr(clusters, "check", note("check", None))
    monkeypatch.setattr(clusters, "forget", note("forget", True))
    for verb in ("deploy", "plan", "destroy"):
        monkeypatch.setattr(clusters, verb, note(f"clusters: {verb}", DONE))

    def run(*arguments: str) -> tuple[int, str]:
        with monkeypatch.context() as patch:
            patch.chdir(root)
            patch.setattr(sys, "argv", ["dap", *arguments])
            try:
                status = cli.main()
            except SystemExit as end:
                status = int(end.code or 0)
        return status, capsys.readouterr().out

    return run


@pytest.fixture
def kubeconfig(root: Path) -> None:
    vault = open_vault(root, "dap")
    vault.set("clusters/gpu/kubeconfig", KUBECONFIG)
    vault.save()


def test_without_a_kubeconfig_nothing_is_done(dap: Dap, did: list[str]) -> None:
    assert dap("validate") == (0, "platform.yml: ok\n")
    for verb in ("deploy", "plan", "destroy"):
        assert dap(verb)[0] == InputError.status
    assert did == []


@pytest.mark.usefixtures("kubeconfig")
@pytest.mark.parametrize(
    ("verb", "order"),
    [
        ("deploy", ["check", "hosts", "clusters: deploy"]),
        ("plan", ["check", "hosts", "clusters: plan"]),
        ("destroy", ["clusters: destroy", "hosts"]),
    ],
)
def test_clusters_come_after_the_hosts_and_go_before_them(
    dap: Dap, did: list[str], verb: str, order: list[str]
) -> None:
    status, out = dap(verb, "--json")
    assert (status, did) == (0, order)
    told = json.loads(out)
    assert told["ok"] is True
    assert told["clusters"] == {
        "gpu": [{"operation": "create", "object": "Deployment/gitlab-runner", "paths": []}]
    }


@pytest.mark.usefixtures("kubeconfig")
@pytest.mark.parametrize("verb", ["deploy", "plan"])
def test_what_a_cluster_refuses_keeps_hosts_from_being_changed(
    dap: Dap, did: list[str], monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def refuse(*_: object) -> None:
        raise InputError("cluster gpu: no")

    monkeypatch.setattr(clusters, "check", refuse)
    assert (dap(verb)[0], did) == (InputError.status, [])


@pytest.mark.usefixtures("kubeconfig")
def test_changes_in_clusters_are_changes(dap: Dap, did: list[str]) -> None:
    assert dap("plan", "--exit-code")[0] == 1
    assert "changed=1" in dap("deploy")[1].replace(" ", "")
    did.clear()
    assert "gpu: forgotten unseen" in dap("deploy", "--forget", "gpu")[1]
    assert did == ["check", "forget", "hosts", "clusters: deploy"]


@pytest.mark.usefixtures("kubeconfig")
def test_a_project_without_clusters_asks_for_none(dap: Dap, did: list[str], root: Path) -> None:
    (root / "platform.yml").write_text(SETTINGS.partition("clusters:")[0])
    status, out = dap("deploy", "--json")
    assert (status, did) == (0, ["hosts"])
    assert "clusters" not in json.loads(out)


@pytest.mark.usefixtures("kubeconfig")
@pytest.mark.parametrize("lacks", ["", "no node: 0 of 3"])
def test_status_shows_clusters_after_hosts(
    dap: Dap, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    found = {"gpu": [Row("gitlab-runner", lacks)]}
    monkeypatch.setattr(clusters, "status", lambda _: found)
    status, out = dap("status", "--json")
    told = json.loads(out)
    assert told["clusters"] == {"gpu": [{"service": "gitlab-runner", "lacks": lacks}]}
    # The hosts have nothing of it, which is worse than what a cluster lacks.
    assert (status, told["ok"]) == (2, False)
    assert f"cluster gpu  gitlab-runner  {lacks or 'ready'}" in dap("status")[1]

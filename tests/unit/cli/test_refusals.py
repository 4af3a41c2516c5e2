"""Bad input as a person meets it: `dap deploy` says what is wrong, ends with 2, changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dap import cli
from dap.engine.lock import hold
from dap.errors import InputError
from dap.secrets import open_vault

SETTINGS = """\
name: dap
users:
  - {name: ada, email: ada@example.org, admin: true}
projects:
  - {name: analysis}
workspaces:
  - {name: ada-python, owner: ada, environment: python, ssh_port: 2201}
"""

Deploy = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def root(project: Any) -> Path:
    project.write("platform.yml", SETTINGS)
    root: Path = project.root
    return root


@pytest.fixture
def deploy(
    root: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Deploy:
    """Runs `dap deploy`; it must refuse and leave project and home as they were."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("DAP_VAULT_KEY_FILE", raising=False)

    def run(*arguments: str) -> str:
        before = contents(root), contents(home)
        with monkeypatch.context() as patch:
            patch.chdir(root)
            patch.setattr(sys, "argv", ["dap", *(arguments or ("deploy",))])
            status = cli.main()
        assert status == InputError.status == 2
        assert (contents(root), contents(home)) == before
        return capsys.readouterr().err

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("projects:", "project:", ("platform.yml:4: project: unknown key", "projects (nearest)")),
        ("name: dap", "name: [dap]", ("platform.yml:1: name: must be text",)),
        ("name: dap", "name: My_Dap", ("platform.yml:1: name: ", 'found: "My_Dap"')),
        ("name: analysis", "name: ada", ("platform.yml:5: projects[0].name: ", "users[0].name")),
        ("name: analysis", "name: postgres", ("projects[0].name: is reserved", "allowed: any but")),
        ("name: ada-python", "name: dap", ("workspaces[0].name: is reserved",)),
        ("name: ada-python", "name: app", ("workspaces[0].name: is the name of a service",)),
        ("name: analysis", "name: app", ("projects[0].name: is the name of a service",)),
        ("environment: python", "environment: r", ("workspaces[0].environment: ", "python")),
        (
            "name: dap",
            "hosts: [{name: a, address: 'http://a'}]",
            ("platform.yml:1: hosts[0].address: ", 'found: "http://a"'),
        ),
        (
            "name: dap",
            "tls: {certificate: c.pem, key: k.pem}",
            ("tls.certificate: there is no such file", "tls.key: there is no such file"),
        ),
        (
            "name: dap",
            "storage: {default: ext, stores: [{name: ext, endpoint: 'https://s3.example.org'}]}",
            ("secret storage/ext/access-key: is missing", "dap secret storage/ext/secret-key"),
        ),
    ],
)
def test_refused(root: Path, deploy: Deploy, old: str, new: str, told: tuple[str, ...]) -> None:
    (root / "platform.yml").write_text(SETTINGS.replace(old, new))
    stderr = deploy()
    for part in told:
        assert part in stderr


CLUSTER = "\ndomain: dap.test\ntarget: kubernetes\ncluster: {context: here, slots: 0}"


@pytest.mark.parametrize("verb", ["plan", "deploy", "status", "logs"])
def test_a_cluster_is_not_asked_without_a_kubeconfig(
    root: Path, deploy: Deploy, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    (root / "platform.yml").write_text(SETTINGS.replace("name: dap", f"name: dap{CLUSTER}"))
    stderr = deploy(verb)
    for part in ("platform.yml:4: cluster.context: there is no kubeconfig", ".kube/config"):
        assert part in stderr


def test_what_a_cluster_cant_do_is_found_by_validating(root: Path, deploy: Deploy) -> None:
    settings = SETTINGS.replace("name: dap", f"name: dap{CLUSTER}").replace("2201", "2299")
    (root / "platform.yml").write_text(settings)
    compose = root / "infrastructure/services/app/compose.yml"
    text = compose.read_text()
    compose.write_text(text.replace("    build: .\n", "    build: .\n    ulimits: {nofile: 5}\n"))
    told = "services.app.ulimits: can't be done on Kubernetes: a pod has the limits"
    assert told in deploy("validate")


@pytest.fixture
def key(root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The key of a vault that an earlier deploy made."""
    monkeypatch.setenv("HOME", str(home))
    vault = open_vault(root, "dap")
    vault.ensure({"users/ada/password": "password"})
    vault.save()
    (path,) = (home / ".config" / "dap").iterdir()
    return path


def test_a_wrong_vault_key(key: Path, deploy: Deploy) -> None:
    key.write_text("another-key\n")
    stderr = deploy()
    assert str(key) in stderr
    assert "another-key" not in stderr


def test_a_vault_key_that_others_may_read(key: Path, deploy: Deploy) -> None:
    key.chmod(0o644)
    stderr = deploy()
    assert f"{key}: others may read the vault's key; allowed: mode 0600; found: 0644" in stderr
    assert f"chmod 600 {key}" in stderr


def test_a_second_deploy_at_the_same_time(root: Path, deploy: Deploy) -> None:
    with hold(root / ".dap" / "lock", print):
        stderr = deploy()
    assert "another deploy is at work: " in stderr
    assert "wait until it has ended" in stderr


def test_data_of_another_name_is_not_deleted(deploy: Deploy) -> None:
    stderr = deploy("destroy", "--delete-data", "dab")
    assert "--delete-data: must be the platform's name; allowed: dap; found: dab" in stderr


def test_hosts_have_no_cluster_to_verify_in(deploy: Deploy) -> None:
    said = deploy("verify", "--in-cluster")
    assert "--in-cluster: platform.yml says target: docker, so there is no cluster" in said

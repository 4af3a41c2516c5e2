"""The files that make `ssh NAME` work, as OpenSSH itself reads them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from dap.catalogue import read_catalogue
from dap.cli.ssh_config import _include, _write
from dap.plan import Plan, make_plan, secret_specs
from dap.render import render
from dap.secrets.kinds import make, ssh_public_key
from dap.settings import Settings
from dap.sshfiles import SshFiles, ssh_files

from tests.paths import ROOT

KEY = ssh_public_key(make("ssh-key"))
USERS = [
    {"name": "ada", "email": "ada@example.org", "ssh_keys": [f"{KEY} ada"]},
    {"name": "bob", "email": "bob@example.org"},
    {"name": "eve", "email": "eve@example.org", "ssh_keys": [ssh_public_key(make("ssh-key"))]},
]
WORKSPACES: list[dict[str, Any]] = [
    {"name": "desk", "owner": "ada", "environment": "python"},
    {"name": "other", "owner": "ada", "environment": "base", "ssh_port": 2201},
    {"name": "bobs", "owner": "bob", "environment": "python", "ssh_port": 2202},
]


class Keys(dict[str, str]):
    """A key for each secret."""

    def __missing__(self, name: str) -> str:
        self[name] = make("ssh-key")
        return self[name]


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys()


def plan(**data: Any) -> Plan:
    given = {"name": "lab", "domain": "lab.example.org", "users": USERS, "workspaces": WORKSPACES}
    return make_plan(Settings.model_validate({**given, **data}), read_catalogue(ROOT))


def read(files: SshFiles, folder: Path, name: str) -> dict[str, str]:
    """What OpenSSH makes of a name."""
    _write(folder, files)
    config = folder / "lab.conf"
    done = subprocess.run(
        ["ssh", "-G", "-F", str(config), name], check=True, capture_output=True, text=True
    )
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def test_a_workspace_is_reached_by_the_jump(keys: Keys, tmp_path: Path) -> None:
    files = ssh_files(plan(), keys, ["ada"])
    assert files.names == ("desk", "other")
    for name in ("desk", "desk.lab"):
        found = read(files, tmp_path, name)
        assert (found["hostname"], found["port"], found["user"]) == ("desk", "2222", "analyst")
        assert found["proxyjump"] == "workspaces.lab.example.org"
        assert found["stricthostkeychecking"] == "true"
        assert found["userknownhostsfile"].endswith("/.ssh/dap/lab.known_hosts")
    jump = read(files, tmp_path, "workspaces.lab.example.org")
    assert (jump["port"], jump["user"]) == ("2200", "jump")


def test_all_host_keys_are_known_before(keys: Keys) -> None:
    known = ssh_files(plan(), keys, ["ada"]).content["lab.known_hosts"].splitlines()
    assert dict(line.split(" ", 1) for line in known) == {
        "[workspaces.lab.example.org]:2200": ssh_public_key(keys["jump/host-key"]),
        "[git.lab.example.org]:2222": ssh_public_key(keys["forge-lite/ssh-host-key"]),
        "[desk]:2222": ssh_public_key(keys["workspace/desk-host-key"]),
        "[other]:2222": ssh_public_key(keys["workspace/other-host-key"]),
        "[other.lab.example.org]:2201": ssh_public_key(keys["workspace/other-host-key"]),
    }


def test_a_direct_port_is_another_name(keys: Keys, tmp_path: Path) -> None:
    found = read(ssh_files(plan(), keys, ["ada"]), tmp_path, "other.lab.example.org")
    assert (found["port"], found["user"]) == ("2201", "analyst")
    assert "proxyjump" not in found


def test_no_file_holds_a_secret(keys: Keys) -> None:
    files = ssh_files(plan(), keys, ["ada", "bob"])
    assert "PRIVATE" not in "".join(files.content.values())


def test_the_line_is_added_once_before_all_others(tmp_path: Path) -> None:
    kept = tmp_path / "elsewhere"
    kept.write_text("Host mine\n  Port 1\n")
    kept.chmod(0o640)
    config = tmp_path / "config"
    config.symlink_to(kept)
    _include(config)
    _include(config)
    assert config.is_symlink()
    assert kept.read_text() == "Include dap/*.conf\n\nHost mine\n  Port 1\n"
    assert kept.stat().st_mode & 0o777 == 0o640
    _include(tmp_path / "new")
    assert (tmp_path / "new").read_text() == "Include dap/*.conf\n"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_a_key_opens_its_own_workspaces_alone(keys: Keys) -> None:
    (tree,) = render(plan(), _Vault(keys))
    files = {file.path: file.content.decode() for file in tree.files if "jump" in file.path}
    lines = files["config/jump/authorized_keys"].splitlines()
    # Who has no workspace has no line: without permitopen a key opens everything.
    assert lines == [
        f'restrict,port-forwarding,permitopen="desk:2222",permitopen="other:2222" {KEY} ada'
    ]
    permitted = next(
        line for line in files["config/jump/sshd_config"].splitlines() if "PermitOpen" in line
    )
    assert permitted.split()[1:] == ["desk:2222", "other:2222", "bobs:2222"]


class _Vault:
    def __init__(self, keys: Keys) -> None:
        self._kinds = secret_specs(plan())
        self._keys = keys

    def get(self, name: str, /) -> str:
        return self._keys[name] if self._kinds.get(name) == "ssh-key" else "x" * 32


HOSTS = [
    {"name": "main", "roles": ["service"]},
    {"name": "one", "address": "10.0.0.1", "roles": ["runner"]},
    {"name": "two", "address": "10.0.0.2", "roles": ["runner"]},
]
PLACED = [
    {**each, "host": host} for each, host in zip(WORKSPACES, ("one", "two", "two"), strict=True)
]


def test_without_workspaces_there_is_no_jump() -> None:
    bare = plan(workspaces=[])
    assert "jump" not in {service.name for service in bare.services}
    assert {stream.name for stream in bare.streams} == {"git", "postgres"}


def test_workspaces_of_other_hosts_are_behind_two_jumps(keys: Keys, tmp_path: Path) -> None:
    made = plan(hosts=HOSTS, workspaces=PLACED)
    assert [[one.name for one in host.host.workspaces] for host in made.hosts] == [
        [],
        ["desk"],
        ["other", "bobs"],
    ]
    files = ssh_files(made, keys, ["ada"])
    entry = "workspaces.lab.example.org"
    for name, host, address in (("desk", "one", "10.0.0.1"), ("other", "two", "10.0.0.2")):
        second = f"workspaces-{host}.lab.example.org"
        assert read(files, tmp_path, name)["proxyjump"] == second
        found = read(files, tmp_path, second)
        assert (found["hostname"], found["port"], found["proxyjump"]) == (address, "2200", entry)
        # OpenSSH looks a key up under its alias alone, without a port.
        assert f"\n{found['hostkeyalias']} ssh-ed25519" in files.content["lab.known_hosts"]
    assert "proxyjump" not in read(files, tmp_path, entry)
    assert "workspaces-one" not in ssh_files(made, keys, ["bob"]).content["lab.conf"]


def test_a_key_opens_the_way_to_its_own_hosts_alone(keys: Keys) -> None:
    trees = render(plan(hosts=HOSTS, workspaces=PLACED), _Vault(keys))
    opened = {
        tree.host: next(
            line.partition(" ")[0]
            for file in tree.files
            if file.path == "config/jump/authorized_keys"
            for line in file.content.decode().splitlines()
            if line.endswith("ada")
        )
        for tree in trees
    }
    allowed = "restrict,port-forwarding"
    assert opened == {
        "main": f'{allowed},permitopen="10.0.0.1:2200",permitopen="10.0.0.2:2200"',
        "one": f'{allowed},permitopen="desk:2222"',
        "two": f'{allowed},permitopen="other:2222"',
    }

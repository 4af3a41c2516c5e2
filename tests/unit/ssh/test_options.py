"""What ssh makes of the options that the settings mean: asked of ssh itself."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from dap import ssh
from dap.settings import Host


def host(**more: Any) -> Host:
    return Host.model_validate({"name": "r1", "address": "r1.example.org", **more})


def understood(root: Path, of: Host) -> dict[str, str]:
    command = ["ssh", "-F", "none", "-G", *ssh.options(root, of), of.address]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(line.partition(" ")[::2] for line in done.stdout.splitlines())


def test_all_that_is_set(tmp_path: Path) -> None:
    key = str(tmp_path / "id")
    Path(key).touch()
    found = understood(tmp_path, host(user="ops", port=2022, key=key, jump="guard@bastion:222"))
    assert (found["user"], found["port"], found["identityfile"]) == ("ops", "2022", key)
    assert found["hostkeyalias"] == "r1"
    assert found["userknownhostsfile"] == str(tmp_path / "infrastructure" / "known_hosts")
    assert found["stricthostkeychecking"] == "accept-new"
    way = found["proxycommand"]
    assert "-l guard -p 222" in way
    assert way.endswith("bastion")
    assert f"-i {key}" in way
    assert f"{tmp_path}/infrastructure/known_hosts" in way


def test_what_is_not_set_is_left_to_ssh(tmp_path: Path) -> None:
    options = " ".join(ssh.options(tmp_path, host()))
    for word in ("-l", "-p", "-i", "ProxyCommand"):
        assert word not in options.split()
    assert "proxycommand" not in understood(tmp_path, host())


def test_keys_are_found_from_the_projects_folder(tmp_path: Path) -> None:
    assert str(tmp_path / "keys/id") in ssh.options(tmp_path, host(key="keys/id"))
    home = str(Path.home() / ".ssh" / "fleet")
    assert home in ssh.options(tmp_path, host(key="~/.ssh/fleet"))


@pytest.mark.parametrize("folder", ["a b", "100%", "it's"])
def test_odd_folders(tmp_path: Path, folder: str) -> None:
    root = tmp_path / folder
    found = understood(root, host(jump="bastion"))
    assert found["userknownhostsfile"].replace("%%", "%") == f"{root}/infrastructure/known_hosts"


def test_a_changed_key_is_told_with_its_remedy() -> None:
    said = "@@@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @@@ Host key verification failed."
    told = ssh.problem("r1", said)
    assert told is not None
    reason, remedy = told
    assert "infrastructure/known_hosts" in reason
    assert "ssh-keygen -R r1 -f infrastructure/known_hosts" in remedy
    assert ssh.problem("r1", "Connection refused") is None


def test_keys_of_hosts_are_forgotten_by_name(tmp_path: Path) -> None:
    ssh.forget_keys(tmp_path, {"r1"})
    known = tmp_path / "infrastructure" / "known_hosts"
    known.parent.mkdir()
    known.write_text("r1 kind one\nr10 kind two\n[10.0.0.9]:2222 kind three\nr1 other four\n")
    ssh.forget_keys(tmp_path, {"r1", "r2"})
    assert known.read_text() == "r10 kind two\n[10.0.0.9]:2222 kind three\n"

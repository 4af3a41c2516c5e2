"""A host is asked by code that is sent to it, here and over ssh."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from dap import reach
from dap.reach import HostError, ask

from tests.paths import ROOT


@dataclass(frozen=True)
class Host:
    name: str
    address: str
    user: str | None = None
    port: int | None = None
    key: str = ""
    jump: str | None = None


HERE = Host("here", "localhost")
FAR = Host("far", "far.example.org")


@pytest.mark.usefixtures("root_account")
def test_this_machine_answers(tmp_path: Path) -> None:
    given = {"project": "none", "directory": str(tmp_path)}
    assert ask(ROOT, HERE, "status", given, timeout_s=60) == {"plan": None}


@pytest.mark.usefixtures("root_account")
def test_the_arguments_are_in_no_process_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    run = subprocess.run

    def watch(command: list[str], **options: object) -> object:
        seen.extend(command)
        return run(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", watch)
    ask(ROOT, HERE, "status", {"project": "hush", "directory": str(tmp_path)}, timeout_s=60)
    assert seen
    assert "hush" not in " ".join(seen)


@pytest.mark.usefixtures("root_account")
def test_a_failure_is_told_with_its_last_line() -> None:
    with pytest.raises(HostError, match="here: can't be asked: KeyError: 'project'") as error:
        ask(ROOT, HERE, "status", {}, timeout_s=60)
    assert error.value.status == 2


def test_over_ssh_the_same_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ssh here runs what it is told by a shell, as a server does."""
    ssh = tmp_path / "ssh"
    ssh.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >>{tmp_path}/asked\n'
        'if [ "$1" = -G ]; then echo "user root"; exit 0; fi\n'
        'while [ "$1" = -o ]; do shift 2; done\n'
        'shift; exec sh -c "$*"\n'
    )
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    given = {"project": "it's $HOME", "directory": str(tmp_path)}
    assert ask(ROOT, FAR, "status", given, timeout_s=60) == {"plan": None}
    asked = (tmp_path / "asked").read_text()
    assert "BatchMode=yes" in asked
    assert "far.example.org" in asked


def test_a_host_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\n[ "$1" = -G ] && echo "user root" && exit\nexec sleep 600\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(HostError, match="far: did not answer within 1 s") as error:
        ask(ROOT, FAR, "status", {}, timeout_s=1)
    assert "ssh far.example.org" in error.value.hint


def test_all_hosts_are_asked_and_answer_in_their_order() -> None:
    assert reach.each([FAR, HERE], lambda host: host.name) == ["far", "here"]
    assert reach.each([], lambda host: json.dumps(host)) == []

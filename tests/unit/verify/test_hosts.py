"""A host as acceptance tests ask it, here and over SSH, and names of a platform elsewhere."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from acceptance.findings import CheckError, UnreachedError
from acceptance.hosts import Host
from acceptance.platform import Deployed
from acceptance.report import Report, Result
from dap import names, ssh
from dap.plan.model import HostView
from dap.render import Tree
from dap.settings import Reserve

from tests.paths import ROOT


def view(name: str, address: str, **values: Any) -> HostView:
    """A host of the plan."""
    known: dict[str, Any] = {
        "user": "root", "port": None, "key": "", "jump": None, "listen": address,
        "roles": ("service", "runner"), "labels": (), "slots": 1, "directory": "/srv/dap/x",
        "gpus": 0, "reserve": Reserve(), "workspaces": (),
    }  # fmt: skip
    return HostView(name=name, address=address, **{**known, **values})


def host(one: HostView) -> Host:
    """A host that is asked with the options of ssh alone."""
    plan = SimpleNamespace(settings=SimpleNamespace(name="x"), hosts=[one])
    prepared: Any = SimpleNamespace(root=ROOT, plan=plan)
    part: Any = SimpleNamespace(host=one)
    return Host(prepared, part, Tree(one.name, one.directory, ()), lambda h: ssh.options(ROOT, h))


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host whose ssh runs here what it is told by a shell, as a server does."""
    program = tmp_path / "ssh"
    program.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >>{tmp_path}/asked\n'
        'while [ "$1" != far.example.org ]; do shift; done\n'
        'shift; exec sh -c "$*"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return host(view("far", "far.example.org"))


@pytest.fixture
def here() -> Host:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    return host(view("here", "localhost"))


@pytest.fixture(params=["here", "far"])
def either(request: pytest.FixtureRequest) -> Host:
    found: Host = request.getfixturevalue(request.param)
    return found


def test_a_command_is_run_as_it_is_given(either: Host) -> None:
    assert either.run("printf", "%s|", "it's", "$HOME", "a  b") == "it's|$HOME|a  b|"
    assert either.run("cat", stdin="told\n") == "told\n"
    assert either.do("sh", "-c", "exit 3").returncode == 3


def test_a_command_that_fails_says_what_where_and_why(far: Host) -> None:
    with pytest.raises(CheckError) as error:
        far.run("sh", "-c", "echo no such thing >&2; exit 4", remedy="mend it")
    assert error.value.what.endswith("ends with 4: no such thing on far")
    assert error.value.remedy == "mend it"


def test_files_come_with_owner_mode_and_content(either: Host, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder").chmod(0o700)
    (tree / "folder" / "it's").write_bytes(b"\0content")
    (tree / "folder" / "it's").chmod(0o640)
    (tree / "link").symlink_to("folder/it's")
    os.link(tree / "folder" / "it's", tree / "same")
    found = either.files(str(tree), str(tmp_path / "missing"))
    assert set(found) == {
        str(tree / name) for name in (".", "folder", "folder/it's", "link", "same")
    }
    assert found[str(tree / "folder")].folder
    assert found[str(tree / "folder")].mode == 0o700
    file = found[str(tree / "folder" / "it's")]
    assert (file.mode, file.content, file.folder) == (0o640, b"\0content", False)
    assert file.owner == (os.getuid(), os.getgid())
    assert found[str(tree / "same")].content == b"\0content"
    assert found[str(tree / "link")].content is None


def test_what_can_not_be_asked_says_so_at_every_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ssh"
    program.write_text("#!/bin/sh\necho connection refused >&2\nexit 255\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    gone = host(view("gone", "gone.example.org"))
    assert gone.is_reached
    assert gone.look()
    assert not gone.is_reached
    questions = (gone.reached, lambda: gone.run("true"), lambda: gone.container("proxy"))
    for question in questions:
        with pytest.raises(UnreachedError, match="gone: can't be asked: connection refused"):
            question()


def test_a_host_without_the_platform_says_so(far: Host) -> None:
    assert not far.look()
    with pytest.raises(UnreachedError, match="far: the platform x is not deployed there"):
        far.reached()


def test_a_host_that_is_not_reached_is_told_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(as_json=False)
    for name in ("healthy", "limits", "names on the host"):
        result = Result(name, name, "", "failed", "r1: can't be asked", "start it", 0)
        report.add(result, unreached=True)
    report.close()
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "can't be asked" in line] == [
        "failed: healthy: r1: can't be asked; to do: start it",
        "failed alike: 2 more checks: r1: can't be asked",
    ]
    assert lines[-1].startswith("3 checks failed")


PLANNED = {"git.x.test", "x.localhost"}


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What this machine knows: name → address."""
    table = {"x.localhost": "127.0.0.1", "git.x.test": "192.0.2.7"}

    def ask(name: str, port: Any, *_: Any, **__: Any) -> Any:
        address = table.get(name, name)
        if not address[0].isdigit():
            raise socket.gaierror(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    return table


def planned(address: str, one: HostView) -> Any:
    part = SimpleNamespace(host=one)
    return SimpleNamespace(
        settings=SimpleNamespace(address=address),
        service_host=part,
        hosts=[part],
        names=lambda _: tuple(PLANNED),
    )


def lead(name: str) -> str:
    """Where a name leads to now."""
    return str(socket.getaddrinfo(name, 443)[0][4][0])


def test_names_of_a_platform_elsewhere_are_known(resolver: dict[str, str]) -> None:
    plan = planned("192.0.2.1", view("far", "far.example.org"))
    with names.known(plan):
        assert lead("git.x.test") == "192.0.2.7", "as this machine knows it"
        assert lead("x.localhost") == "192.0.2.1", "not this machine"
    del resolver["git.x.test"]
    with names.known(plan):
        assert lead("git.x.test") == "192.0.2.1"
        with pytest.raises(socket.gaierror):
            lead("other.test")
    with pytest.raises(socket.gaierror):
        lead("git.x.test")


def test_names_of_a_platform_here_are_as_the_machine_knows_them(resolver: dict[str, str]) -> None:
    with names.known(planned("127.0.0.1", view("local", "localhost"))):
        assert lead("x.localhost") == resolver["x.localhost"]


@pytest.mark.parametrize(
    ("bound", "one", "expected"),
    [
        ("192.0.2.1", view("far", "far.example.org"), "192.0.2.1"),
        ("0.0.0.0", view("far", "far.example.org", listen="192.0.2.9"), "192.0.2.9"),
        ("0.0.0.0", view("local", "localhost"), "127.0.0.1"),
        ("::", view("local", "localhost"), "::1"),
    ],
)
def test_where_the_proxy_is_reached(bound: str, one: HostView, expected: str) -> None:
    assert names.address(planned(bound, one)) == expected


@pytest.fixture
def two() -> Deployed:
    """A platform of which both hosts have a proxy, and only the other one a workspace."""
    platform = object.__new__(Deployed)
    hub, far = view("hub", "localhost"), view("far", "far.example.org", roles=("runner",))
    platform.hosts = [host(far), host(hub)]
    platform.prepared = SimpleNamespace(  # type: ignore[assignment]
        plan=SimpleNamespace(
            services=[
                SimpleNamespace(name=name, host=where)
                for name, where in (("proxy", "far"), ("shell", "far"), ("proxy", "hub"))
            ]
        )
    )
    return platform


def test_of_a_service_on_several_hosts_that_of_the_service_host_is_meant(two: Deployed) -> None:
    assert two.host_of("proxy").name == "hub"
    assert two.host_of("shell").name == "far"

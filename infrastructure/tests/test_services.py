"""Every service runs, is well, and is confined."""

from __future__ import annotations

from typing import Any

import pytest
from dap.engine.observe import Platform, docker
from dap.plan import Service


def options(platform: Platform, service: Service) -> Any:
    """Return the x-dap section of a service."""
    folder = platform.prepared.plan.folders[service.folder]
    return next(each.options for each in folder.services if each.name == service.name)


def test_healthy(container: dict[str, Any]) -> None:
    state = container["State"]
    assert state["Status"] == "running"
    assert "Health" in state, "has no health check"
    assert state["Health"]["Status"] == "healthy"


def test_only_the_entry_publishes_ports(
    platform: Platform, service: Service, container: dict[str, Any]
) -> None:
    published = {port for port, bound in container["NetworkSettings"]["Ports"].items() if bound}
    if not options(platform, service).entry:
        assert not published
        return
    settings, plan = platform.prepared.plan.settings, platform.prepared.plan
    listened = {settings.ports.http, settings.ports.https, *(s.listen for s in plan.streams)}
    assert published == {f"{port}/tcp" for port in listened}
    ports = container["NetworkSettings"]["Ports"].values()
    addresses = {each["HostIp"] for bound in ports for each in bound or ()}
    assert addresses == {settings.address}


@pytest.mark.parametrize(
    ("what", "key", "confined"),
    [
        ("privileged", "Privileged", lambda value: value is False),
        ("cap_drop", "CapDrop", lambda value: value == ["ALL"]),
        ("cap_add", "CapAdd", lambda value: not value),
        ("security_opt", "SecurityOpt", lambda value: "no-new-privileges:true" in (value or [])),
        ("read_only", "ReadonlyRootfs", lambda value: value is True),
        ("mem_limit", "Memory", lambda value: value > 0),
        ("pids_limit", "PidsLimit", lambda value: (value or 0) > 0),
    ],
    ids=lambda value: value if isinstance(value, str) and value.islower() else "",
)
def test_confined(
    platform: Platform,
    service: Service,
    container: dict[str, Any],
    what: str,
    key: str,
    confined: Any,
) -> None:
    if what in options(platform, service).exceptions:
        pytest.skip(f"x-dap.exceptions: {options(platform, service).exceptions[what]}")
    assert confined(container["HostConfig"][key]), f"{key} is {container['HostConfig'][key]}"


def test_is_not_root(platform: Platform, service: Service, container: dict[str, Any]) -> None:
    if "user" in options(platform, service).exceptions:
        pytest.skip(f"x-dap.exceptions: {options(platform, service).exceptions['user']}")
    assert container["Config"]["User"].split(":")[0] not in ("", "0", "root")


def test_inspect_shows_no_secret(platform: Platform, container: dict[str, Any]) -> None:
    text = docker("inspect", container["Id"])
    shown = [name for name, value in platform.hidden.items() if value in text]
    assert shown == []


def test_files_of_the_tree(platform: Platform) -> None:
    wrong, open_text = [], []
    for file in platform.prepared.trees[0].files:
        path = platform.directory / file.path
        status = path.stat()
        found = (status.st_mode & 0o7777, status.st_uid)
        if found != (file.mode, file.uid):
            wrong.append(f"{file.path}: {found[0]:04o} of {found[1]}")
        if not file.secret:
            content = path.read_bytes()
            open_text += [
                file.path for value in platform.hidden.values() if value.encode() in content
            ]
    assert wrong == []
    assert open_text == [], "secrets in files that are not secret"


def test_secrets_are_for_root_alone(platform: Platform) -> None:
    folder = platform.directory / "secrets"
    assert folder.stat().st_mode & 0o7777 == 0o700

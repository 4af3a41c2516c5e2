"""`make verify` from the operator's machine: all hosts, and whichever of them is not well."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.fleet.hosts import FreshHost
from tests.fleet.platform import FleetPlatform

# Written in place: containers have files mounted by their inode.
PUT = 'cat >"$0" <<"END_OF_FILE"\n'
RELOAD = ("docker", "compose", "exec", "-T", "nginx-proxy", "nginx", "-s", "reload")


def verify(platform: FleetPlatform, only: str = "") -> dict[str, Any]:
    """What `dap verify` finds in some of the checks, from this machine."""
    done = platform.dap("verify", "--json", "--only", only)
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["ok"] else 1), done.stderr
    return found


def failed(platform: FleetPlatform, only: str) -> dict[str, str]:
    """Which of some checks fail, as "check (subject)", and why; each names a remedy."""
    wrong = [test for test in verify(platform, only)["tests"] if test["outcome"] == "failed"]
    assert all(test["remedy"] for test in wrong), wrong
    return {f"{test['check']} ({test['subject']})": test["reason"] for test in wrong}


@contextmanager
def changed(host: FreshHost, path: str, old: str, new: str) -> Iterator[None]:
    """A file of a host with a text in it replaced; an empty one stands for the end."""

    def write(text: str) -> None:
        host.execute("sh", "-c", f"{PUT}{text}\nEND_OF_FILE", path)

    before = host.execute("cat", path).removesuffix("\n")
    assert old in before
    write(before.replace(old, new, 1) if old else before + new)
    try:
        yield
    finally:
        write(before)


@contextmanager
def proxy(platform: FleetPlatform, host: FreshHost, old: str, new: str) -> Iterator[None]:
    """The proxy of a host with a changed configuration."""
    reload = f"cd {platform.tree} && {' '.join(RELOAD)} -c /etc/nginx/nginx.conf"
    path = f"{platform.tree}/config/nginx-proxy/nginx.conf"
    try:
        with changed(host, path, old, new):
            host.execute("sh", "-c", reload)
            yield
    finally:
        host.execute("sh", "-c", reload)


def test_all_is_well_on_every_host(platform: FleetPlatform) -> None:
    found = verify(platform)
    assert found["ok"], [test for test in found["tests"] if test["outcome"] == "failed"]
    subjects = {(test["check"], test["subject"]) for test in found["tests"]}
    for name in platform.fleet.hosts:
        assert ("contents", name) in subjects
        assert ("healthy", f"{name}: nginx-proxy") in subjects
    for name in ("r1", "r2"):
        assert ("names in a job", name) in subjects
        assert ("nobody else is let in", name) in subjects


def test_what_is_wrong_on_one_host_is_told_of_it_alone(platform: FleetPlatform) -> None:
    host = platform.fleet.hosts["r1"]
    address = platform.hub.front
    name = f"mlflow.{platform.project.domain}"
    image = "$(docker inspect --format '{{.Config.Image}}' $(docker ps -qf name=nginx-proxy))"
    stray = f"docker run -d --rm --name stray -p 8080 --label dap.platform={platform.project.name}"
    key = f"{platform.tree}/secrets/nginx-proxy/nginx-proxy/host-key"
    with ExitStack() as undo:
        undo.enter_context(changed(host, "/etc/hosts", f"{address} {name}", f"127.0.0.9 {name}"))
        host.execute("chmod", "0444", key)
        undo.callback(host.execute, "chmod", "0400", key)
        host.execute("sh", "-c", f"{stray} {image} sleep 600")
        undo.callback(host.execute, "docker", "rm", "--force", "stray")
        found = {
            check: reason
            for only in ("names on", "modes", "ports", "planned")
            for check, reason in failed(platform, only).items()
        }
    assert set(found) == {
        "names on the host (r1)",
        "modes and owners (r1)",
        "only the proxy publishes ports (r1)",
        "every other port is closed (r1)",
        "nothing runs that is not planned (r1)",
    }
    assert f"{name} leads to 127.0.0.9, not to {address}" in found["names on the host (r1)"]
    assert "host-key is 0444" in found["modes and owners (r1)"]
    assert "stray" in found["only the proxy publishes ports (r1)"]


def test_a_runner_host_that_lets_anybody_in_or_nobody(platform: FleetPlatform) -> None:
    host = platform.fleet.hosts["r1"]
    with proxy(platform, host, "ssl_verify_client on;", "ssl_verify_client off;"):
        open_ = failed(platform, "let in")
    with proxy(platform, host, "location / {", "location / { return 403;"):
        shut = failed(platform, "let in")
    assert set(open_) == {"nobody else is let in (r1)"}
    assert "answers" in open_["nobody else is let in (r1)"]
    assert set(shut) == {"the service host is let in (r1)"}


def test_a_host_that_can_not_be_reached_fails_its_own_checks(platform: FleetPlatform) -> None:
    host = platform.fleet.hosts["r2"]
    host.execute("systemctl", "stop", "ssh")
    try:
        found = verify(platform, "healthy")["tests"]
        said = platform.dap("verify", "--only", "healthy").stdout.splitlines()
    finally:
        host.execute("systemctl", "start", "ssh")
    outcomes = {test["subject"].partition(":")[0]: set[str]() for test in found}
    for test in found:
        outcomes[test["subject"].partition(":")[0]].add(test["outcome"])
    assert outcomes == {"hub": {"passed"}, "r1": {"passed"}, "r2": {"failed"}}
    reasons = {test["reason"] for test in found if test["outcome"] == "failed"}
    assert len(reasons) == 1
    assert reasons.pop().startswith("r2: ")
    assert len([line for line in said if line.startswith("failed: ")]) == 1

"""Ways to break a running platform, each undone at the end; and what `make verify` says of it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from demo.access import await_result
from demo.project import clean_environment
from tests.demo.conftest import Platform, privileged

Checks = dict[str, str]


def verify(platform: Platform, only: str) -> tuple[int, dict[str, Any]]:
    """Run `dap verify --json` for some of the checks; its exit status and what it printed."""
    done = subprocess.run(
        [".venv/bin/dap", "verify", "--json", "--only", only],
        cwd=platform.project.path,
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
    print(done.stderr)
    return done.returncode, json.loads(done.stdout)


def failed(platform: Platform, only: str) -> Checks:
    """What fails of some checks: "check (subject)" → the reason. Each names a remedy."""
    status, found = verify(platform, only)
    wrong = [test for test in found["tests"] if test["outcome"] == "failed"]
    assert status == (1 if wrong else 0)
    for test in wrong:
        assert test["remedy"], test
        assert "Error" not in test["reason"].split(":")[0], test
    named = {
        f"{test['check']} ({test['subject']})" if test["subject"] else test["check"]: test["reason"]
        for test in wrong
    }
    assert len(named) == len(wrong)
    return named


def file_of(platform: Platform, path: str) -> str:
    """Where a file of the tree is."""
    return f"/srv/dap/{platform.name}/{path}"


def write(path: str, text: str) -> None:
    """Write a file as root, in place: containers have it mounted by its inode."""
    subprocess.run(
        ["sh", "-c", 'if [ "$(id -u)" = 0 ]; then tee "$0"; else sudo -n tee "$0"; fi', path],
        input=text,
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )


@contextmanager
def changed(path: str, *replacements: tuple[str, str]) -> Iterator[None]:
    """A file of root's with texts in it replaced, each once; an empty one stands for the end."""
    before = privileged("cat", path)
    after = before
    for old, new in replacements:
        assert old in after, f"{path} has no {old!r}"
        after = after.replace(old, new, 1) if old else after + new
    write(path, after)
    try:
        yield
    finally:
        write(path, before)


@contextmanager
def mode(path: str, value: str) -> Iterator[None]:
    """A file with another mode."""
    before = privileged("stat", "--format=%a", path).strip()
    privileged("chmod", value, path)
    try:
        yield
    finally:
        privileged("chmod", before, path)


@contextmanager
def file(path: str, text: str) -> Iterator[None]:
    """A file that was not there."""
    privileged("test", "!", "-e", path)
    write(path, text)
    try:
        yield
    finally:
        privileged("rm", path)


@contextmanager
def container(platform: Platform, *options: str, command: tuple[str, ...]) -> Iterator[str]:
    """A container that bears the platform's labels and is not of its plan; its name."""
    name = f"{platform.name}-stray"
    image = platform.container("portal").attrs["Config"]["Image"]
    labels = {
        "com.docker.compose.project": platform.name,
        "com.docker.compose.service": "stray",
        "com.docker.compose.oneoff": "False",
        "dap.platform": platform.name,
    }
    marks = [part for key, value in labels.items() for part in ("--label", f"{key}={value}")]
    run = ["docker", "run", "--detach", "--rm", "--init", "--name", name, *marks, *options, image]
    subprocess.run([*run, *command], check=True, capture_output=True)
    try:
        yield name
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=True, capture_output=True)


@contextmanager
def stopped(platform: Platform, service: str) -> Iterator[None]:
    """A service that is stopped; afterwards it is well again."""
    found = platform.container(service)
    found.stop()
    try:
        yield
    finally:
        found.start()
        await_healthy(platform, service)


def await_healthy(platform: Platform, service: str) -> None:
    """Wait until a service is well."""

    def well() -> bool | None:
        found = platform.containers().get(service)
        return (found is not None and found.health == "healthy") or None

    await_result(f"{service} is healthy", well, 90)


@contextmanager
def proxy(platform: Platform, *replacements: tuple[str, str]) -> Iterator[None]:
    """The proxy with a changed configuration."""
    path = file_of(platform, "config/nginx-proxy/nginx.conf")

    def reload() -> None:
        workers = platform.execute("nginx-proxy", "bash", "-c", WORKERS)
        platform.execute("nginx-proxy", "nginx", "-s", "reload", "-c", "/etc/nginx/nginx.conf")

        def replaced() -> bool | None:
            now = platform.execute("nginx-proxy", "bash", "-c", WORKERS).split()
            return bool(set(now) - set(workers.split())) or None

        await_result("the proxy's new workers", replaced, 30, 0.1)

    try:
        with changed(path, *replacements):
            reload()
            yield
    finally:
        reload()


# Children of the master, which is the process with the file of its id.
WORKERS = "cat /proc/$(cat /tmp/nginx.pid)/task/*/children"


@contextmanager
def recreated(platform: Platform, service: str, **keys: Any) -> Iterator[None]:
    """A service whose container was made with other keys of Compose."""
    tree = file_of(platform, "")
    base = ["docker", "compose", "--project-directory", tree, "--file", f"{tree}compose.yml"]
    up = ["up", "--detach", "--no-deps", service]
    override = json.dumps({"services": {service: keys}})
    try:
        subprocess.run(
            [*base, "--file", "-", *up], input=override, text=True, check=True, capture_output=True
        )
        await_healthy(platform, service)
        yield
    finally:
        subprocess.run([*base, *up], check=True, capture_output=True)
        await_healthy(platform, service)

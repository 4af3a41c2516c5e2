"""`make logs` shows what services say, as it is said, and none of the platform's secrets."""

import base64
import datetime as dt
import json
import queue
import secrets
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.access import await_result
from demo.project import clean_environment
from tests.demo.conftest import Platform
from tests.programs import tried


def proxy(platform: Platform) -> str:
    """Name of the service that publishes the ports, which logs every request."""
    (found,) = (n for n, c in platform.containers().items() if any(c.ports.values()))
    return found


def ask(platform: Platform, path: str) -> None:
    """Leave a line with a path in the proxy's log."""
    assert platform.anonymous.request("GET", "", path).status_code == 401


def logs(platform: Platform, *arguments: str) -> list[str]:
    done = platform.dap("logs", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_last_lines_of_a_service(platform: Platform) -> None:
    mark = f"/{secrets.token_hex(8)}"
    ask(platform, mark)
    await_result("the line", lambda: holds(platform, mark), 20, 0.2)
    assert len(logs(platform, "--service", proxy(platform), "--lines", "3")) == 3
    target = ("logs", f"SERVICE={proxy(platform)}", "SINCE=1m")
    made = tried(platform.project.path, "make", *target)
    made.check_returncode()
    assert mark in made.stdout


def test_all_services_are_told_apart_and_in_order(platform: Platform) -> None:
    names = set(platform.containers())
    width = max(map(len, names))
    lines = logs(platform, "--lines", "300")
    assert 0 < len(lines) <= 300
    assert {line[:width].rstrip() for line in lines} <= names
    assert all(line[width : width + 3] == " | " for line in lines)
    entries = [json.loads(line) for line in logs(platform, "--lines", "300", "--json")]
    times = [entry["time"] for entry in entries]
    assert times == sorted(times)
    assert len({entry["service"] for entry in entries}) > 1


def test_since(platform: Platform) -> None:
    before, after = (f"/{secrets.token_hex(8)}" for _ in range(2))
    ask(platform, before)
    # The engine stamps lines when it reads them; its clock is this machine's.
    await_result("the line", lambda: holds(platform, before), 20, 0.2)
    now = dt.datetime.now(dt.UTC).isoformat()
    ask(platform, after)
    await_result("the line", lambda: holds(platform, after), 20, 0.2)
    lines = logs(platform, "--service", proxy(platform), "--since", now)
    assert any(after in line for line in lines)
    assert not any(before in line for line in lines)


def test_an_unknown_service(platform: Platform) -> None:
    done = platform.dap("logs", "--service", "portall")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no service is called portall" in done.stderr
    assert all(name in done.stderr for name in platform.containers())


@pytest.fixture
def follow(platform: Platform) -> Iterator[Callable[[str], Callable[[str], str]]]:
    """Follows a service; gives what awaits a line with a text in it."""
    started: list[subprocess.Popen[str]] = []

    def start(service: str) -> Callable[[str], str]:
        dap = str(platform.project.path / ".venv/bin/dap")
        process = subprocess.Popen(
            [dap, "logs", "--service", service, "--follow", "--lines", "1"],
            cwd=platform.project.path,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        lines: queue.Queue[str] = queue.Queue()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.put(line)

        threading.Thread(target=read, daemon=True).start()

        def awaited(text: str) -> str:
            while text not in (line := lines.get(timeout=30)):
                pass
            return line

        return awaited

    yield start
    for process in started:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
        assert not [child for child in children if Path("/proc", child).exists()]
        if process.stdout is not None:
            process.stdout.close()


def test_following(platform: Platform, follow: Callable[[str], Callable[[str], str]]) -> None:
    awaited = follow(proxy(platform))
    awaited("")  # the last line that was there
    mark = f"/{secrets.token_hex(8)}"
    ask(platform, mark)
    awaited(mark)


def test_following_beyond_a_restart(
    platform: Platform, follow: Callable[[str], Callable[[str], str]]
) -> None:
    (service,) = (each["service"] for each in platform.plan["streams"] if each["name"] == "git")

    def knock() -> None:
        where = (platform.project.address, platform.project.ssh_port)
        with socket.create_connection(where, timeout=10) as connection:
            connection.recv(10)

    knock()
    awaited = follow(service)
    awaited("")
    platform.container(service).restart(timeout=2)

    def healthy() -> bool | None:
        state = platform.container(service).attrs["State"]
        return state["Health"]["Status"] == "healthy" or None

    awaited("Server listening on")
    await_result(f"health of {service}", healthy, 60)
    knock()
    awaited("Connection closed by")


def holds(platform: Platform, *texts: str) -> bool | None:
    """Whether the log itself, as the engine keeps it, has all of the texts."""
    raw = platform.container(proxy(platform)).logs(tail=200).decode()
    return all(text in raw for text in texts) or None


def test_secrets_are_masked(platform: Platform, tmp_path: Path) -> None:
    vault = platform.project.path / "infrastructure" / "secrets" / "vault.yml"
    kept = tmp_path / "vault.yml"
    shutil.copy2(vault, kept)
    # One that nothing uses, for the log keeps it.
    secret = secrets.token_hex(16)
    coded = base64.urlsafe_b64encode(f"admin:{secret}".encode()).decode()
    try:
        subprocess.run(
            [str(platform.project.path / ".venv/bin/dap"), "secret", "storage/trial/secret-key"],
            cwd=platform.project.path,
            env=clean_environment(),
            input=secret,
            text=True,
            check=True,
        )
        ask(platform, f"/plain/{secret}")
        ask(platform, f"/coded/{coded}")
        await_result("the log with both", lambda: holds(platform, secret, coded), 20, 0.2)
        for arguments in (["--service", proxy(platform)], ["--json"]):
            text = "\n".join(logs(platform, *arguments))
            assert "/plain/[masked]" in text
            assert "/coded/" in text
            assert secret not in text
            assert coded[10:-4] not in text
    finally:
        shutil.copy2(kept, vault)

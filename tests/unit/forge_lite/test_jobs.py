"""Jobs of a pipeline on two hosts: each gets a gateway to the engine of its host, no other."""

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

import pytest
from dap_pipelines import coordinator, jobs
from dap_pipelines import values as values_module
from dap_pipelines.coordinator import Coordinator
from dap_pipelines.engine import Engine
from dap_pipelines.jobs import Jobs
from dap_pipelines.policy import Policy
from dap_pipelines.state import Pipeline
from dap_pipelines.values import Host, JobLimits, Size

from tests.unit.forge_lite.given import values
from tests.unit.forge_lite.test_coordinator import end_all

NEAR, FAR = Host("near", (), 1), Host("far", ("big",), 1)
PIPELINE = Pipeline(7, "analysis", "refs/heads/main", "0" * 40, "", "ada", 0)


class Docker(ThreadingMixIn, UnixStreamServer):
    """An engine that makes containers, and forgets what it is told to."""

    daemon_threads = True

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(str(path), Handler)
        self.name = name
        self.containers: dict[str, dict[str, str]] = {}
        self.seen: list[str] = []
        self.silent = False


class Handler(BaseHTTPRequestHandler):
    server: Docker

    def log_message(self, *_: object) -> None:
        pass

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        path = self.path.split("?")[0].partition("/v1.43")[2]
        self.server.seen.append(f"{self.command} {path}")
        if self.server.silent:
            self.connection.close()
            return
        found: Any = {"NCPU": 4, "MemTotal": 2**33, "Image": "helper", "Volumes": []}
        if path == "/containers/create":
            number = (
                f"{self.server.name}-{len(self.server.containers)}".encode().hex().ljust(64, "0")
            )
            self.server.containers[number] = json.loads(body)["Labels"]
            found = {"Id": number}
        elif path == "/containers/json":
            found = [{"Id": number} for number in self.server.containers]
        elif path == "/networks":
            found = []
        elif self.command == "DELETE":
            self.server.containers.pop(path.split("/")[2], None)
        text = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815  names of the standard library


class Watcher:
    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def refused(self, reason: str) -> None:
        self.told.append(("refused", reason))

    def waits(self, job: str, reason: str) -> None:
        self.told.append(("waits", job, reason))

    def placed(self, job: str, host: str, labels: list[str]) -> None:
        self.told.append(("placed", job, host))
        assert "dap.pipeline=7" in labels

    def lost(self, job: str, reason: str) -> None:
        self.told.append(("lost", job, reason))


class Asker:
    """Asks as attempt.mjs does, and talks to the gateway of its slot."""

    def __init__(self, place: Path) -> None:
        self.place = place

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        if not hasattr(self, "reader"):
            path = self.place / "7.sock"
            self.reader, self.writer = await asyncio.open_unix_connection(path)
        self.writer.write(json.dumps(message).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await self.reader.readline())
        return answer

    async def slot(self, job: str, *tags: str) -> "Asker":
        answer = await self.ask({"job": job, "tags": tags})
        self.host, self.path = answer["host"], self.place / f"7-{answer['number']}.sock"
        assert answer["helper"] == "helper"
        return self

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        text = b"" if body is None else json.dumps(body).encode()
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(
            f"{method} {path} HTTP/1.1\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text
        )
        head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return int(head.split()[1]), json.loads(answer)


@pytest.fixture
def dockers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Docker]]:
    made = {name: Docker(tmp_path / f"{name}.engine", name) for name in ("near", "far")}
    for docker in made.values():
        threading.Thread(target=docker.serve_forever, daemon=True).start()

    def engine(host: Host) -> Engine:
        return Engine(host, str(tmp_path / f"{host.name}.engine"))

    monkeypatch.setattr(jobs, "Engine", engine)
    monkeypatch.setattr(coordinator, "Engine", engine)
    monkeypatch.setattr(coordinator, "STATE", tmp_path)
    monkeypatch.setattr(jobs, "COORDINATOR", str(tmp_path / "coordinator"))
    yield made
    for docker in made.values():
        docker.shutdown()
        docker.server_close()


Trial = Callable[[Callable[[Jobs, Coordinator, Callable[[], Asker]], Awaitable[None]]], Watcher]


@pytest.fixture
def trial(tmp_path: Path, dockers: dict[str, Docker]) -> Trial:
    assert set(dockers) == {"near", "far"}

    def policy(labels: dict[str, str], host: Host, size: Size) -> Policy:
        assert size == Size(4, 2**33)
        return Policy(labels, "dap_edge", JobLimits("1g", host.slots, 9))

    def run(attempt: Any) -> Watcher:
        watcher, askers = Watcher(), []

        def asker() -> Asker:
            askers.append(Asker(tmp_path))
            return askers[-1]

        async def go() -> None:
            settings = values(NEAR, FAR)
            made = Coordinator(settings)
            await made.start(tmp_path / "coordinator")
            served = Jobs(PIPELINE, settings, watcher, policy)
            await served.start(tmp_path / "7.sock", os.getuid())
            async with asyncio.timeout(20):
                while len(made.slots.up) < 2:
                    await asyncio.sleep(0.005)
                await attempt(served, made, asker)
                for each in askers:
                    if hasattr(each, "writer"):
                        each.writer.close()
                        await each.writer.wait_closed()
                await served.close()
                await end_all()

        asyncio.run(go())
        return watcher

    return run


def test_what_is_known_at_one_engine_is_nothing_at_another(
    trial: Trial, dockers: dict[str, Docker]
) -> None:
    async def attempt(_: Jobs, __: Coordinator, asker: Callable[[], Asker]) -> None:
        near, far = await asker().slot("a", "near"), await asker().slot("b", "big")
        assert (near.host, far.host) == ("near", "far")
        status, made = await near.call("POST", "/containers/create", {"Image": "i"})
        assert status == 201
        here = f"/containers/{made['Id']}/json"
        assert (await near.call("GET", here))[0] == 200
        assert (await far.call("GET", here))[0] == 403
        assert f"GET {here}" not in dockers["far"].seen
        # Nor is it to another job on the same host.
        assert await near.ask({"end": True}) == {"lost": ""}
        again = await asker().slot("c", "near")
        assert (await again.call("GET", here))[0] == 403

    watcher = trial(attempt)
    placed = [told for told in watcher.told if told[0] == "placed"]
    assert placed == [("placed", "a", "near"), ("placed", "b", "far"), ("placed", "c", "near")]


def test_nothing_of_a_job_is_left_when_the_next_has_its_slot(
    trial: Trial, dockers: dict[str, Docker]
) -> None:
    async def attempt(_: Jobs, __: Coordinator, asker: Callable[[], Asker]) -> None:
        first = await asker().slot("a", "near")
        await first.call("POST", "/containers/create", {"Image": "i"})
        assert len(dockers["near"].containers) == 1
        first.writer.close()
        await asker().slot("b", "near")
        assert dockers["near"].containers == {}

    trial(attempt)


def test_a_job_on_a_lost_host_is_told_and_its_calls_end(trial: Trial) -> None:
    async def attempt(_: Jobs, made: Coordinator, asker: Callable[[], Asker]) -> None:
        job = await asker().slot("b", "far")
        known = made.hosts["far"]
        known.reason = "no answer"
        made._lose(known)
        # What goes on at that moment is cut off.
        with contextlib.suppress(IndexError):
            while (await job.call("GET", "/_ping"))[0] == 200:
                await asyncio.sleep(0.005)
        answer = (await job.call("GET", "/_ping"))[1]
        assert "host far is gone: no answer" in answer["message"]
        assert await job.ask({"end": True}) == {"lost": "host far is gone: no answer"}

    assert ("lost", "b", "host far is gone: no answer") in trial(attempt).told


def test_a_wait_without_an_end_is_a_lost_connection(
    trial: Trial, dockers: dict[str, Docker]
) -> None:
    async def attempt(_: Jobs, __: Coordinator, asker: Callable[[], Asker]) -> None:
        job = await asker().slot("b", "far")
        made = (await job.call("POST", "/containers/create", {"Image": "i"}))[1]
        dockers["far"].silent = True
        with pytest.raises(IndexError):
            await job.call("POST", f"/containers/{made['Id']}/wait")
        dockers["far"].silent = False
        assert await job.ask({"end": True}) == {"lost": "the connection to host far broke"}

    trial(attempt)


def hosts_file(path: Path, *hosts: Host) -> Path:
    """Put the file of hosts that a deploy writes."""
    path.write_text(json.dumps([asdict(host) for host in hosts]))
    return path


def test_tags_of_a_host_that_came_since_are_known(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Host("late", ("gpu",), 1)
    file = hosts_file(tmp_path / "engines.json", NEAR, FAR, late)
    monkeypatch.setattr(values_module, "ENGINES", file)

    async def attempt(_: Jobs, __: Coordinator, asker: Callable[[], Asker]) -> None:
        assert await asker().ask({"jobs": [{"job": "b", "tags": ["gpu"]}]}) == {}

    assert trial(attempt).told == []


def test_tags_that_no_host_has_are_refused_before_any_job(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = hosts_file(tmp_path / "engines.json", NEAR, FAR)
    monkeypatch.setattr(values_module, "ENGINES", file)

    async def attempt(_: Jobs, __: Coordinator, asker: Callable[[], Asker]) -> None:
        wanted = [{"job": "a", "tags": ["big"]}, {"job": "b", "tags": ["gpu"]}]
        assert "no host has the label gpu" in (await asker().ask({"jobs": wanted}))["refused"]
        assert await asker().ask({"jobs": wanted[:1]}) == {}

    [(kind, reason)] = trial(attempt).told
    assert kind == "refused"
    assert reason.startswith("job b: tags: ")


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b'{"job": 1}\n', b'{"jobs": 1}\n', b"{}\n"])
def test_what_is_no_request_ends_nothing_but_itself(trial: Trial, line: bytes) -> None:
    async def attempt(_: Jobs, __: Coordinator, asker: Callable[[], Asker]) -> None:
        reader, writer = await asyncio.open_unix_connection(asker().place / "7.sock")
        writer.write(line)
        writer.write_eof()
        answer = await reader.read()
        assert b"refused" in answer or answer == b""
        writer.close()
        await writer.wait_closed()
        assert (await asker().slot("a", "near")).host == "near"

    trial(attempt)

"""The gateway before an engine that, like Docker's, keeps connections open for further calls."""

import asyncio
import gc
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer

import pytest
from dap_pipelines.engine import Engine as Asked
from dap_pipelines.gateway import Gateway
from dap_pipelines.policy import Policy
from dap_pipelines.values import JobLimits

CONTAINER = "c" * 64
ATTACH = f"POST /containers/{CONTAINER}/attach?stream=1"
SECOND = b"GET /info HTTP/1.1\r\nHost: e\r\n\r\n"


class Engine(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str) -> None:
        super().__init__(path, Handler)
        self.seen: list[str] = []
        self.bodies: list[str] = []
        self.attachable = False
        self.at_end_of_input: Callable[[], object] | None = None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Engine

    def log_message(self, *_: object) -> None:
        pass

    def answer(self) -> None:
        self.server.seen.append(f"{self.command} {self.path}")
        if self.path.split("?")[0].endswith("/attach") and self.server.attachable:
            self.send_response(101)
            self.end_headers()
            said = self.rfile.readline()
            if self.server.at_end_of_input:
                said += self.rfile.read()
                self.server.at_end_of_input()
            self.wfile.write(b"from the container: " + said)
            # As Docker's, it takes the rest of the input.
            self.connection.shutdown(socket.SHUT_WR)
            self.rfile.read()
            self.close_connection = True
            return
        self.server.bodies.append(str(self.headers["Content-Type"]))
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"OK")

    do_GET = do_POST = do_PUT = answer  # noqa: N815  names of the standard library


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(str(tmp_path / "engine")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def entrance(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[Path]:
    policy = Policy({}, "dap_edge", JobLimits("1g", 1, 9))
    policy.containers.add(CONTAINER)
    served = Gateway(policy, Asked(path=str(tmp_path / "engine")))
    loop.run_until_complete(served.start(tmp_path / "gateway"))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield tmp_path / "gateway"

    async def finish() -> None:
        served.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        if connections:
            await asyncio.wait(connections)

    asyncio.run_coroutine_threadsafe(finish(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def send(entrance: Path, data: bytes, *, close: bool = False) -> bytes:
    """Send bytes, and no more; all that comes back until the gateway closes.

    `close` ends what is sent, as the end of a pipe on the client's standard input does.
    """
    answer = b""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(entrance))
        connection.sendall(data)
        if close:
            connection.shutdown(socket.SHUT_WR)
        while block := connection.recv(65536):
            answer += block
    return answer


def test_an_allowed_call_is_answered(engine: Engine, entrance: Path) -> None:
    assert send(entrance, b"GET /v1.24/_ping HTTP/1.1\r\nHost: e\r\n\r\n").endswith(b"OK")
    assert [call.split("?")[0] for call in engine.seen] == ["GET /v1.43/_ping"]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /_ping HTTP/1.1\r\nHost: e\r\nUpgrade: tcp\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: e\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: e\r\nConnection: keep-alive\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: e\r\nX: y\n\n",
        b"GET /_ping HTTP/1.1\n\r\nHost: e\r\n\r\n",
        f"{ATTACH} HTTP/1.1\r\nHost: e\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n".encode(),
    ],
)
def test_no_second_call_comes_behind_an_allowed_one(
    engine: Engine, entrance: Path, head: bytes
) -> None:
    send(entrance, head + SECOND)
    assert not [call for call in engine.seen if "/info" in call]


def test_an_attached_container_is_talked_to(engine: Engine, entrance: Path) -> None:
    engine.attachable = True
    head = f"{ATTACH} HTTP/1.1\r\nHost: e\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n".encode()
    answer = send(entrance, head + b"hello\n")
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.endswith(b"from the container: hello\n")


def test_output_comes_after_the_end_of_the_input(
    engine: Engine, entrance: Path, loop: asyncio.AbstractEventLoop
) -> None:
    async def collect() -> None:
        gc.collect()

    def collect_repeatedly() -> None:
        # Each in a round of its own, so that the gateway has done what it was about to.
        for _ in range(5):
            asyncio.run_coroutine_threadsafe(collect(), loop).result(10)

    engine.attachable = True
    engine.at_end_of_input = collect_repeatedly
    head = f"{ATTACH} HTTP/1.1\r\nHost: e\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n".encode()
    answer = send(entrance, head + b"hello\nall\n", close=True)
    assert answer.endswith(b"from the container: hello\nall\n")


def test_a_container_may_end_before_its_input(engine: Engine, entrance: Path) -> None:
    engine.attachable = True
    head = f"{ATTACH} HTTP/1.1\r\nHost: e\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n".encode()
    answer = send(entrance, head + b"hello\n" * 1_000_000, close=True)
    assert answer.endswith(b"from the container: hello\n")


@pytest.mark.parametrize(
    "head",
    [
        b"POST /images/create?fromImage=&fromImage=i HTTP/1.1\r\nHost: e\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: e\r\nhost: f\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: e\r\nX : y\r\n\r\n",
        b"GET /info HTTP/1.1\r\nHost: e\r\n\r\n",
        b"GET /containers/%2e%2e/info HTTP/1.1\r\nHost: e\r\n\r\n",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(
    engine: Engine, entrance: Path, head: bytes
) -> None:
    assert send(entrance, head).startswith(b"HTTP/1.1 403 ")
    assert engine.seen == []


def test_a_form_is_no_form_to_the_engine(engine: Engine, entrance: Path) -> None:
    body = b"fromImage=&fromSrc=http://e/"
    head = (
        "POST /images/create?fromImage=i HTTP/1.1\r\nHost: e\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    assert send(entrance, head.encode() + body).endswith(b"OK")
    assert engine.bodies == ["None"]

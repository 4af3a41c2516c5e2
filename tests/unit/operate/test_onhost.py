"""What runs on a host to look at it, as far as a part of a machine can be made here."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import time
from types import ModuleType
from typing import Any

import pytest

from tests.unit.engine.modules import load

MACHINE_UTILS = load("dap_machine", "module_utils")  # puts the modules' folder on the way


def module(name: str) -> ModuleType:
    import importlib

    return importlib.import_module(f"dap.onhost.{name}")


class TestLogs:
    logs = module("logs")

    def frames(self, *entries: tuple[int, bytes]) -> io.BytesIO:
        return io.BytesIO(
            b"".join(bytes([s, 0, 0, 0]) + len(c).to_bytes(4, "big") + c for s, c in entries)
        )

    def test_a_line_that_the_engine_cut_is_whole_again(self) -> None:
        """A secret on the cut would pass a mask that sees lines."""
        response = self.frames(
            (1, b"T1 first se"),
            (2, b"T2 other\n"),
            (1, b"T3 cret\n"),
            (1, b"T4 \n"),
            (2, b"T5 the end"),
        )
        assert list(self.logs.entries(response)) == [
            ("T2", "other"),
            ("T1", "first secret"),
            ("T4", ""),
            ("T5", "the end"),
        ]

    def test_time(self) -> None:
        assert self.logs.unix_time("2026-01-02T03:04:05.000000009Z") == "1767323045.000000009"
        assert self.logs.unix_time("2026-01-02T03:04:05Z") == "1767323045.0"


class TestMachine:
    machine = module("machine")

    @pytest.mark.parametrize(
        ("offset", "kept", "level"),
        [
            (0.5, True, "ok"),
            (-3.0, False, "ok"),
            (None, True, "ok"),
            (None, False, "warning"),
            (-60.0, True, "warning"),
            (400.0, True, "problem"),
        ],
    )
    def test_clock(
        self, monkeypatch: pytest.MonkeyPatch, offset: float | None, kept: bool, level: str
    ) -> None:
        monkeypatch.setattr(self.machine, "synchronised", lambda: kept)
        (found,) = self.machine.clock(offset)
        assert found["level"] == level
        assert bool(found["remedy"]) is (level != "ok")

    def test_the_kernel_says_whether_the_clock_is_kept(self) -> None:
        assert self.machine.synchronised() in (True, False, None)

    NEW: dict[str, Any] = {  # noqa: RUF012
        "running": True,
        "installed": True,
        "engine": "26.1.5",
        "compose": "v2.26.1",
        "buildx": "0.13.1",
        "runtimes": [],
    }

    @pytest.mark.parametrize(
        ("changes", "needed", "level", "words"),
        [
            ({}, True, "ok", "engine 26.1.5, Compose v2.26.1, buildx 0.13.1"),
            ({"running": False}, True, "problem", "make deploy"),
            ({"running": False}, False, "ok", "a deploy"),
            ({"engine": "20.10.24"}, False, "problem", "engine is 20.10.24, 23.0 needed"),
            ({"compose": "", "installed": False}, False, "warning", "Compose is not there, 2.18"),
        ],
    )
    def test_docker(self, changes: dict[str, Any], needed: bool, level: str, words: str) -> None:
        (found,) = self.machine.engine({**self.NEW, **changes}, needed)
        assert found["level"] == level
        assert words in found["what"] + found["remedy"]

    @pytest.mark.parametrize(
        ("cards", "driver", "runtimes", "level", "words"),
        [
            (0, "", [], "ok", "none"),
            (2, "", [], "warning", "no driver"),
            (1, "550.54", ["runc"], "warning", "no NVIDIA toolkit"),
            (1, "550.54", ["nvidia", "runc"], "ok", "driver 550.54, toolkit"),
        ],
    )
    def test_graphics(
        self,
        monkeypatch: pytest.MonkeyPatch,
        cards: int,
        driver: str,
        runtimes: list[str],
        level: str,
        words: str,
    ) -> None:
        monkeypatch.setattr(self.machine, "nvidia_cards", lambda: cards)
        monkeypatch.setattr(self.machine, "nvidia_driver", lambda: driver)
        monkeypatch.setattr(self.machine.shutil, "which", lambda _: None)
        (found,) = self.machine.graphics_of({"runtimes": runtimes})()
        assert found["level"] == level
        assert words in found["what"]

    def test_kernel_of_this_machine(self) -> None:
        (found,) = self.machine.kernel()
        assert found["level"] == "ok"
        assert "control groups v" in found["what"]


class TestPlatform:
    platform = module("platform")

    @pytest.fixture
    def hosts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        """Lets names be found in a file alone."""
        path = tmp_path / "hosts"
        monkeypatch.setattr(self.platform, "HOSTS", path)

        def find(name: str, _: object) -> list[Any]:
            lines = [line.partition("#")[0].split() for line in path.read_text().splitlines()]
            found = [line[0] for line in lines if name in line[1:]]
            if not found:
                raise socket.gaierror(socket.EAI_NONAME, "unknown")
            kind = {True: socket.AF_INET6, False: socket.AF_INET}
            return [(kind[":" in each], 1, 6, "", (each, 0)) for each in found]

        monkeypatch.setattr(self.platform.socket, "getaddrinfo", find)

        def write(text: str) -> None:
            path.write_text(text)

        return write

    @pytest.mark.parametrize(
        ("text", "runs", "levels", "words"),
        [
            ("127.0.0.1 a b\n", True, ["ok"], "all 2 lead to 127.0.0.1"),
            ("127.0.0.1 a b\n::1 a b\n", True, ["ok"], "all 2 lead"),
            ("127.0.0.1 a\n", False, ["ok"], "b not in the DNS: a deploy writes"),
            ("127.0.0.1 a\n", True, ["problem"], "not found: b"),
            (
                "# me\n127.0.0.1 a b\n10.0.0.9 x b # old\n",
                True,
                ["problem"],
                "b leads to 10.0.0.9 and 127.0.0.1, not to 127.0.0.1 alone",
            ),
            ("127.0.0.1 a\n::1 b\n", True, ["problem"], "b leads to ::1"),
        ],
    )
    def test_names(
        self,
        hosts: Callable[[str], None],
        text: str,
        runs: bool,
        levels: list[str],
        words: str,
    ) -> None:
        hosts(text)
        found = list(self.platform.names(["a", "b"], "127.0.0.1", runs))
        assert [each["level"] for each in found] == levels
        assert words in found[0]["what"]

    def test_the_line_is_named(self, hosts: Callable[[str], None]) -> None:
        hosts("127.0.0.1 a\n\n10.0.0.9 x a\n")
        (found,) = self.platform.names(["a"], "127.0.0.1", runs=True)
        assert "hosts line 3: 10.0.0.9)" in found["what"]

    def test_a_stream_whose_service_is_gone(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]

            def hang_up() -> None:
                server.accept()[0].close()

            thread = threading.Thread(target=hang_up)
            thread.start()
            assert "behind it does not" in self.platform.stream_refusal("127.0.0.1", port)
            thread.join()
            # Postgres waits for the client's first word.
            assert self.platform.stream_refusal("127.0.0.1", port) == ""
        assert "does not answer" in self.platform.stream_refusal("127.0.0.1", port)


class TestPackages:
    packages = module("packages")

    @pytest.fixture
    def mirror(self) -> Iterator[dict[str, Any]]:
        """A mirror of everything: told what to answer, tells what it was asked."""
        state: dict[str, Any] = {"status": 200, "ahead": 0.0, "asked": []}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                state["asked"].append(self.path)
                self.send_response_only(state["status"])
                self.send_header("Date", formatdate(time() + state["ahead"]))
                for name, value in state.get("headers", {}).items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            state["url"] = f"http://127.0.0.1:{server.server_port}"
            yield state
            server.shutdown()
            thread.join()

    @pytest.fixture(autouse=True)
    def alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "https_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv("no_proxy", "")

    def access(self, url: str) -> Any:
        keys = ("apt_mirror", "pip_index", "npm_registry", "go_proxy")
        return self.packages.Access(dict.fromkeys(keys, url), {})

    def found(self, url: str, needed: bool = True) -> list[dict[str, str]]:
        checks = self.access(url).checks(needed)
        return [found for check in checks for found in check()]

    def test_each_kind_asks_where_the_settings_say(self, mirror: dict[str, Any]) -> None:
        found = self.found(mirror["url"])
        assert [each["where"] for each in found] == ["proxy", "apt", "pip", "npm", "go"]
        assert {each["level"] for each in found} == {"ok"}
        assert mirror["asked"] == [
            "/dists/trixie/InRelease",
            "/pip/",
            "/npm/latest",
            "/golang.org/x/sys/@v/list",
        ]

    @pytest.mark.parametrize(("needed", "level"), [(True, "problem"), (False, "warning")])
    def test_what_can_not_be_had(self, mirror: dict[str, Any], needed: bool, level: str) -> None:
        mirror["status"] = 404
        found = self.found(mirror["url"], needed)[1:]
        assert [each["level"] for each in found] == [level] * 4
        assert all("404" in each["what"] and "platform.yml" in each["remedy"] for each in found)

    def test_a_password_in_an_address_is_refused_and_not_repeated(self) -> None:
        found = self.found("http://me:hush@127.0.0.1:9")
        assert [each["level"] for each in found[1:]] == ["problem"] * 4
        assert "hush" not in str(found)

    def test_a_proxy_that_does_not_answer(self) -> None:
        access = self.packages.Access({"http_proxy": "http://127.0.0.1:9"}, {})
        (found,) = access.proxy()
        assert (found["level"], found["where"]) == ("problem", "proxy")

    @pytest.mark.parametrize("ahead", [0.0, 100.0, -100.0])
    def test_the_clock_beside_the_mirrors(self, mirror: dict[str, Any], ahead: float) -> None:
        mirror["ahead"] = ahead
        assert self.access(mirror["url"]).clock() == pytest.approx(-ahead, abs=5)

    def test_an_answer_from_a_cache_is_as_old_as_it_says(self, mirror: dict[str, Any]) -> None:
        mirror["ahead"], mirror["headers"] = -1000.0, {"Age": "1000"}
        assert self.access(mirror["url"]).clock() == pytest.approx(0, abs=5)

    def test_no_mirror_no_clock(self) -> None:
        assert self.access("http://127.0.0.1:9").clock() is None


class TestWatched:
    status = module("status")

    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(self.status, "WATCHED", tmp_path)
        return tmp_path

    def write(self, folder: Path, age_s: float) -> dict[str, str]:
        told = {"level": "warning", "where": "disk", "what": "9% free", "remedy": "free some"}
        found = {"time": time() - age_s, "findings": [{**told, "place": str(folder)}]}
        (folder / "disk.json").write_text(json.dumps(found))
        return told

    def test_what_a_timer_left_is_told(self, folder: Path) -> None:
        assert self.status.watched(set()) == []
        assert self.write(folder, 0) == self.status.watched(set())[0]

    def test_a_disk_that_is_told_of_anyway_is_not_told_twice(self, folder: Path) -> None:
        self.write(folder, 0)
        assert self.status.watched({folder.stat().st_dev}) == []

    def test_a_timer_that_does_not_run_is_told(self, folder: Path) -> None:
        self.write(folder, 2 * 3600)
        (found,) = self.status.watched(set())
        assert found["what"] == "dap-disk.timer has not looked for 2 h"


class TestStatus:
    status = module("status")

    def test_what_an_earlier_version_deployed_is_no_plan_to_judge_by(self, tmp_path: Path) -> None:
        assert self.status.plan(str(tmp_path)) is None
        parts = ("host", "listen", "service", "settings", "services", "routes", "streams")
        told = dict.fromkeys((*parts, "images"), "")
        (tmp_path / "plan.json").write_text(json.dumps(told))
        assert self.status.plan(str(tmp_path)) == dict.fromkeys(parts, "")
        del told["listen"]
        (tmp_path / "plan.json").write_text(json.dumps(told))
        assert self.status.plan(str(tmp_path)) is None


class TestDeployed:
    deployed = module("deployed")

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            (
                '{"host": "r1", "settings": {"hosts": [{"name": "r1", "address": "192.0.2.1"}]}}',
                {"name": "r1", "address": "192.0.2.1"},
            ),
            ("{} what somebody added", {"name": "", "address": ""}),
            (None, None),
        ],
    )
    def test_a_plan_says_as_which_host(
        self,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        text: str | None,
        found: dict[str, str] | None,
    ) -> None:
        if text is not None:
            (tmp_path / "plan.json").write_text(text)
        self.deployed.main({"directory": str(tmp_path)})
        assert json.loads(capsys.readouterr().out) == found

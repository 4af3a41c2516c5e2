"""The stand-in as a process, and content that runs against it as a deploy would run it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dap.catalogue import Catalogue, read_catalogue
from dap.errors import DapError
from dap.plan import make_plan, secret_specs
from dap.render import Tree, render
from dap.secrets.kinds import CONTENT, make
from dap.settings import Settings
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from tests.paths import ROOT

OURS = ("gitlab", "gitlab-runner")
START_S = 20
RUN_S = 120


@cache
def catalogue() -> Catalogue:
    """Read the catalogue that is shipped, once."""
    return read_catalogue(ROOT)


class Registry(ThreadingHTTPServer):
    """The platform's registry: it has every image, but for those that are `absent`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Manifests)
        self.port: int = self.server_address[1]
        self.absent: set[str] = set()
        self.asked: list[str] = []


class _Manifests(BaseHTTPRequestHandler):
    server: Registry

    def do_HEAD(self) -> None:
        self.server.asked.append(self.path)
        name = self.path.removeprefix("/v2/").partition("/manifests/")[0]
        known = self.headers.get("Authorization", "").startswith("Basic ")
        self.send_response(404 if name in self.server.absent else 200 if known else 401)
        self.send_header("Docker-Content-Digest", digest(self.path))
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it
        """Say nothing."""


def digest(path: str) -> str:
    """Return what the registry calls the image of /v2/NAME/manifests/TAG."""
    return f"sha256:{hashlib.sha256(path.encode()).hexdigest()}"


@cache
def registry() -> Registry:
    """Serve a registry, once for all tests."""
    made = Registry()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    return made


@dataclass
class Vault:
    """Secrets of all kinds; those that content gets are there once it has them."""

    values: dict[str, str] = field(default_factory=dict)

    def ensure(self, specs: Mapping[str, str]) -> None:
        """Make what is missing."""
        for name, kind in specs.items():
            if kind != CONTENT and name not in self.values:
                self.values[name] = make("password" if kind == "user" else kind)
        for name in ("tls/ca-certificate", "tls/certificate", "tls/key"):
            self.values.setdefault(name, f"-----BEGIN {name}-----")

    def get(self, name: str, /) -> str:
        """Return a secret."""
        if name not in self.values:
            raise DapError(f"secret {name}: there is none")
        return self.values[name]


@dataclass(frozen=True)
class Ran:
    """What a run of content said."""

    status: int
    output: str

    @property
    def lines(self) -> list[str]:
        """What it printed, but for the summary."""
        return self.output.splitlines()[:-1]

    @property
    def summary(self) -> dict[str, Any]:
        """Its last line."""
        found: dict[str, Any] = json.loads(self.output.splitlines()[-1])
        return found

    @property
    def changes(self) -> list[str]:
        """The steps that changed something."""
        return [line for line in self.lines if re.match(r"\S+: (would change|changed): ", line)]


class Forge:
    """A stand-in with its state in a folder, and a platform whose forge it is."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.vault = Vault()
        self.kept = place / "kept"
        self.kept.mkdir()
        self.file = place / "state.json"
        self.requests = place / "requests"
        self.token = place / "token"
        self.repositories = place / "repositories"
        self.left = place / "left"
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port: int = server.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def take_over(self, other: Forge) -> None:
        """Begin with what another forge has."""
        self.vault.values |= other.vault.values
        for file in (other.file, other.requests, other.kept / "kept.json"):
            target = self.place / file.relative_to(other.place)
            target.write_bytes(file.read_bytes())
            target.chmod(0o600)

    def start(self, *options: str, wait: bool = True) -> subprocess.Popen[bytes]:
        """Start the stand-in, which takes over the platform's token as GitLab's start does."""
        self.token.write_text(self.vault.values["gitlab/token"])
        files = {"--state": self.file, "--requests": self.requests, "--token-file": self.token}
        files["--repositories"] = self.repositories
        command = [sys.executable, "-m", "tests.gitlab.standin", "--port", str(self.port)]
        command += [str(word) for pair in files.items() for word in pair]
        self._process = subprocess.Popen([*command, *options], cwd=ROOT)
        if wait:
            _listens(self.port)
        return self._process

    def stop(self) -> None:
        """End the stand-in, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def state(self) -> dict[str, Any]:
        """Everything that the stand-in knows."""
        found: dict[str, Any] = json.loads(self.file.read_text())
        return found

    def change(self, **tables: Any) -> None:
        """Change what the stand-in knows, as somebody would who works in GitLab; restarts it."""
        self.stop()
        self.file.write_text(json.dumps({**self.state, **tables}))
        self.start()

    def tree(self, data: Mapping[str, Any]) -> Tree:
        """Render the service host's tree for these settings."""
        settings = Settings.model_validate({"forge": "gitlab", **data})
        plan = make_plan(settings, catalogue())
        self.vault.ensure(secret_specs(plan))
        service = plan.service_host.host.name
        return next(tree for tree in render(plan, self.vault) if tree.host == service)

    def write(self, data: Mapping[str, Any]) -> dict[str, Path]:
        """Write what a content run of these settings reads, of the forge's folders alone.

        Returns the arguments that say where.
        """
        tree = self.tree(data)
        content = self.place / "content"
        files = {file.path: file.content for file in tree.files}
        for path, raw in files.items():
            if path.startswith("content/"):
                target = self.place / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(raw)
        plan = json.loads(files["content/plan.json"])
        plan["folders"] = {name: plan["folders"][name] for name in OURS}
        ports = {"git": self.port, "registry": registry().port}
        for route in plan["routes"]:
            if route["name"] in ports:
                route |= {"service": "127.0.0.1", "port": ports[route["name"]]}
        (content / "plan.json").write_text(json.dumps(plan))
        arguments = {"--tree": content, "--kept": self.kept, "--left": self.left}
        for option, name in (("--secrets", "vault.json"), ("--clients", "clients.json")):
            arguments[option] = self.place / name
            arguments[option].write_bytes(files[f"secrets/content/content/{name}"])
        return arguments

    def begin(self, data: Mapping[str, Any], *words: str) -> subprocess.Popen[str]:
        """Start a content run."""
        arguments = self.write(data)
        command = [sys.executable, "-m", "dap.content", *words]
        command += [str(word) for pair in arguments.items() for word in pair]
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.place / "content"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )

    def end(self, process: subprocess.Popen[str]) -> Ran:
        """Await a content run; the vault takes over what it kept, as a deploy has it do."""
        output, _ = process.communicate(timeout=RUN_S)
        kept = self.kept / "kept.json"
        if kept.exists():
            self.vault.values |= json.loads(kept.read_text())
        return Ran(process.returncode, output)

    def content(self, data: Mapping[str, Any], *words: str) -> Ran:
        """Run content to its end."""
        return self.end(self.begin(data, *words))


@retry(
    stop=stop_after_delay(START_S),
    wait=wait_fixed(0.05),
    retry=retry_if_exception_type(OSError),
    reraise=True,
)
def _listens(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=1).close()

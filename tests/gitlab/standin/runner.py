"""What GitLab Runner does, by its configuration: `gitlab-runner run --working-directory FOLDER`.

Verifies the token of each runner, then asks for jobs and runs them in Docker.
"""

from __future__ import annotations

import argparse
import json
import secrets
import ssl
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FORBIDDEN = 403
TIMEOUT_S = 30


@dataclass(frozen=True)
class Api:
    """GitLab as a runner of `config.toml` reaches it."""

    url: str
    authority: str

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | None = None,
        **headers: str,
    ) -> tuple[int, bytes]:
        """Return status and body of an answer; 0 where there is none."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict):
            names["Content-Type"] = "application/json"
        request = urllib.request.Request(f"{self.url}/api/v4{path}", data, names, method=method)
        context = ssl.create_default_context(cafile=self.authority)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as answer:
                return int(answer.status), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except (urllib.error.URLError, OSError) as error:
            print(f"{path}: {error}", file=sys.stderr, flush=True)
            return 0, b""


class Metrics(BaseHTTPRequestHandler):
    """What `listen_address` serves."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/metrics" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it
        """Say nothing."""


def system_id(folder: Path) -> str:
    """Return what tells this process from others with its token, made once."""
    file = folder / ".runner_system_id"
    if not file.exists():
        file.write_text(f"s_{secrets.token_hex(6)}")
    return file.read_text()


def attend(runner: dict[str, Any], every_s: float, system: str) -> None:
    """Verify a runner's token; say so where GitLab does not take it, and ask for nothing then."""
    api = Api(runner["url"], runner["tls-ca-file"])
    given = {"token": runner["token"], "system_id": system}
    while True:
        status, _ = api.ask("POST", "/runners/verify", given)
        if status == 200:
            print(f"{runner['name']}: is alive", flush=True)
            return
        if status == FORBIDDEN:
            print(f"{runner['name']}: is not valid", flush=True)
            return
        time.sleep(every_s)


def run(folder: Path) -> None:
    """Attend to all runners of the configuration until the container is ended."""
    configuration = tomllib.loads((folder / "config.toml").read_text())
    address, _, port = configuration["listen_address"].rpartition(":")
    server = ThreadingHTTPServer((address, int(port)), Metrics)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    every_s = float(configuration["check_interval"])
    system = system_id(folder)
    for runner in configuration.get("runners", []):
        arguments = (runner, every_s, system)
        threading.Thread(target=attend, args=arguments, daemon=True).start()
    threading.Event().wait()


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["run"])
    parser.add_argument("--working-directory", type=Path, required=True)
    run(parser.parse_args().working_directory)


if __name__ == "__main__":
    main()

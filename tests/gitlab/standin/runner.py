"""What GitLab Runner does, by its configuration: `gitlab-runner run --config FILE`.

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
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Semaphore
from typing import Any

from docker.errors import DockerException

from tests.gitlab.standin.executor import Executor, ExecutorError, Handed

# Between two pieces of a log.
SEND_S = 0.5
FORBIDDEN = 403
# How often, and in seconds how much later, is said again what GitLab did not hear.
TRIES, AGAIN_S = 30, 2
# Set by nobody: the container is ended from outside.
ENDED = threading.Event()
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


class Log:
    """The log of a job, sent piece by piece, without what is masked."""

    def __init__(self, api: Api, job: dict[str, Any]) -> None:
        self._api = api
        self._path = f"/jobs/{job['id']}/trace"
        self._token = job["token"]
        masked = [each["value"] for each in job["variables"] if each["masked"]]
        self._masked = sorted([*masked, job["token"]], key=len, reverse=True)
        self._sent = 0
        self._waiting = ""
        self._at = 0.0

    def __call__(self, text: str) -> None:
        """Take a piece; lines are sent whole, so that nothing masked is cut in two."""
        self._waiting += text
        if "\n" in self._waiting and time.monotonic() - self._at > SEND_S:
            ready, _, self._waiting = self._waiting.rpartition("\n")
            self._send(ready + "\n")

    def close(self) -> None:
        """Send what is left."""
        for _ in range(TRIES):
            if self._waiting:
                ready, self._waiting = self._waiting, ""
                self._send(ready)
            if not self._waiting:
                return
            ENDED.wait(AGAIN_S)

    def _send(self, raw: str) -> None:
        text = raw
        for value in self._masked:
            text = text.replace(value, "[MASKED]")
        # As runners write it since 18.7.
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ 00O ")
        text = "".join(f"{now}{line}" for line in text.splitlines(keepends=True))
        data = text.encode()
        span = f"{self._sent}-{self._sent + len(data) - 1}"
        headers = {"JOB_TOKEN": self._token, "Content_Range": span, "Content_Type": "text/plain"}
        status, _ = self._api.ask("PATCH", self._path, data, **headers)
        if status == 202:
            self._sent += len(data)
        elif status == FORBIDDEN:
            self._waiting = ""  # the job was cancelled
        else:
            self._waiting = raw + self._waiting
        self._at = time.monotonic()


def attend(runner: dict[str, Any], every_s: float, system: str, slots: Semaphore) -> None:
    """Verify a runner's token, then take jobs, as many at once as there are `slots` for all."""
    api = Api(runner["url"], runner["tls-ca-file"])
    given = {"token": runner["token"], "system_id": system}
    while (status := api.ask("POST", "/runners/verify", given)[0]) != 200:
        if status == FORBIDDEN:
            print(f"{runner['name']}: is not valid", flush=True)
            return
        ENDED.wait(every_s)
    print(f"{runner['name']}: is alive", flush=True)
    executor = Executor(runner)
    ask = {**given, "info": {"executor": runner["executor"]}, "last_update": ""}
    while True:
        slots.acquire()
        status, answer = api.ask("POST", "/jobs/request", ask)
        if status == 201:
            arguments = (executor, api, json.loads(answer), slots)
            threading.Thread(target=take, args=arguments, daemon=True).start()
        else:
            slots.release()
            ENDED.wait(every_s)


def take(executor: Executor, api: Api, job: dict[str, Any], slots: Semaphore) -> None:
    """Run a job, and report how it ended."""
    log = Log(api, job)
    ended: dict[str, Any] = {"token": job["token"], "state": "failed"}
    try:
        done, artifacts = executor.run(job, log)
        for artifact in artifacts:
            send(api, job, artifact)
        ended |= {"state": "success"} if done else {"failure_reason": "script_failure"}
    except (ExecutorError, DockerException, OSError) as error:
        log(f"ERROR: Job failed (system failure): {error}\n")
        ended["failure_reason"] = "runner_system_failure"
    finally:
        log.close()
        # A job may have had GitLab or the proxy restarted.
        for _ in range(TRIES):
            if api.ask("PUT", f"/jobs/{job['id']}", ended)[0] not in (0, 502):
                break
            ENDED.wait(AGAIN_S)
        slots.release()


def send(api: Api, job: dict[str, Any], artifact: Handed) -> None:
    """Hand in an artifact, as a form with one file."""
    border = secrets.token_hex(16)
    head = f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="artifact"\r\n'
    kind = "Content-Type: application/octet-stream\r\n\r\n"
    body = head.encode() + kind.encode() + artifact.content + f"\r\n--{border}--\r\n".encode()
    query = f"artifact_format={artifact.form}&artifact_type={artifact.kind}"
    headers = {
        "JOB_TOKEN": job["token"],
        "Content_Type": f"multipart/form-data; boundary={border}",
    }
    api.ask("POST", f"/jobs/{job['id']}/artifacts?{query}", body, **headers)


def run(file: Path) -> None:
    """Attend to all runners of the configuration until the container is ended."""
    configuration = tomllib.loads(file.read_text())
    address, _, port = configuration["listen_address"].rpartition(":")
    server = ThreadingHTTPServer((address, int(port)), Metrics)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    every_s = float(configuration["check_interval"])
    system = system_id(file.parent)
    slots = Semaphore(configuration["concurrent"])
    for runner in configuration.get("runners", []):
        arguments = (runner, every_s, system, slots)
        threading.Thread(target=attend, args=arguments, daemon=True).start()
    ENDED.wait()


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["run"])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--working-directory", type=Path, required=True)
    run(parser.parse_args().config)


if __name__ == "__main__":
    main()

"""Runs pipelines for `make verify`: pushes as the account that is there for it, and cleans up."""

from __future__ import annotations

import re
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from acceptance import CheckError, Deployed, Finished, Ran, expect
from acceptance.commands import run as command
from acceptance.repository import Repository
from dap.secrets.kinds import ssh_public_key
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

KEY, HOST_KEY = "forge-lite/verify-key", "forge-lite/ssh-host-key"
SERVER, WORKER, ROUTE = "git", "pipelines", "git"
ASKED = re.compile(r"pipeline #(\d+): (\S+)")
STAMP = re.compile(r"^\S+Z ", re.MULTILINE)
FINAL = {"success", "failed", "canceled", "crashed"}
TIMEOUT_S = 120
LOOK_S = 0.2


class Server:
    """The git server, as the account for checks reaches it."""

    def __init__(self, platform: Deployed, place: Path) -> None:
        """Write what SSH needs into `place`."""
        settings, secrets = platform.settings, platform.prepared.secrets
        host, port = f"{ROUTE}.{settings.domain}", settings.ports.ssh
        key, known = place / "key", place / "known_hosts"
        key.touch(mode=0o600)
        key.write_text(secrets[KEY], encoding="utf-8")
        known.write_text(f"{host} {ssh_public_key(secrets[HOST_KEY])}\n", encoding="utf-8")
        options = {
            "HostName": socket.getaddrinfo(host, port)[0][4][0],
            "HostKeyAlias": host,
            "IdentityFile": key,
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "UserKnownHostsFile": known,
            "StrictHostKeyChecking": "yes",
            "ConnectTimeout": 10,
        }
        self._ssh = ["ssh", "-F", "none", *(f"-o{name}={value}" for name, value in options.items())]
        self._at = ["-p", str(port), f"git@{host}"]
        self._url = f"ssh://git@{host}:{port}"

    def repository(self, project: str, place: Path) -> Repository:
        """Return a repository that is pushed to a project."""
        ssh = " ".join(self._ssh)
        return Repository(place, f"{self._url}/{project}", environment={"GIT_SSH_COMMAND": ssh})

    def line(self, *words: str) -> list[str]:
        """Return what runs a command of the server."""
        return [*self._ssh, *self._at, *words]

    def command(self, *words: str) -> str:
        """Run a command of the server; return what it prints."""
        return command(*self.line(*words))


def push(repository: Repository) -> tuple[int, str]:
    """Push the commit; return number and page of its pipeline.

    Raises:
        CheckError: it is refused, or starts no pipeline.
    """
    # The answer comes at once: the pipeline is followed here.
    asked = ASKED.search(repository.push())
    if asked is None:
        raise CheckError("the push started no pipeline", f"make logs SERVICE={SERVER}")
    return int(asked[1]), asked[2]


@contextmanager
def run(platform: Deployed, project: str, files: Mapping[str, str]) -> Iterator[Ran]:
    """Run a pipeline of these files in a project; afterwards nothing of it is left."""
    with tempfile.TemporaryDirectory() as place, requests.Session() as session:
        server = Server(platform, Path(place))
        repository = server.repository(project, Path(place))
        commit = repository.commit(files)
        authority = Path(place, "ca.pem")
        authority.write_text(platform.prepared.secrets["tls/ca-certificate"], encoding="utf-8")
        session.verify, session.trust_env = str(authority), False
        user = platform.identity("user", platform.settings.users[0].name)
        session.auth = (user.name, user.password)
        number = None
        try:
            number, page = push(repository)
            pages = next(r.url for r in platform.prepared.plan.routes if r.name == ROUTE)
            data = Data(session, f"{pages}/-/data/{project}/{number}")
            state = data.until_final()
            if state is None:
                raise CheckError(
                    f"the pipeline {number} does not end within {TIMEOUT_S} s",
                    f"its page: {page}; are all slots busy?",
                )
            jobs = {
                job["name"]: Finished(job["status"], data.log(job["log"])) for job in state["jobs"]
            }
            expect(jobs, f"the pipeline {number} is {state['status']}: {state['reason']}", page)
            yield Ran(commit, page, jobs)
        finally:
            repository.delete()
            if number is not None:
                _forget(platform, server, project, number)


class Data:
    """What the pages show of a pipeline."""

    def __init__(self, session: requests.Session, url: str) -> None:
        self._session = session
        self._url = url

    def state(self) -> dict[str, Any] | None:
        """Return the pipeline's state once it has ended."""
        answer = self._session.get(f"{self._url}/pipeline.json", timeout=30)
        if answer.status_code == 404:  # the worker has not taken it yet
            return None
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found if found["status"] in FINAL else None

    def until_final(self) -> dict[str, Any] | None:
        """Return the state at the end; None if that takes too long."""
        asking = Retrying(
            retry=retry_if_result(lambda state: state is None),
            stop=stop_after_delay(TIMEOUT_S),
            wait=wait_fixed(LOOK_S),
        )
        try:
            return asking(self.state)
        except RetryError:
            return None

    def log(self, path: str) -> str:
        """Return the log of a job, without the times; empty where it has none."""
        answer = self._session.get(f"{self._url}/{path}", timeout=30)
        return STAMP.sub("", answer.text) if answer.ok else ""


def _forget(platform: Deployed, server: Server, project: str, number: int) -> None:
    """Take a pipeline out of the lists; one that still runs is canceled first."""
    listed = server.command("pipeline", "show", str(number))
    if not FINAL & set(listed.splitlines()[0].split()):
        server.command("pipeline", "cancel", str(number))
    platform.execute(WORKER, "python", "-m", "dap_pipelines", "forget", project, str(number))

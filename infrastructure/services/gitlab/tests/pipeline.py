"""Runs pipelines for `make verify`: pushes a branch of its own as root, and cleans up."""

from __future__ import annotations

import re
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from acceptance import CheckError, Deployed, Finished, Ran, expect
from acceptance.repository import Repository
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

ROOT, AUTHORITY = "root", "ca.pem"
TOKEN, ROUTE = "gitlab/token", "git"
MAINTAINER = 40
# What GitLab's runner puts before a line, and colours.
STAMP = re.compile(r"^\d{4}-\S+Z \d\d[OE][ +]", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
FINAL = {"success", "failed", "canceled", "skipped"}
TIMEOUT_S = 180
# A node of a cluster may have to pull a large image first.
CLUSTERS_TIMEOUT_S = 900
LOOK_S = 0.5


class Api:
    """GitLab's API, as the platform itself uses it."""

    def __init__(self, platform: Deployed, client: requests.Session) -> None:
        """Take a client that trusts the platform's CA."""
        self.url = next(r.url for r in platform.prepared.plan.routes if r.name == ROUTE)
        self.group = platform.settings.name
        self._client = client
        self._headers = {"PRIVATE-TOKEN": platform.prepared.secrets[TOKEN]}

    def ask(self, method: str, path: str, **given: Any) -> requests.Response:
        """Return the answer to a request; raises CheckError where GitLab refuses it."""
        url = f"{self.url}/api/v4{path}"
        answer = self._client.request(method, url, headers=self._headers, timeout=30, **given)
        expect(
            answer.ok,
            f"GitLab answers {method} {path} with {answer.status_code}: {answer.text[:200]}",
            "make logs SERVICE=gitlab; make deploy",
        )
        return answer

    def project(self, name: str) -> str:
        """Return the path of a project in the API."""
        return f"/projects/{quote(f'{self.group}/{name}', safe='')}"


def repository_of(platform: Deployed, api: Api, project: str, place: Path) -> Repository:
    """Return a repository that root pushes to a project; `place` gets what git needs for that."""
    url = urlsplit(api.url)
    authority, login = place / AUTHORITY, place / "login"
    authority.write_text(platform.prepared.secrets["tls/ca-certificate"], encoding="utf-8")
    login.touch(mode=0o600)
    login.write_text(
        f"https://{ROOT}:{platform.prepared.secrets[TOKEN]}@{url.netloc}\n", encoding="utf-8"
    )
    address = socket.getaddrinfo(url.hostname, None)[0][4][0]
    return Repository(
        place,
        f"{api.url}/{api.group}/{project}.git",
        options=[
            f"credential.helper=store --file={login}",
            f"http.sslCAInfo={authority}",
            f"http.curloptResolve={url.hostname}:{url.port or 443}:{address}",
        ],
    )


@contextmanager
def run(platform: Deployed, project: str, files: Mapping[str, str]) -> Iterator[Ran]:
    """Run a pipeline of these files in a project; afterwards nothing of it is left.

    Its branch is protected meanwhile, for pipelines of others get no credentials.
    """
    with tempfile.TemporaryDirectory() as place, requests.Session() as client:
        client.trust_env = False
        api = Api(platform, client)
        repository = repository_of(platform, api, project, Path(place))
        client.verify = str(Path(place, AUTHORITY))
        commit = repository.commit(files)
        timeout_s = CLUSTERS_TIMEOUT_S if platform.clusters else TIMEOUT_S
        of = Pipeline(api, api.project(project), repository.branch, timeout_s)
        of.protect()
        try:
            repository.push()
            yield of.ran(commit)
        finally:
            of.forget()


class Pipeline:
    """The pipeline of a branch."""

    def __init__(self, api: Api, project: str, branch: str, timeout_s: float) -> None:
        """Take the project's path in the API, and how long it may take."""
        self._api, self._project, self._branch = api, project, branch
        self._timeout_s = timeout_s

    def protect(self) -> None:
        """Protect the branch."""
        rule = {"name": self._branch, "push_access_level": MAINTAINER}
        self._api.ask("POST", f"{self._project}/protected_branches", json=rule)

    def ran(self, commit: str) -> Ran:
        """Return the pipeline once it has ended."""
        asking = Retrying(
            retry=retry_if_result(lambda found: found is None),
            stop=stop_after_delay(self._timeout_s),
            wait=wait_fixed(LOOK_S),
        )
        try:
            pipeline = asking(self._ended)
        except RetryError:
            raise CheckError(
                f"no pipeline of {self._branch} ends within {self._timeout_s:.0f} s: "
                f"{self._states()}",
                "make status: does the runner run? make logs SERVICE=gitlab-runner; "
                "are all slots busy?",
            ) from None
        assert pipeline is not None  # the retry's own condition
        page = pipeline["web_url"]
        jobs = self._api.ask("GET", f"{self._project}/pipelines/{pipeline['id']}/jobs").json()
        expect(jobs, f"the pipeline {pipeline['id']} is {pipeline['status']}", page)
        return Ran(commit, page, {job["name"]: self._finished(job) for job in jobs})

    def _states(self) -> str:
        """Return how the jobs are that there are, for a person."""
        jobs = [
            job
            for each in self._all()
            for job in self._api.ask("GET", f"{self._project}/pipelines/{each['id']}/jobs").json()
        ]
        return ", ".join(f"{job['name']} is {job['status']}" for job in jobs) or "it has no job"

    def _finished(self, job: dict[str, Any]) -> Finished:
        text = self._api.ask("GET", f"{self._project}/jobs/{job['id']}/trace").text
        return Finished(job["status"], COLOUR.sub("", STAMP.sub("", text)))

    def _all(self) -> list[dict[str, Any]]:
        answer = self._api.ask("GET", f"{self._project}/pipelines", params={"ref": self._branch})
        found: list[dict[str, Any]] = answer.json()
        return found

    def _ended(self) -> dict[str, Any] | None:
        return next((each for each in self._all() if each["status"] in FINAL), None)

    def forget(self) -> None:
        """Take away the pipeline, the branch and its protection."""
        for each in self._all():
            if each["status"] not in FINAL:
                self._api.ask("POST", f"{self._project}/pipelines/{each['id']}/cancel")
            self._api.ask("DELETE", f"{self._project}/pipelines/{each['id']}")
        branch = quote(self._branch, safe="")
        self._api.ask("DELETE", f"{self._project}/protected_branches/{branch}")
        found = self._api.ask("GET", f"{self._project}/repository/branches")
        if self._branch in (each["name"] for each in found.json()):
            self._api.ask("DELETE", f"{self._project}/repository/branches/{branch}")

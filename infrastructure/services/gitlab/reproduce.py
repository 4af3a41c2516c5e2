"""A job is run again by a pipeline of its own.

GitLab makes pipelines of branches, all jobs of the configuration that lies there. So a branch gets
the commit, and on top of it a configuration with that one job, as the commit's own has it. The job
begins by going back to the commit. The branch is protected as the one is that holds the commit, so
that the job has the credentials that its pipelines have, and an account of the project alone starts
it: a job may do what the one may who started it. Both are gone afterwards.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import requests
import yaml
from dap.errors import DapError
from dap.reproduce.model import Ended, Found, Order, Platform
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

TOKEN, ROUTE = "gitlab/token", "git"
AGENT = "dap-reproduce"
FILE = ".gitlab-ci.yml"
BRANCHES = ("dap.reproduce/", "dap.verify/")
MAIN = "refs/heads/main"
DEVELOPER, MAINTAINER = 30, 40
LIFETIME = timedelta(days=2)
GONE = 404
FINAL = {"success", "failed", "canceled", "skipped"}
# What a configuration says for all its jobs; other keys are jobs.
FOR_ALL = (
    *("default", "stages", "variables", "image", "services", "cache"),
    *("before_script", "after_script"),
)
# What says when a job runs and after which; what it has from others was merged into it.
WHEN = ("rules", "only", "except", "when", "start_in", "allow_failure", "needs", "dependencies")
MERGED = "extends"
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
# What GitLab's runner puts before a line, and colours.
STAMP = re.compile(r"^\d{4}-\S+Z \d\d[OE][ +]", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
TIMEOUT_S = 60
LOOK_S = 1
LOG_LINES = 20
# Jobs have a limit of their own; this is for one that no runner takes.
FOLLOW_S = 86400


def jobs(platform: Platform) -> GitLab:
    """Return what runs jobs again."""
    return GitLab(platform)


class GitLab:
    """GitLab's API, as the platform itself uses it."""

    def __init__(self, platform: Platform) -> None:
        """Take where it is, and the platform's token."""
        self._group = platform.name
        self._url = f"{platform.url(ROUTE)}/api/v4"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(platform.authority)
        token = platform.secret(TOKEN)
        self._session.headers.update({"PRIVATE-TOKEN": token, "User-Agent": AGENT})

    def look(self, project: str, commit: str, image: str) -> Found:
        """Return a branch or tag that holds the commit; where jobs run, nobody looks for images."""
        del image
        asked = {"type": "all", "per_page": "100"}
        path = f"{self.path(project)}/repository/commits/{commit}/refs"
        answer = self.ask("GET", path, gone=True, params=asked)
        kinds = {"branch": "heads", "tag": "tags"}
        refs = [
            f"refs/{kinds[each['type']]}/{each['name']}"
            for each in (answer.json() if answer.ok else [])
            if not each["name"].startswith(BRANCHES)
        ]
        return Found(MAIN if MAIN in refs else next(iter(refs), ""))

    def again(self, order: Order, say: Callable[[str], None]) -> Ended:
        """Run the job to its end.

        Raises:
            DapError: GitLab refuses, the commit has no such job, or that runs in another image.
        """
        configuration = alone(self._configuration(order), order)
        with self._branch(order) as (branch, token):
            project = self.path(order.project)
            content = yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True)
            action = {"action": "update", "file_path": FILE, "content": content}
            commit = {
                "branch": branch,
                "start_sha": order.commit,
                # The pipeline is asked for below, for that of a push has no variables.
                "commit_message": f"{order.message} [skip ci]",
                "actions": [action],
            }
            self.ask("POST", f"{project}/repository/commits", json=commit)
            # The whole history: whatever depth the job asks for, its commit must be in it.
            variables = {**order.variables, "GIT_DEPTH": "0"}
            given = [{"key": key, "value": value} for key, value in variables.items()]
            asked = {"ref": branch, "variables": given}
            login = {"PRIVATE-TOKEN": token}
            pipeline = self.ask("POST", f"{project}/pipeline", json=asked, headers=login).json()
            say(f"pipeline #{pipeline['id']}: {pipeline['web_url']}")
            return self._followed(f"{project}/pipelines/{pipeline['id']}", order, say)

    def path(self, project: str) -> str:
        """Return the path of a project in the API."""
        return f"/projects/{quote(f'{self._group}/{project}', safe='')}"

    def ask(self, method: str, path: str, *, gone: bool = False, **given: Any) -> requests.Response:
        """Return the answer to a request; with `gone` also that there is no such thing.

        Raises:
            DapError: GitLab does not answer, or refuses.
        """
        try:
            answer = self._session.request(method, self._url + path, timeout=TIMEOUT_S, **given)
        except requests.RequestException as error:
            raise DapError(f"GitLab does not answer: {error}", "make status says more") from error
        if not (answer.ok or (gone and answer.status_code == GONE)):
            said = answer.text[:300]
            raise DapError(f"GitLab answers {method} {path} with {answer.status_code}: {said}")
        return answer

    def _configuration(self, order: Order) -> dict[str, Any]:
        """Return the configuration of the commit, with all that it includes and extends."""
        path = f"{self.path(order.project)}/ci/lint"
        found = self.ask("GET", path, params={"content_ref": order.commit}).json()
        try:
            merged = _plain(yaml.safe_load(found.get("merged_yaml") or ""))
        except yaml.YAMLError as error:
            raise DapError(f"{FILE} of {order.commit} can't be read: {error}") from error
        if not found["valid"] or not isinstance(merged, dict):
            errors = "; ".join(found["errors"]) or "there is none"
            what = f"{FILE} of {order.commit} makes no pipeline any more: {errors}"
            raise DapError(what, "what it includes must be there")
        return merged

    @contextmanager
    def _branch(self, order: Order) -> Iterator[tuple[str, str]]:
        """Give the name of a branch, and the token of who may push to it; nothing of it is left."""
        project, branch = self.path(order.project), f"{BRANCHES[0]}{order.run}"
        for pipeline in self._pipelines(project, branch):
            if pipeline["status"] not in FINAL:
                what = f"run {order.run} is being reproduced: {pipeline['web_url']}"
                raise DapError(what, "wait for that pipeline, or cancel it")
        self._forget(project, branch)
        try:
            level = self._protect(project, branch, order.ref)
            account = {
                "name": branch,
                "scopes": ["api"],
                "access_level": level,
                "expires_at": (datetime.now(UTC).date() + LIFETIME).isoformat(),
            }
            made = self.ask("POST", f"{project}/access_tokens", json=account).json()
            yield branch, made["token"]
        finally:
            for pipeline in self._pipelines(project, branch):
                if pipeline["status"] not in FINAL:
                    self.ask("POST", f"{project}/pipelines/{pipeline['id']}/cancel")
            self._forget(project, branch)

    def _protect(self, project: str, branch: str, like: str) -> int:
        """Protect a branch like the one of a ref, if that is; return who may push there."""
        holder = quote(like.removeprefix("refs/heads/"), safe="")
        answer = self.ask("GET", f"{project}/protected_branches/{holder}", gone=True)
        if not answer.ok:
            return DEVELOPER
        levels = [each["access_level"] for each in answer.json()["push_access_levels"]]
        level = DEVELOPER if levels == [DEVELOPER] else MAINTAINER
        rule = {"name": branch, "push_access_level": level, "merge_access_level": level}
        self.ask("POST", f"{project}/protected_branches", json=rule)
        return level

    def _pipelines(self, project: str, branch: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]]
        found = self.ask("GET", f"{project}/pipelines", params={"ref": branch}).json()
        return found

    def _forget(self, project: str, branch: str) -> None:
        asked = {"search": branch, "state": "active"}
        for token in self.ask("GET", f"{project}/access_tokens", params=asked).json():
            if token["name"] == branch:
                self.ask("DELETE", f"{project}/access_tokens/{token['id']}")
        name = quote(branch, safe="")
        self.ask("DELETE", f"{project}/protected_branches/{name}", gone=True)
        self.ask("DELETE", f"{project}/repository/branches/{name}", gone=True)

    def _followed(self, pipeline: str, order: Order, say: Callable[[str], None]) -> Ended:
        """Wait for the end of a pipeline, and say how its job is."""
        told = ""

        def seen() -> dict[str, Any] | None:
            nonlocal told
            found: dict[str, Any] = self.ask("GET", pipeline).json()
            if found["status"] not in {told, *FINAL}:
                told = found["status"]
                say(f"  {order.job}: {told}")
            return found if found["status"] in FINAL else None

        asking = Retrying(
            retry=retry_if_result(lambda found: found is None),
            stop=stop_after_delay(FOLLOW_S),
            wait=wait_fixed(LOOK_S),
        )
        ended = asking(seen)
        assert ended is not None  # noqa: S101  the retry's own condition
        say(f"  {order.job}: {ended['status']}")
        job = next(iter(self.ask("GET", f"{pipeline}/jobs").json()), None)
        reason = ended.get("yaml_errors") or ""
        log = ""
        if job is not None:
            reason = reason or job.get("failure_reason") or ""
            trace = f"{self.path(order.project)}/jobs/{job['id']}/trace"
            log = COLOUR.sub("", STAMP.sub("", self.ask("GET", trace).text))
        lines = log.splitlines()[-LOG_LINES:]
        number, url = ended["id"], ended["web_url"]
        return Ended(number, url, ended["status"], reason, order.image, lines)


def alone(merged: Mapping[str, Any], order: Order) -> dict[str, Any]:
    """Return a configuration of one job, which begins at its commit.

    Args:
        merged: the configuration of the commit, as GitLab has it.
        order: what is to be run.

    Raises:
        DapError: it has no such job, or the job runs in another image.
    """
    known = {*FOR_ALL, "include", "workflow", "spec"}
    names = [name for name in merged if name not in known and not name.startswith(".")]
    if order.job not in names:
        what = f"commit {order.commit} has no job {order.job}"
        raise DapError(what, f"its jobs: {', '.join(names)}; name the right one by JOB=…")
    default = merged.get("default") or {}
    everywhere = {**merged, **default}
    job = {key: v for key, v in merged[order.job].items() if key not in {*WHEN, MERGED}}
    variables = {**(merged.get("variables") or {}), **(job.get("variables") or {})}
    image = _image(job.get("image") or everywhere.get("image"), {**variables, **order.variables})
    if image != order.image:
        wanted = next(key for key, value in order.variables.items() if value == order.image)
        what = f"{order.job} of commit {order.commit} runs in {image}, not in {order.image}"
        raise DapError(what, f"the job must say image: ${wanted}")
    before = job.get("before_script", everywhere.get("before_script", []))
    job["before_script"] = [*_back(order), *([before] if isinstance(before, str) else before)]
    job["needs"] = []
    return {**{key: merged[key] for key in FOR_ALL if key in merged}, order.job: job}


def _back(order: Order) -> list[str]:
    """Lines of a shell that make the clone, and what tells of it, that of the commit."""
    name = order.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
    values = {
        "CI_COMMIT_SHA": order.commit,
        "CI_COMMIT_SHORT_SHA": order.commit[:8],
        "CI_COMMIT_REF_NAME": name,
        "CI_COMMIT_BRANCH": name if order.ref.startswith("refs/heads/") else "",
    }
    exports = " ".join(f"{key}={shlex.quote(value)}" for key, value in values.items())
    # The clone is the runner's, and the job another user's.
    return [
        f"git -c safe.directory='*' checkout --quiet --detach {shlex.quote(order.commit)}",
        f"export {exports}",
    ]


def _image(image: Any, variables: Mapping[str, Any]) -> str:
    name = str(image.get("name", "") if isinstance(image, dict) else image or "")

    def value(found: re.Match[str]) -> str:
        given = variables.get(found[1] or found[2], found[0])
        return str(given.get("value", "") if isinstance(given, dict) else given)

    return VARIABLE.sub(value, name)


def _plain(value: Any) -> Any:
    """Return a document without the colons that GitLab may begin its keys with."""
    if isinstance(value, dict):
        return {str(key).removeprefix(":"): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value

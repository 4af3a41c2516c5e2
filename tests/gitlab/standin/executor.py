"""The Docker executor: runs a job in containers as `[runners.docker]` of config.toml says.

A helper container fetches the commit, as GitLab's own helper image does; then the job's image runs
the script on the same volume, from which artifacts are read. Of a runner's configuration the
executor knows the keys that are in KNOWN: any other is refused.
"""

from __future__ import annotations

import gzip
import io
import shlex
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import LogConfig

from tests.gitlab.standin.ci import expand

KNOWN = {
    *("image", "network_mode", "privileged", "services_privileged", "cap_drop", "cap_add"),
    *("memory", "memory_swap", "oom_score_adjust", "shm_size", "pull_policy"),
    *("allowed_pull_policies", "disable_cache", "container_labels", "helper_image"),
    *("security_opt", "volumes", "gpus", "user", "allowed_images", "extra_hosts"),
}
BUILDS = "/builds"
AUTHORITY = "/etc/gitlab-runner/certs/ca.crt"
# All may write what is fetched: jobs run as the user of their image.
FETCH = """\
set -eu
umask 0000
mkdir -p "$1" "$1.tmp"
cd "$1"
commit=$2
refs=$3
shift 3
git init --quiet
git config http.sslCAInfo "$CA"
git fetch --quiet "$@" "$URL" "$commit" "$refs"
git checkout --quiet --force --detach "$commit"
"""
Job = dict[str, Any]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Handed:
    """An artifact: of which type, in which format (zip, gzip, raw), and its bytes."""

    kind: str
    form: str
    content: bytes


class ExecutorError(Exception):
    """The job can't be run; the message is for its log."""


class Executor:
    """Runs jobs for one runner."""

    def __init__(self, runner: dict[str, Any]) -> None:
        """Take the runner's part of config.toml.

        Raises:
            ExecutorError: it has a key that is not known here.
        """
        self._docker: dict[str, Any] = runner["docker"]
        unknown = self._docker.keys() - KNOWN - {"cache_dir"}
        if unknown:
            raise ExecutorError(f"[runners.docker]: the stand-in knows no {min(unknown)}")
        self._name: str = runner["name"]
        self._before: str = runner.get("pre_build_script", "")
        self._engine = docker.from_env()

    def run(self, job: Job, tell: Tell) -> tuple[bool, list[Handed]]:
        """Run a job; return whether it succeeded, and the artifacts to hand in.

        Raises:
            ExecutorError: it could not be run.
        """
        variables = {each["key"]: each["value"] for each in job["variables"]}
        place = f"{BUILDS}/{variables['CI_PROJECT_PATH']}"
        variables |= {"CI_PROJECT_DIR": place, "CI_SERVER_TLS_CA_FILE": AUTHORITY}
        files = {each["key"] for each in job["variables"] if each["file"]}
        with self._volume(job) as volume:
            self._fetch(job, volume, place, tell)
            image = expand(job["image"]["name"], variables)
            allowed = self._docker.get("allowed_images")
            if allowed and not any(PurePosixPath("/", image).match(f"/{each}") for each in allowed):
                raise ExecutorError(f"{image} is none of the allowed images: {allowed}")
            self._have(image, tell)
            tell(f"Using Docker image {image} ...\n")
            shown = {key: _value(place, key, variables, files) for key in variables}
            script = [_exports(shown), self._before, _script(place, job)]
            container = self._create(job, image, volume, f"{place}.tmp/script", shown)
            try:
                given = {key: variables[key] for key in files}
                given["script"] = "\n".join(script)
                container.put_archive("/", _archive(f"{place}.tmp", given))
                container.start()
                for piece in container.logs(stream=True, follow=True):
                    tell(piece.decode(errors="replace"))
                status = int(container.wait()["StatusCode"])
                artifacts = list(_artifacts(job, container, place, done=status == 0))
            finally:
                container.remove(force=True)
            if status:
                tell(f"ERROR: Job failed: exit code {status}\n")
            return status == 0, artifacts

    @contextmanager
    def _volume(self, job: Job) -> Iterator[str]:
        name = f"runner-{self._name}-{job['id']}"
        self._engine.volumes.create(name, labels=self._docker["container_labels"])
        try:
            yield name
        finally:
            self._engine.volumes.get(name).remove(force=True)

    def _fetch(self, job: Job, volume: str, place: str, tell: Tell) -> None:
        helper = self._docker.get("helper_image")
        if not helper:
            raise ExecutorError("GitLab's own helper image is not to be had: set helper_image")
        git = job["git_info"]
        # 0 is all of the history.
        depth = ["--depth", str(git["depth"])] if git["depth"] else []
        command = ["-ec", FETCH, "sh", place, git["sha"], git["refspecs"][0], *depth]
        container = self._engine.containers.create(
            helper,
            command,
            entrypoint=["sh"],
            environment={"URL": git["repo_url"], "CA": AUTHORITY},
            **self._common(volume),
        )
        try:
            container.start()
            status = int(container.wait()["StatusCode"])
            tell(container.logs().decode(errors="replace"))
        finally:
            container.remove(force=True)
        if status:
            raise ExecutorError(f"the commit {git['sha']} can't be fetched: exit code {status}")

    def _create(
        self, job: Job, image: str, volume: str, script: str, variables: dict[str, str]
    ) -> Container:
        """Make the job's container: with the image's entrypoint, and bash where it is there."""
        found = "if command -v bash >/dev/null; then exec bash $0; fi; exec sh $0"
        return self._engine.containers.create(
            image,
            ["sh", "-c", found, script],
            environment=variables,
            working_dir="/",
            name=f"runner-{self._name}-{job['id']}-build",
            cap_add=self._docker.get("cap_add"),
            mem_limit=self._docker["memory"],
            memswap_limit=self._docker["memory_swap"],
            oom_score_adj=self._docker["oom_score_adjust"],
            shm_size=self._docker["shm_size"],
            security_opt=self._docker.get("security_opt"),
            privileged=self._docker["privileged"],
            user=self._docker.get("user"),
            **self._common(volume),
        )

    def _common(self, volume: str) -> dict[str, Any]:
        volumes = [each for each in self._docker["volumes"] if ":" in each]
        return {
            "network_mode": self._docker["network_mode"],
            "cap_drop": self._docker["cap_drop"],
            "volumes": [f"{volume}:{BUILDS}", *volumes],
            "extra_hosts": dict(e.split(":", 1) for e in self._docker.get("extra_hosts", [])),
            "labels": {**self._docker["container_labels"], "com.gitlab.gitlab-runner.managed": "1"},
            "log_config": LogConfig(type="json-file"),
        }

    def _have(self, image: str, tell: Tell) -> None:
        """Have an image by the pull policy; log in as DOCKER_CONFIG says."""
        if self._docker["pull_policy"] == ["if-not-present"]:
            try:
                self._engine.images.get(image)
            except ImageNotFound:
                tell(f"Pulling docker image {image} ...\n")
            else:
                return
        try:
            self._engine.images.pull(image)
        except (APIError, NotFound) as error:
            raise ExecutorError(f"{image} can't be pulled: {error}") from error


def _artifacts(job: Job, container: Container, place: str, *, done: bool) -> Iterator[Handed]:
    """Yield what a job's container leaves that GitLab asked for; what is not there is left out."""
    for artifact in job["artifacts"]:
        if artifact["when"] not in ("always", "on_success" if done else "on_failure"):
            continue
        files: dict[str, bytes] = {}
        for path in artifact["paths"]:
            files |= _read(container, place, path)
        if not files:
            continue
        form = artifact["artifact_format"]
        if form == "zip":
            target = io.BytesIO()
            with zipfile.ZipFile(target, "w") as archive:
                for name, content in files.items():
                    archive.writestr(name, content)
            whole = target.getvalue()
        else:
            whole = b"".join(files.values())
            whole = gzip.compress(whole) if form == "gzip" else whole
        yield Handed(artifact["artifact_type"], form, whole)


def _read(container: Container, place: str, path: str) -> dict[str, bytes]:
    """Return the files of a path in the project's folder."""
    try:
        stream, _ = container.get_archive(f"{place}/{path}")
    except NotFound:
        return {}
    above = path.rstrip("/").rpartition("/")[0]
    found = {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        for entry in archive:
            file = archive.extractfile(entry)
            if file is not None:
                found[f"{above}/{entry.name}".lstrip("/")] = file.read()
    return found


def _value(place: str, name: str, variables: Mapping[str, str], files: set[str]) -> str:
    return f"{place}.tmp/{name}" if name in files else variables[name]


def _exports(variables: Mapping[str, str]) -> str:
    """Return lines that set all variables once more, as the runner's script does in each step."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def _script(place: str, job: Job) -> str:
    lines = ["set -eu", f"cd {shlex.quote(place)}"]
    for step in job["steps"]:
        if step["when"] == "on_success":
            for line in step["script"]:
                lines += [f"echo {shlex.quote('$ ' + line)}", line]
    return "\n".join([*lines, ""])


def _archive(folder: str, files: Mapping[str, str]) -> bytes:
    """Return a tar of files below a folder, which all may read, as those of the runner are."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}".lstrip("/"))
            raw = text.encode()
            entry.size, entry.mode = len(raw), 0o666
            archive.addfile(entry, io.BytesIO(raw))
    return target.getvalue()

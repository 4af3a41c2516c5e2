"""Where a run comes from, as its tags say."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dap.errors import DapError
from dap.reproduce.model import Run

REPRODUCES = "dap.reproduces"
_NEEDED = ("commit", "image", "job", "data_version", "pipeline_id")
_IMAGE = re.compile(
    r"(?P<registry>[^/]+)/(?P<name>environments/(?P<env>[a-z0-9-]+))@(?P<digest>\S+)"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40,64}")


class UnreproducibleError(DapError):
    """The run can't be made again; `problems` are all reasons with what can be done, in pairs."""

    def __init__(self, run: str, problems: list[tuple[str, str]]) -> None:
        lines = [f"run {run} can't be reproduced:"]
        for what, remedy in problems:
            lines += [f"  {what}", *([f"    → {remedy}"] if remedy else [])]
        super().__init__("\n".join(lines))
        self.problems = problems


@dataclass(frozen=True)
class Origin:
    """What made a run.

    Attributes:
        commit: object name of the commit.
        image: reference of the environment's image, by digest.
        registry: its registry.
        repository: its name there.
        digest: its digest.
        environment: name of the environment.
        job: name of the job.
        data_version: version of the data.
        data: where that is, as table:NAME or s3://BUCKET/PREFIX; empty: not said.
        pipeline_id: number of the pipeline.
    """

    commit: str
    image: str
    registry: str
    repository: str
    digest: str
    environment: str
    job: str
    data_version: str
    data: str
    pipeline_id: str


def origin(run: Run, job: str = "") -> Origin:
    """Read the tags of a run; `job` stands in for a tag that it lacks.

    Raises:
        UnreproducibleError: it was not made by a pipeline, has not ended well, or is deleted.
    """
    tags = {**({"job": job} if job else {}), **run.tags}
    problems = []
    if run.deleted:
        problems.append(("the run is deleted", "restore it in MLflow, which keeps it for a while"))
    if run.status != "FINISHED":
        problems.append((f"the run is {run.status}: its metrics are not whole", ""))
    missing = [tag for tag in _NEEDED if not tags.get(tag)]
    if missing == ["job"]:
        problems.append(("it lacks the tag job", "name the job that made it: JOB='name train'"))
    elif missing:
        problems.append(
            (
                f"it was not made by a pipeline, or does not say so: it lacks the tags "
                f"{', '.join(missing)}",
                "commit and push its code; the example's tracking.py sets the tags",
            )
        )
    else:
        problems += _malformed(tags)
    if problems:
        raise UnreproducibleError(run.id, problems)
    image = _IMAGE.fullmatch(tags["image"])
    if image is None:
        raise AssertionError(tags["image"])
    return Origin(
        commit=tags["commit"],
        image=tags["image"],
        registry=image["registry"],
        repository=image["name"],
        digest=image["digest"],
        environment=image["env"],
        job=tags["job"],
        data_version=tags["data_version"],
        data=tags.get("data", ""),
        pipeline_id=tags["pipeline_id"],
    )


def _malformed(tags: dict[str, str]) -> list[tuple[str, str]]:
    problems = []
    image = _IMAGE.fullmatch(tags["image"])
    if image is None or not _DIGEST.fullmatch(image["digest"]):
        what = f"its image is no environment's by digest: {tags['image']}"
        problems.append((what, "only REGISTRY/environments/NAME@sha256:… stays what it is"))
    if not _COMMIT.fullmatch(tags["commit"]):
        problems.append((f"its tag commit is no commit: {tags['commit']}", ""))
    return problems

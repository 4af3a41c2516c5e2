"""The pipeline that `make verify` runs: what its jobs do, and what came of them.

Whoever runs pipelines ships `tests/pipeline.py` with
`run(platform, project, files) -> ContextManager[Ran]`: pushes the files as a commit of their own,
waits for the pipeline's end, and afterwards takes away all of it. What a job does with a service is
`tests/job.py` of its folder: a program that says `# environment: NAME` and whose last line of
output is a JSON object.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from acceptance.compute import Compute
from acceptance.findings import CheckError, expect
from acceptance.place import Place
from acceptance.platform import Deployed

PROVIDER = "pipeline.py"
PROGRAM = "job.py"
NAMES_PROGRAM = Path(__file__).parent / "names.sh"
ENVIRONMENT = re.compile(r"^# environment: ([a-z0-9-]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Finished:
    """How a job ended: its status, and its log without times."""

    status: str
    log: str


@dataclass(frozen=True)
class Ran:
    """A pipeline that has ended: the commit (40 hex), its page, its jobs by name."""

    commit: str
    url: str
    jobs: Mapping[str, Finished]

    def output(self, name: str) -> dict[str, Any]:
        """Return what the job `name` said last.

        Raises:
            CheckError: it failed, or said nothing.
        """
        job = self.jobs.get(name, Finished("not there", ""))
        last = " / ".join(job.log.strip().splitlines()[-3:])[-300:]
        expect(
            job.status == "success",
            f"the job {name} is {job.status}: {last}",
            f"what it did is in {name}'s tests/{PROGRAM}; run the check again with ONLY={name}",
        )
        said = [line for line in job.log.splitlines() if line.startswith("{")]
        expect(said, f"the job {name} has ended without a word", f"see tests/{PROGRAM} of {name}")
        found: dict[str, Any] = json.loads(said[-1])
        return found


class Provider(Protocol):
    """The module of the folder that runs pipelines."""

    def run(
        self, platform: Deployed, project: str, files: Mapping[str, str]
    ) -> AbstractContextManager[Ran]:
        """Run a pipeline of these files, path → text, in a project."""


@dataclass(frozen=True)
class Job:
    """A job of the pipeline; `words` are the arguments of its program, `tags` ask for a host."""

    name: str
    environment: str
    text: str
    words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def folders(platform: Deployed) -> dict[str, Path]:
    """Return the folders of the plan that have tests: name → where the tests are."""
    services = platform.prepared.root / "infrastructure" / "services"
    places = {name: services / name / "tests" for name in platform.prepared.plan.folders}
    return {name: place for name, place in places.items() if place.is_dir()}


def provider(platform: Deployed) -> Provider | None:
    """Return what runs pipelines, None where nothing does."""
    for place in folders(platform).values():
        file = place / PROVIDER
        if file.is_file():
            spec = importlib.util.spec_from_file_location("acceptance_pipeline", file)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return cast(Provider, module)
    return None


def job(platform: Deployed, folder: str) -> Job:
    """Return what a job does with a folder's service.

    Raises:
        CheckError: it names no environment of this platform.
    """
    text = (folders(platform)[folder] / PROGRAM).read_text(encoding="utf-8")
    named = ENVIRONMENT.search(text)
    known = platform.prepared.plan.catalogue.environments
    if named is None or named[1] not in known:
        raise CheckError(
            f"{folder}/tests/{PROGRAM} names no environment of this platform",
            f"give it a line '# environment: NAME' with one of {', '.join(known)}",
        )
    return Job(folder, named[1], text)


def names_jobs(platform: Deployed) -> list[Job]:
    """Return the jobs that look up names, on each host and cluster that runs jobs and is reached.

    They run in the first of the environments.
    """
    environment = next(iter(platform.prepared.plan.catalogue.environments))
    text = NAMES_PROGRAM.read_text(encoding="utf-8")
    several = len(platform.hosts) > 1
    return [
        *(
            Job(names_job(host), environment, text, host.names, (host.name,) if several else ())
            for host in platform.hosts
            if host.runs_jobs and host.is_reached
        ),
        *(
            Job(names_job(compute), environment, text, compute.names, (compute.name,))
            for compute in platform.clusters
            if compute.is_well
        ),
    ]


def names_job(place: Place | Compute) -> str:
    """Return the name of the job that looks up names there."""
    return f"names-{place.name}"


@contextmanager
def run_jobs(platform: Deployed, runner: Provider, jobs: Iterable[Job]) -> Iterator[Ran]:
    """Run the jobs as a pipeline of the first project."""
    jobs = list(jobs)
    described = {
        job.name: {
            "image": f"$DAP_ENVIRONMENT_{job.environment.upper().replace('-', '_')}",
            "script": [" ".join((f"./{job.name}", *job.words))],
            **({"tags": list(job.tags)} if job.tags else {}),
        }
        for job in jobs
    }
    # JSON is YAML.
    files = {".gitlab-ci.yml": json.dumps(described), **{job.name: job.text for job in jobs}}
    with runner.run(platform, platform.settings.projects[0].name, files) as ran:
        yield ran

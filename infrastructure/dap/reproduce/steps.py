"""The steps from a run's id to the comparison of its metrics with those of a new run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from dap.errors import DapError
from dap.plan import Plan
from dap.render import Renderer
from dap.render.client import Identity
from dap.reproduce.compare import Metric, compare
from dap.reproduce.folders import folders
from dap.reproduce.images import Registry
from dap.reproduce.model import Account, Ended, Found, Jobs, Order, Platform, Run, Runs
from dap.reproduce.origin import REPRODUCES, Origin, UnreproducibleError, origin
from dap.reproduce.service import ServiceJobs, service
from dap.secrets import Vault


@dataclass(frozen=True)
class Reproduction:
    """What came of it.

    Attributes:
        origin: what made the run.
        run: the run.
        again: the new run.
        pipeline: number of the pipeline that made it.
        metrics: the metrics of both.
        tolerance: relative difference that counts as equal.
    """

    origin: Origin
    run: Run
    again: Run
    pipeline: int
    metrics: tuple[Metric, ...]
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether there are metrics, and all agree."""
        return bool(self.metrics) and all(metric.agrees for metric in self.metrics)


@dataclass(frozen=True)
class Asked:
    """What is to be reproduced: a run's id; its job, where it lacks the tag; the tolerance."""

    run: str
    job: str
    tolerance: float


def reproduce(
    root: Path, plan: Plan, vault: Vault, asked: Asked, say: Callable[[str], None]
) -> Reproduction:
    """Run a run's job again and compare the metrics.

    Args:
        root: the project's folder.
        plan: what the platform runs.
        vault: its secrets.
        asked: what is to be reproduced.
        say: shows a line.

    Raises:
        UnreproducibleError: something that it needs is gone; nothing was changed.
        DapError: a service does not answer, or the job failed.
    """
    renderer, registry = Renderer(plan, vault), Registry(plan, vault)
    modules = folders(root, plan)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        account, runs, run = _found(modules, renderer, place, asked.run)
        made_by = origin(run, asked.job)
        platform = _platform(plan, vault, place)
        jobs = _jobs(root, plan, modules, platform, registry.login(made_by))
        found = jobs.look(account.name, made_by.commit, made_by.image)
        _check(modules, account, run, made_by, (found, registry))
        say(
            f"run {run.id}: commit {made_by.commit[:12]}, image {made_by.digest[:19]}, "
            f"data {made_by.data_version}, job {made_by.job}"
        )
        order = Order(
            run.id,
            account.name,
            made_by.commit,
            found.ref,
            made_by.job,
            made_by.image,
            _variables(modules, run, made_by),
        )
        ended = jobs.again(order, say)
        _ran(ended, made_by.image, made_by.environment)
        again = made_again(runs, run, made_by, ended)
        if again.tags.get(REPRODUCES) != run.id:
            runs.tag(again.id, REPRODUCES, run.id)
        metrics = compare(_histories(runs, run), _histories(runs, again), asked.tolerance)
        return Reproduction(made_by, run, again, ended.number, metrics, asked.tolerance)


def _variables(modules: list[ModuleType], run: Run, made_by: Origin) -> dict[str, str]:
    variables = {
        "DAP_REPRODUCES": run.id,
        "DATA_VERSION": made_by.data_version,
        image_variable(made_by.environment): made_by.image,
    }
    for module in modules:
        if hasattr(module, "variables"):
            variables |= module.variables(run.id)
    return variables


def image_variable(environment: str) -> str:
    """Return the name of the variable by which jobs name an environment's image."""
    return "DAP_ENVIRONMENT_" + environment.upper().replace("-", "_")


def _found(
    modules: list[ModuleType], renderer: Renderer, place: Path, wanted: str
) -> tuple[Account, Runs, Run]:
    """The project that sees the run, the runs as it sees them, and the run."""
    for identity in renderer.identities:
        if identity.kind != "project":
            continue
        account = _account(renderer, identity, place / identity.name)
        for module in modules:
            if hasattr(module, "runs"):
                runs: Runs = module.runs(account)
                run = runs.find(wanted)
                if run is not None:
                    return account, runs, run
    what = "there is no such run that a project can see"
    remedy = "its id is on its page; a run that was deleted for good can't be made again"
    raise UnreproducibleError(wanted, [(what, remedy)])


def _account(renderer: Renderer, identity: Identity, folder: Path) -> Account:
    client = renderer.client(identity)
    folder.mkdir(mode=0o700)
    files = {}
    for name, text in client.files.items():
        files[name] = folder / name
        files[name].touch(mode=0o600)
        files[name].write_text(text, encoding="utf-8")
    return Account(identity.name, identity.password, client.environment, files)


def _check(
    modules: list[ModuleType],
    account: Account,
    run: Run,
    made_by: Origin,
    places: tuple[Found, Registry],
) -> None:
    """Look for all that the job needs.

    Raises:
        UnreproducibleError: some of it is gone.
    """
    problems = []
    found, registry = places
    if not found.ref:
        what = f"commit: {made_by.commit} is in no branch or tag of the repository {account.name}"
        problems.append((what, "push it again from a clone that has it, to a branch of its own"))
    if not found.image and not registry.has(made_by):
        where = "not in the registry"
        if found.image is not None:
            where = "neither in the registry nor on the runner"
        what = f"image: {made_by.image} is {where}"
        remedy = "push it from where it still is; another build has another digest"
        problems.append((what, remedy))
    if made_by.data and _has(modules, account, made_by.data) is False:
        what = f"data: {made_by.data}, version {made_by.data_version}, is not there"
        remedy = "load it again from its source, or restore it from a backup"
        problems.append((what, remedy))
    if problems:
        raise UnreproducibleError(run.id, problems)


def _has(modules: list[ModuleType], account: Account, data: str) -> bool | None:
    for module in modules:
        if hasattr(module, "has"):
            found: bool | None = module.has(account, data)
            if found is not None:
                return found
    return None


def _jobs(
    root: Path, plan: Plan, modules: list[ModuleType], platform: Platform, login: dict[str, str]
) -> Jobs:
    """What runs jobs again: a service, or a folder's module.

    Raises:
        DapError: there is neither.
    """
    place = service(plan)
    if place is not None:
        return ServiceJobs(root, plan, place, login)
    for module in modules:
        if hasattr(module, "jobs"):
            jobs: Jobs = module.jobs(platform)
            return jobs
    raise DapError("no service of this platform can run a job again")


def _platform(plan: Plan, vault: Vault, place: Path) -> Platform:
    urls = {route.name: route.url for route in plan.routes}
    authority = place / "authority.pem"
    authority.write_text(vault.get("tls/ca-certificate"), encoding="utf-8")
    return Platform(plan.settings.name, authority, urls.__getitem__, vault.get)


def _ran(ended: Ended, image: str, environment: str) -> None:
    """Raise DapError where the job failed, or ran in another image."""
    if ended.status != "success":
        log = "\n".join(f"  {line}" for line in ended.log)
        reason = f"{ended.status}: {ended.reason}" if ended.reason else ended.status
        raise DapError(f"pipeline #{ended.number}: {reason}\n{log}", ended.url)
    if ended.image != image:
        what = f"pipeline #{ended.number} ran in {ended.image}, not in {image}"
        raise DapError(what, f"the job must say image: ${image_variable(environment)}")


def made_again(runs: Runs, run: Run, made_by: Origin, pipeline: Ended) -> Run:
    """Return the run of a pipeline that stands where the old one stood: the n-th of its job.

    Raises:
        DapError: it made less.
    """

    def of_job(number: str, url: str) -> list[Run]:
        # Another forge counted its pipelines from one, too.
        return [
            each
            for each in runs.tagged(run.experiment, "pipeline_id", number)
            if each.tags.get("job", made_by.job) == made_by.job
            and each.tags.get("pipeline_url", url) == url
        ]

    url = run.tags.get("pipeline_url", "")
    place = [each.id for each in of_job(made_by.pipeline_id, url)].index(run.id)
    made = of_job(str(pipeline.number), pipeline.url)
    if place >= len(made):
        what = f"pipeline #{pipeline.number} made {len(made)} runs in the experiment"
        raise DapError(f"{what}; the run was number {place + 1} of its job's")
    return made[place]


def _histories(runs: Runs, run: Run) -> dict[str, Any]:
    return {metric: runs.history(run.id, metric) for metric in run.metrics}

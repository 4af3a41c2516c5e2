"""The steps from a run's id to the comparison of its metrics with those of a new run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import requests

from dap.catalogue.compose import ComposeService
from dap.errors import DapError
from dap.plan import HostPlan, Plan, Route
from dap.reach import ask, listen
from dap.render import Renderer
from dap.render.client import Identity
from dap.reproduce.compare import Metric, compare
from dap.reproduce.folders import folders
from dap.reproduce.model import Account, Run, Runs
from dap.reproduce.origin import REPRODUCES, Origin, UnreproducibleError, origin
from dap.secrets import Vault

LOOK_S = 60
REGISTRY_S = 30
_MODULE = "reproduce"
_GONE = 404


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
    renderer = Renderer(plan, vault)
    modules = folders(root, plan)
    with tempfile.TemporaryDirectory() as place:
        account, runs, run = _found(modules, renderer, Path(place), asked.run)
        made_by = origin(run, asked.job)
        forge = _Forge(root, plan, vault)
        _check(modules, account, forge, run, made_by)
        say(
            f"run {run.id}: commit {made_by.commit[:12]}, image {made_by.digest[:19]}, "
            f"data {made_by.data_version}, job {made_by.job}"
        )
        variables = {
            "DAP_REPRODUCES": run.id,
            "DATA_VERSION": made_by.data_version,
            image_variable(made_by.environment): made_by.image,
        }
        for module in modules:
            if hasattr(module, "variables"):
                variables |= module.variables(run.id)
        ended = forge.run(account.name, run, made_by, variables, say)
        again = _again(runs, run, made_by, str(ended["number"]))
        if again.tags.get(REPRODUCES) != run.id:
            runs.tag(again.id, REPRODUCES, run.id)
        metrics = compare(_histories(runs, run), _histories(runs, again), asked.tolerance)
        return Reproduction(made_by, run, again, ended["number"], metrics, asked.tolerance)


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
    modules: list[ModuleType], account: Account, forge: _Forge, run: Run, made_by: Origin
) -> None:
    """Look for all that the job needs.

    Raises:
        UnreproducibleError: some of it is gone.
    """
    problems = []
    found = forge.look(account.name, made_by)
    if not found["ref"]:
        what = f"commit: {made_by.commit} is in no branch or tag of the repository {account.name}"
        problems.append((what, "push it again from a clone that has it, to a branch of its own"))
    if not found["image"] and not forge.has_image(made_by):
        what = f"image: {made_by.image} is neither in the registry nor on the runner"
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


class _Forge:
    """What runs jobs: a service with `x-dap.reproduce`, on its host."""

    def __init__(self, root: Path, plan: Plan, vault: Vault) -> None:
        self._root = root
        self._plan = plan
        self._vault = vault
        self._host, self._service = self._find()
        self._ref = ""

    def _find(self) -> tuple[HostPlan, ComposeService]:
        for host in self._plan.hosts:
            for folder in host.folders:
                for service in folder.services:
                    if service.options.reproduce:
                        return host, service
        raise DapError("no service of this platform can run a job again")

    def look(self, project: str, made_by: Origin) -> dict[str, Any]:
        """Tell `ref`, a branch or tag that holds the commit, and if the `image` is on the host."""
        asked = {"project": project, "commit": made_by.commit}
        found: dict[str, Any] = ask(
            self._root,
            self._host.host,
            _MODULE,
            self._arguments("look", made_by, asked),
            timeout_s=LOOK_S,
        )
        self._ref = str(found["ref"])
        return found

    def has_image(self, made_by: Origin) -> bool:
        """Tell if the platform's registry has the image."""
        route = self._registry
        if route is None or route.registry is None or not self._ours(made_by):
            return False
        url = f"{route.url}/v2/{made_by.repository}/manifests/{made_by.digest}"
        login = (route.registry.username, self._vault.get(route.registry.secret))
        with tempfile.NamedTemporaryFile() as authority, requests.Session() as session:
            authority.write(self._vault.get("tls/ca-certificate").encode())
            authority.flush()
            session.trust_env = False
            session.verify, session.auth = authority.name, login
            accepted = {"Accept": "application/vnd.oci.image.manifest.v1+json, */*"}
            try:
                answer = session.head(url, headers=accepted, timeout=REGISTRY_S)
            except requests.RequestException as error:
                raise DapError(f"the registry does not answer: {error}") from error
        if answer.status_code not in (200, _GONE):
            raise DapError(f"the registry answered {answer.status_code} for {made_by.image}")
        return answer.status_code != _GONE

    def run(
        self,
        project: str,
        run: Run,
        made_by: Origin,
        variables: Mapping[str, str],
        say: Callable[[str], None],
    ) -> dict[str, Any]:
        """Run the job and show how it goes; return how it ended.

        Raises:
            DapError: it failed, or ran in another image.
        """
        asked = {
            "project": project,
            "commit": made_by.commit,
            "ref": self._ref,
            "job": made_by.job,
            "variables": dict(variables),
            "message": f"Reproduces run {run.id}",
        }
        ended: dict[str, Any] = {}
        for line in self._lines(self._arguments("run", made_by, asked)):
            if line.startswith("{"):
                ended = json.loads(line)
            else:
                say(line)
        if not ended:
            raise DapError("the job could not be run; what is told above says why")
        if ended["status"] != "success":
            log = "\n".join(f"  {line}" for line in ended["log"])
            reason = f"{ended['status']}: {ended['reason']}" if ended["reason"] else ended["status"]
            raise DapError(f"pipeline #{ended['number']}: {reason}\n{log}", ended["url"])
        if ended["image"] != made_by.image:
            what = f"pipeline #{ended['number']} ran in {ended['image']}, not in {made_by.image}"
            raise DapError(what, f"the job must say image: ${image_variable(made_by.environment)}")
        return ended

    def _lines(self, arguments: Mapping[str, Any]) -> Iterator[str]:
        with _ending(listen(self._root, self._host.host, _MODULE, arguments)) as output:
            for line in output:
                yield line.rstrip("\n")

    def _arguments(self, verb: str, made_by: Origin, asked: Mapping[str, Any]) -> dict[str, Any]:
        arguments = {
            "project": self._plan.settings.name,
            "service": self._service.name,
            "command": list(self._service.options.reproduce),
            "verb": verb,
            "asked": dict(asked),
            "image": made_by.image,
        }
        route = self._registry
        if route is not None and route.registry is not None and self._ours(made_by):
            login = {"registry": made_by.registry, "username": route.registry.username}
            arguments["login"] = {**login, "password": self._vault.get(route.registry.secret)}
        return arguments

    @property
    def _registry(self) -> Route | None:
        return next((route for route in self._plan.routes if route.registry is not None), None)

    def _ours(self, made_by: Origin) -> bool:
        return self._registry is not None and self._registry.url == f"https://{made_by.registry}"


@contextmanager
def _ending(process: Any) -> Iterator[Any]:
    """What a process prints; it is ended with us."""
    try:
        yield process.stdout
    finally:
        process.stdin.close()
        process.stdout.close()
        process.terminate()
        process.wait()


def _again(runs: Runs, run: Run, made_by: Origin, pipeline: str) -> Run:
    """The run of a pipeline that stands where the old one stood: the n-th that its job made."""

    def of_job(number: str) -> list[Run]:
        found = runs.tagged(run.experiment, "pipeline_id", number)
        return [each for each in found if each.tags.get("job", made_by.job) == made_by.job]

    place = [each.id for each in of_job(made_by.pipeline_id)].index(run.id)
    made = of_job(pipeline)
    if place >= len(made):
        what = f"pipeline #{pipeline} made {len(made)} runs in the experiment"
        raise DapError(f"{what}; the run was number {place + 1} of its job's")
    return made[place]


def _histories(runs: Runs, run: Run) -> dict[str, Any]:
    return {metric: runs.history(run.id, metric) for metric in run.metrics}

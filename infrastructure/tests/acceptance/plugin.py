"""Fixtures of the acceptance tests, in whichever folder they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from dap.plan import Route, Stream

from acceptance.compute import Compute
from acceptance.jobs import Ran, folders, names_jobs, provider, run_jobs
from acceptance.jobs import job as job_of
from acceptance.leaks import Leaks
from acceptance.place import Place
from acceptance.platform import Deployed
from acceptance.workspaces import workspaces

PLATFORM = pytest.StashKey[Deployed]()
ENVIRONMENT_TESTS = "verify"
"""Folder below `tests/` of an environment: what is asked of its workspaces."""
SEVERAL = "several"
"""Mark of what is asked of platforms of several hosts alone."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for a host, service, route, stream or workspace each of the plan's."""
    platform = metafunc.config.stash[PLATFORM]
    plan = platform.prepared.plan
    several = len(platform.hosts) > 1

    def named(host: str, name: str) -> str:
        return f"{host}: {name}" if several else name

    if "host" in metafunc.fixturenames:
        name = [host.name if several else pytest.HIDDEN_PARAM for host in platform.hosts]
        metafunc.parametrize("host", platform.hosts, ids=name)
    if "member" in metafunc.fixturenames:
        members = [host for host in platform.hosts if not host.view.service]
        metafunc.parametrize("member", members, ids=[host.name for host in members])
    if "compute" in metafunc.fixturenames:
        names = [compute.name for compute in platform.clusters]
        metafunc.parametrize("compute", platform.clusters, ids=names)
    if "service" in metafunc.fixturenames:
        services = platform.services
        _each(metafunc, "service", [(named(s.host, s.name), s.name, s) for s in services])
    if "route" in metafunc.fixturenames:
        _each(metafunc, "route", [(one.hostname, one.service, one) for one in plan.routes])
    if "stream" in metafunc.fixturenames:
        _each(metafunc, "stream", [(one.name, one.service, one) for one in plan.streams])
    if "workspace" in metafunc.fixturenames:
        found = workspaces(platform)
        place = metafunc.definition.path.parent
        if place.name == ENVIRONMENT_TESTS:
            environment = place.parents[1].name
            found = [one for one in found if environment in one.environments]
        _each(metafunc, "workspace", [(named(w.host.name, w.name), w.name, w) for w in found])


def _each(metafunc: pytest.Metafunc, name: str, found: Sequence[tuple[str, str, object]]) -> None:
    """Give a test each of `found` (its id, its service, itself); skip what is to be stopped."""
    resting = metafunc.config.stash[PLATFORM].resting
    metafunc.parametrize(
        name,
        [
            pytest.param(
                one,
                id=identifier,
                marks=pytest.mark.skipif(
                    service in resting,
                    reason=f"is stopped as was wanted; make workspace NAME={service} start",
                ),
            )
            for identifier, service, one in found
        ],
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what is asked of places of the other kind."""
    on_cluster = config.stash[PLATFORM].settings.cluster is not None
    return True if collection_path.name == ("on_hosts" if on_cluster else "on_cluster") else None


def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """Leave out what is asked of several hosts where there is one, and of clusters beside them.

    Put last what needs the pipeline, which runs meanwhile.
    """
    platform = config.stash[PLATFORM]
    if len(platform.hosts) == 1:
        items[:] = [item for item in items if item.get_closest_marker(SEVERAL) is None]
    if not platform.clusters:
        items[:] = [item for item in items if "compute" not in _fixtures(item)]
    items.sort(key=lambda item: "pipeline" in _fixtures(item))


@pytest.fixture(scope="session")
def platform(request: pytest.FixtureRequest) -> Deployed:
    """The running platform."""
    return request.config.stash[PLATFORM]


@pytest.fixture(autouse=True)
def _reached(request: pytest.FixtureRequest, platform: Deployed) -> None:
    """Go on if the hosts can be asked that a test is about."""
    callspec = getattr(request.node, "callspec", None)
    for subject in callspec.params.values() if callspec else ():
        if isinstance(subject, Compute):
            continue
        if isinstance(subject, Route | Stream):
            platform.service_host.reached()
        host = subject if isinstance(subject, Place) else subject.host
        (host if isinstance(host, Place) else platform.host(host)).reached()


@pytest.fixture(scope="session")
def leaks(platform: Deployed) -> Leaks:
    """Finds the platform's secrets in text."""
    return Leaks(platform.hidden)


@pytest.fixture(scope="session")
def authority(platform: Deployed, tmp_path_factory: pytest.TempPathFactory) -> str:
    """File with the platform's CA, and no other."""
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    file.write_text(platform.prepared.secrets["tls/ca-certificate"], encoding="utf-8")
    return str(file)


@pytest.fixture
def web(platform: Deployed, authority: str) -> Iterator[requests.Session]:
    """A client that trusts the platform's CA alone and is nobody."""
    platform.service_host.reached()
    with requests.Session() as session:
        session.verify = authority
        session.trust_env = False
        yield session


@pytest.fixture
def reader(platform: Deployed, web: requests.Session) -> requests.Session:
    """A client that is the first user: to look at pages, never to change something."""
    user = platform.identity("user", platform.settings.users[0].name)
    web.auth = (user.name, user.password)
    return web


@pytest.fixture(scope="session", autouse=True)
def _ahead(request: pytest.FixtureRequest, platform: Deployed) -> Iterator[Future[Ran] | str]:
    """The session's pipeline, under way while other checks run; or why there is none.

    It has a job for each folder whose tests ask what it did.
    """
    items = request.session.items
    runner = provider(platform)
    if runner is None:
        yield "no service here runs pipelines"
    elif not (any(host.runs_jobs for host in platform.hosts) or platform.prepared.plan.clusters):
        yield "no pipelines run here: slots is 0"
    elif not platform.settings.projects:
        yield "there is no project that a pipeline could run for"
    elif not any("pipeline" in _fixtures(item) for item in items):
        yield "nothing asks for it"
    else:
        asking = {_folder(item) for item in items if "job" in _fixtures(item)}
        with ThreadPoolExecutor(1) as thread, ExitStack() as stack:

            def start() -> Ran:
                platform.service_host.reached()
                platform.runs_jobs()
                jobs = [*names_jobs(platform), *(job_of(platform, name) for name in sorted(asking))]
                return stack.enter_context(run_jobs(platform, runner, jobs))

            future = thread.submit(start)
            yield future
            wait([future])


@pytest.fixture(scope="session")
def pipeline(_ahead: Future[Ran] | str) -> Ran:
    """The pipeline of this session, which has ended."""
    if isinstance(_ahead, str):
        pytest.skip(_ahead)
    return _ahead.result()


@pytest.fixture
def job(request: pytest.FixtureRequest, pipeline: Ran) -> dict[str, Any]:
    """What `job.py` beside this test said at its end, in the pipeline of this session."""
    return pipeline.output(_folder(request.node))


def _fixtures(item: pytest.Item) -> list[str]:
    return list(getattr(item, "fixturenames", []))


def _folder(item: pytest.Item) -> str:
    return item.path.parents[1].name


def places(platform: Deployed) -> list[Path]:
    """Return all folders whose tests concern this platform."""
    root = platform.prepared.root
    chains = (one.environments for one in workspaces(platform))
    environments = dict.fromkeys(name for chain in chains for name in chain)
    found = [
        root / "infrastructure" / "tests",
        *folders(platform).values(),
        *(root / "environments" / name / "tests" / ENVIRONMENT_TESTS for name in environments),
    ]
    return [place for place in found if place.is_dir()]

"""The running platform as the tests see it: what the plan says, and what Docker says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from dap.engine import prepare
from dap.engine.observe import Platform
from dap.plan import Route, Service

_PREPARED = prepare(Path(os.environ["DAP_PROJECT"]))


def long_running() -> list[Service]:
    """Return the services that are always up."""
    return [service for service in _PREPARED.plan.services if not service.task]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for a service or a route each of the plan's."""
    if "service" in metafunc.fixturenames:
        services = long_running()
        metafunc.parametrize("service", services, ids=[service.name for service in services])
    if "route" in metafunc.fixturenames:
        routes = _PREPARED.plan.routes
        metafunc.parametrize("route", routes, ids=[route.hostname for route in routes])


@pytest.fixture(scope="session")
def platform() -> Platform:
    return Platform(_PREPARED)


@pytest.fixture
def container(platform: Platform, service: Service) -> dict[str, Any]:
    """What `docker inspect` says about a service."""
    assert service.name in platform.containers, f"{service.name} has no container"
    return platform.containers[service.name]


@pytest.fixture(scope="session")
def web(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[requests.Session]:
    """A client that trusts the platform's CA alone and is nobody."""
    authority = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.write_text(platform.prepared.secrets["tls/ca-certificate"], encoding="utf-8")
    with requests.Session() as session:
        session.verify = str(authority)
        session.trust_env = False
        yield session


@pytest.fixture
def anonymous(web: requests.Session, route: Route) -> requests.Response:
    """What a route answers to somebody without a login."""
    return web.get(f"{route.url}{route.refuses}", timeout=30, allow_redirects=False)


_results: list[dict[str, str]] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --dap-json."""
    parser.addoption("--dap-json", action="store_true", help="print the results as JSON")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the result of each test."""
    if report.when == "call" or report.outcome != "passed":
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = crash.message if crash else ""
        _results.append({"test": report.nodeid, "outcome": report.outcome, "reason": reason})


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Print the results for a script."""
    if session.config.getoption("--dap-json"):
        print(json.dumps({"ok": exitstatus == 0, "tests": _results}, indent=2))

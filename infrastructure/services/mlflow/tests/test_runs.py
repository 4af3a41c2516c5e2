"""A job's run reaches MLflow, its artifact the object store, and its row the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from acceptance import Deployed, Ran, expect

SERVICE, ADMIN, PASSWORD = "mlflow", "dap.service", "mlflow/admin-password"
LOGS = "make logs SERVICE=mlflow; the job's log is on the page of its pipeline"


class Server:
    """MLflow's interface, as its administrator; `client` trusts the platform's CA."""

    def __init__(self, platform: Deployed, client: requests.Session) -> None:
        routes = platform.prepared.plan.routes
        self._url = next(route.url for route in routes if route.service == SERVICE)
        self._client = client
        client.auth = (ADMIN, platform.prepared.secrets[PASSWORD])

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Return the answer to a request about a run or its artifacts."""
        url = f"{self._url}/api/2.0/{path}"
        answer = self._client.request(method, url, timeout=30, **options)
        expect(answer.ok, f"{path} answers {answer.status_code}: {answer.text[:200]}", LOGS)
        return answer


@pytest.fixture
def server(platform: Deployed, web: requests.Session) -> Server:
    return Server(platform, web)


@pytest.fixture
def artifacts(platform: Deployed, server: Server, job: dict[str, Any]) -> Iterator[str]:
    """Where the artifacts of the job's run are; run and artifacts are deleted at the end."""
    place = f"mlflow-artifacts/artifacts/{job['experiment']}/{job['run']}/artifacts"
    yield place
    server.ask("DELETE", place)
    # Beside the server, memory could run out.
    program = (Path(__file__).parent / "forget.py").read_text(encoding="utf-8")
    platform.host_of(SERVICE).aside(SERVICE, "python", "-c", program, str(job["run"]))


def test_the_run_of_the_job(
    platform: Deployed, server: Server, pipeline: Ran, job: dict[str, Any], artifacts: str
) -> None:
    run = server.ask("GET", "mlflow/runs/get", params={"run_id": job["run"]}).json()["run"]
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    status = run["info"]["status"]
    expect(status == "FINISHED", f"the run is {status}", LOGS)
    expect(tags.get("commit") == pipeline.commit, "the run does not name its commit", LOGS)
    text = server.ask("GET", f"{artifacts}/proof").text
    expect(text == pipeline.commit, "the artifact is not what the job wrote", LOGS)
    count = rows(platform, str(job["run"]))
    expect(count == 1, f"the database has {count} rows of the run", LOGS)


def rows(platform: Deployed, run: str) -> int:
    """Return how many rows MLflow's database has of a run."""
    expect(run.isalnum(), f"the run is called {run}", LOGS)
    folder = platform.prepared.plan.folders[SERVICE]
    database = next(r for r in folder.options.resources if r.kind == "database")
    query = f"select count(*) from runs where run_uuid = '{run}'"
    command = ("psql", "-h", "/tmp", "-U", "postgres", "-XAtqd", database.name, "-c", query)
    return int(platform.execute(database.from_, *command))

"""MLflow's calls: through the proxy, straight to the server, and to a bare server."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import requests

from demo.access import SYSTEM_CA, await_result
from tests.bench.bench import Bench
from tests.bench.figure import Baseline, Figure
from tests.bench.running import Running, bridge_address, container
from tests.bench.timing import interleave, rate
from tests.bench.ways import ways

CALLS = 10  # in a round
METRICS = 100  # in a call of log-batch
RUNS = 50  # that a search gives
RUN_METRICS, RUN_PARAMS = 10, 5  # of each of them
AT_LEAST = 0.9
START_S = 60
BARE_PORT = 5000
BARE = "bare `mlflow server`"


@dataclass
class Client:
    """A client of one MLflow server, with its connection kept open as MLflow's own does.

    Attributes:
        url: address of the server.
        session: carries the connection and the login.
    """

    url: str
    session: requests.Session
    experiment: str = ""
    run: str = ""
    step: int = 0

    def call(self, what: str, **body: Any) -> Any:
        """Call MLflow's REST API.

        Raises:
            requests.HTTPError: the server refused.
        """
        answer = self.session.post(f"{self.url}/api/2.0/mlflow/{what}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def create_run(self) -> str:
        """Create a run; its id."""
        now = int(time.time() * 1000)
        made = self.call("runs/create", experiment_id=self.experiment, start_time=now)
        return str(made["run"]["info"]["run_id"])

    def log_batch(self) -> None:
        """Log a step of many metrics."""
        self.step += 1
        self.call("runs/log-batch", run_id=self.run, metrics=metrics(METRICS, self.step))

    def search(self) -> None:
        """Search for the runs that were there first."""
        found = self.call(
            "runs/search",
            experiment_ids=[self.experiment],
            max_results=RUNS,
            order_by=["attributes.start_time ASC"],
        )
        if len(found["runs"]) != RUNS:
            raise RuntimeError(f"a search gave {len(found['runs'])} runs, not {RUNS}")

    def prepare(self, name: str) -> None:
        """Make an experiment with the runs that are searched for."""
        self.experiment = str(self.call("experiments/create", name=name)["experiment_id"])
        for _ in range(RUNS):
            self.run = self.create_run()
            params = [{"key": f"param-{n}", "value": str(n)} for n in range(RUN_PARAMS)]
            self.call(
                "runs/log-batch", run_id=self.run, metrics=metrics(RUN_METRICS, 0), params=params
            )


def metrics(count: int, step: int) -> list[dict[str, Any]]:
    """Give metrics of a step as log-batch takes them."""
    now = int(time.time() * 1000)
    return [
        {"key": f"metric-{n}", "value": n / count, "timestamp": now, "step": step}
        for n in range(count)
    ]


@contextlib.contextmanager
def bare_server(platform: Running) -> Iterator[Client]:
    """Run the image's MLflow with nothing around it: one worker, SQLite, no login, no TLS."""
    command = ["mlflow", "server", "--host", "0.0.0.0", "--workers", "1"]
    command += ["--backend-store-uri", "sqlite:////var/lib/mlflow/mlflow.db"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    image = platform.image("mlflow")
    with (
        container(
            platform.engine,
            image,
            command=command,
            environment=quiet,
            working_dir="/var/lib/mlflow",
            mem_limit="1g",
        ) as server,
        requests.Session() as session,
    ):
        server.start()
        client = Client(f"http://{bridge_address(server)}:{BARE_PORT}", session)

        def well() -> bool | None:
            try:
                return session.get(f"{client.url}/health", timeout=5).ok or None
            except requests.ConnectionError:
                return None

        await_result("the bare MLflow server", well, START_S)
        yield client


@contextlib.contextmanager
def clients(platform: Running) -> Iterator[dict[str, Client]]:
    """Clients of the platform's server by either way, and of a bare one; each with its runs."""
    name = f"bench-{int(time.time())}"
    login = (platform.access.user, platform.access.password)
    with (
        ways(platform, "mlflow") as way,
        requests.Session() as proxy,
        requests.Session() as direct,
        bare_server(platform) as bare,
    ):
        proxy.auth = direct.auth = login
        proxy.verify = str(SYSTEM_CA)
        proxy.trust_env = direct.trust_env = bare.session.trust_env = False
        found = {"proxy": Client(way.proxy, proxy), "direct": Client(way.direct, direct)}
        found["proxy"].prepare(name)
        bare.prepare(name)
        found["direct"].experiment = found["proxy"].experiment
        found["direct"].run = found["proxy"].create_run()
        try:
            yield {**found, "bare": bare}
        finally:
            found["proxy"].call("experiments/delete", experiment_id=found["proxy"].experiment)


def measure(bench: Bench) -> None:
    """Count the calls a second by each way, one client at a time."""
    calls: dict[str, tuple[str, Callable[[Client], object]]] = {
        "create-run": ("create-run", Client.create_run),
        "log-batch": (f"log-batch of {METRICS} metrics", Client.log_batch),
        "search": (f"search that finds {RUNS} runs", Client.search),
    }
    with clients(bench.platform) as found:
        for what, call in calls.values():
            ways_ = {
                name: functools.partial(rate, functools.partial(call, client), CALLS)
                for name, client in found.items()
            }
            for way in ways_.values():
                way()
            values = interleave(bench.rounds, ways_)
            bench.add(
                Figure(
                    *(what, "calls/s", values["proxy"]),
                    "through the proxy, TLS and password; direct: the same less proxy and TLS",
                    baseline=Baseline("direct", values["direct"], AT_LEAST),
                ),
                Figure(
                    *(what, "calls/s", values["proxy"]),
                    "bare: the same packages, one worker, SQLite, no login, no TLS",
                    baseline=Baseline(BARE, values["bare"]),
                ),
            )

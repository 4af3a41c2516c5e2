"""The running platform as its first user reaches it: over HTTPS, with a name and a password."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

T = TypeVar("T")

# The deploy makes this host trust the platform's CA.
SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")


def await_result(
    what: str, ask: Callable[[], T | None], timeout_s: float, every_s: float = 0.5
) -> T:
    """Ask until there is an answer.

    Args:
        what: what is awaited, for the message.
        ask: gives the answer, or nothing yet.
        timeout_s: how long to ask, in seconds.
        every_s: time between two questions, in seconds.

    Raises:
        TimeoutError: no answer in time.
    """
    asking = Retrying(
        retry=retry_if_result(lambda answer: answer is None),
        stop=stop_after_delay(timeout_s),
        wait=wait_fixed(every_s),
    )
    try:
        answer = asking(ask)
    except RetryError as error:
        raise TimeoutError(f"{what}: not within {timeout_s:.0f} s") from error
    assert answer is not None  # noqa: S101  the retry's own condition
    return answer


@dataclass(frozen=True)
class Access:
    """Requests as one user.

    Attributes:
        domain: domain of the platform.
        user: name of the user; empty for nobody.
        password: password of the user.
        session: keeps connections open between requests; without one, each has its own.
        ca: file of certificates that are trusted.
    """

    domain: str
    user: str = ""
    password: str = ""
    session: requests.Session | None = None
    ca: Path = SYSTEM_CA

    def url(self, host: str, path: str = "/") -> str:
        """Address of a path at one of the platform's names ('' is the domain itself)."""
        return f"https://{host}.{self.domain}{path}" if host else f"https://{self.domain}{path}"

    def request(self, method: str, host: str, path: str = "/", **options: Any) -> requests.Response:
        """Send a request; redirects are not followed and the status is the caller's to judge."""
        return (self.session or requests).request(
            method,
            self.url(host, path),
            auth=(self.user, self.password) if self.user else None,
            verify=str(self.ca),
            timeout=30,
            allow_redirects=False,
            **options,
        )

    def mlflow(self, call: str, **body: Any) -> Any:
        """Call MLflow's REST API: a body makes it a POST, none a GET.

        Raises:
            requests.HTTPError: the server refused.
        """
        path = f"/api/2.0/mlflow/{call}"
        answer = (
            self.request("POST", "mlflow", path, json=body)
            if body
            else self.request("GET", "mlflow", path)
        )
        answer.raise_for_status()
        return answer.json()

    def pipeline(self, project: str, number: int, file: str = "pipeline.json") -> requests.Response:
        """Request a file of a pipeline: its state, or a log or artifact that the state names."""
        return self._pipelines(f"{project}/{number}/{file}")

    def _pipelines(self, file: str) -> requests.Response:
        return self.request("GET", "git", f"/-/data/{file}")

    def queue(self) -> dict[str, Any]:
        """Fetch what runs on which host, and what waits."""
        answer = self._pipelines("queue.json")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def run(self, identifier: str) -> dict[str, Any]:
        """Fetch an MLflow run by its id."""
        found: dict[str, Any] = self.mlflow(f"runs/get?run_id={identifier}")["run"]
        return found

    def run_of_commit(self, experiment: str, commit: str) -> dict[str, Any] | None:
        """Find the newest MLflow run that carries a commit as its tag; nothing if there is none."""
        found = self.mlflow(f"experiments/get-by-name?experiment_name={experiment}")
        runs = self.mlflow(
            "runs/search",
            experiment_ids=[found["experiment"]["experiment_id"]],
            filter=f"tags.commit = '{commit}'",
            max_results=1,
        )
        return next(iter(runs.get("runs", [])), None)


class Clock:
    """Prints what happens with the seconds since its start."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def say(self, text: str) -> None:
        """Print a line with the time."""
        print(f"[{self.seconds:5.0f} s] {text}", flush=True)

"""Runs as `dap reproduce` needs them, over MLflow's REST interface as the project."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import requests
from dap.errors import DapError
from dap.reproduce.model import Account, History, Run
from dap.reproduce.origin import REPRODUCES

TIMEOUT_S = 60
PAGE = 25000


class Runs:
    """The runs that a project may see."""

    def __init__(self, account: Account) -> None:
        self._address = account.environment["MLFLOW_TRACKING_URI"]
        self._session = requests.Session()
        self._session.auth = (account.name, account.password)
        self._session.verify = str(account.files["DAP_CA_CERTIFICATE"])
        self._session.trust_env = False

    def find(self, run: str) -> Run | None:
        """Return a run; None if there is none of this id that the project may see."""
        answer = self._ask("GET", "runs/get", params={"run_id": run})
        if answer.status_code in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
            return None
        return self._run(_checked(answer)["run"])

    def tagged(self, experiment: str, tag: str, value: str) -> Sequence[Run]:
        """Return the runs of an experiment that bear a tag, the oldest first."""
        asked = {
            "experiment_ids": [experiment],
            "filter": f"tags.`{tag}` = '{value}'",
            "order_by": ["attributes.start_time ASC"],
            "max_results": 1000,
        }
        found = _checked(self._ask("POST", "runs/search", json=asked))
        return [self._run(each) for each in found.get("runs", [])]

    def history(self, run: str, metric: str) -> History:
        """Return all values of a metric, by step and time."""
        asked = {"run_id": run, "metric_key": metric, "max_results": str(PAGE)}
        values: list[dict[str, Any]] = []
        while True:
            found = _checked(self._ask("GET", "metrics/get-history", params=asked))
            values += found.get("metrics", [])
            if not found.get("next_page_token"):
                break
            asked["page_token"] = found["next_page_token"]
        values.sort(key=lambda value: (int(value.get("step", 0)), int(value["timestamp"])))
        return [(int(value.get("step", 0)), float(value["value"])) for value in values]

    def tag(self, run: str, tag: str, value: str) -> None:
        """Give a run a tag."""
        asked = {"run_id": run, "key": tag, "value": value}
        _checked(self._ask("POST", "runs/set-tag", json=asked))

    def _ask(self, method: str, call: str, **content: Any) -> requests.Response:
        url = f"{self._address}/api/2.0/mlflow/{call}"
        try:
            return self._session.request(method, url, timeout=TIMEOUT_S, **content)
        except requests.RequestException as error:
            raise DapError(f"MLflow does not answer: {error}", "make status says more") from error

    def _run(self, data: dict[str, Any]) -> Run:
        info, content = data["info"], data["data"]
        page = f"{self._address}/#/experiments/{info['experiment_id']}/runs/{info['run_id']}"
        return Run(
            id=info["run_id"],
            experiment=info["experiment_id"],
            name=info.get("run_name", ""),
            status=info["status"],
            deleted=info["lifecycle_stage"] == "deleted",
            started=int(info["start_time"]),
            url=page,
            tags={tag["key"]: tag["value"] for tag in content.get("tags", [])},
            metrics=tuple(metric["key"] for metric in content.get("metrics", [])),
        )


def _checked(answer: requests.Response) -> dict[str, Any]:
    if not answer.ok:
        raise DapError(f"MLflow answered {answer.status_code}: {answer.text[:300]}")
    data: dict[str, Any] = answer.json()
    return data


def runs(account: Account) -> Runs:
    """Return the runs that the project sees."""
    return Runs(account)


def variables(run: str) -> Mapping[str, str]:
    """Return what marks a new run as a reproduction, and keeps the registry as it is.

    Models are registered in a folder of the job's own container, which is gone with it.
    """
    return {
        "MLFLOW_RUN_CONTEXT": json.dumps({REPRODUCES: run}),
        "MLFLOW_REGISTRY_URI": "file:///tmp/registry",
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }

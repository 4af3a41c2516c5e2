"""The stand-in: strict about what it does not know, and with the API that runners use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests

from tests.gitlab.standin.runners import add_job
from tests.gitlab.standin.serve import Server, Standin
from tests.gitlab.standin.state import State

TOKEN = "root-token"
TIMEOUT_S = 10


class Client:
    """Asks the stand-in as root, or as a runner."""

    def __init__(self, base: str, state: State) -> None:
        self.base = base
        self.state = state

    def __call__(self, method: str, path: str, **given: Any) -> requests.Response:
        headers = {"PRIVATE-TOKEN": TOKEN, **given.pop("headers", {})}
        url = f"{self.base}/api/v4{path}"
        return requests.request(method, url, headers=headers, timeout=TIMEOUT_S, **given)

    def runner(self, **given: Any) -> str:
        """Make a runner; its token."""
        made = self("POST", "/user/runners", json={"runner_type": "instance_type", **given})
        assert made.status_code == 201, made.text
        return str(made.json()["token"])


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    state = State.load(tmp_path / "state.json", TOKEN)
    server = Server(("127.0.0.1", 0), Standin(state, tmp_path / "state.json"))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield Client(f"http://127.0.0.1:{server.server_address[1]}", state)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("method", "path", "given", "status", "says"),
    [
        ("GET", "/users?hmuans=true", {}, 400, "hmuans is unknown"),
        ("POST", "/user/runners", {"runner_type": "shared"}, 400, "runner_type does not have"),
        ("POST", "/user/runners", {}, 400, "runner_type is missing"),
        ("POST", "/user/runners", {"runner_type": "instance_type", "tags": []}, 400, "tags is un"),
        ("PUT", "/application/settings", {"signup_enabled": "no"}, 400, "signup_enabled does not"),
        ("POST", "/users", {"name": "a", "username": "a"}, 400, "email is missing"),
        (
            "POST",
            "/users",
            {"name": "a", "username": "admin", "email": "a@b.c", "password": "long-enough"},
            400,
            "reserved name",
        ),
        ("GET", "/nothing", {}, 404, "404"),
        ("PATCH", "/users", {}, 405, "405"),
    ],
)
def test_what_gitlab_does_not_know_is_refused(
    client: Client, method: str, path: str, given: dict[str, Any], status: int, says: str
) -> None:
    answer = client(method, path, json=given)
    assert (answer.status_code, says in answer.text) == (status, True), answer.text


@pytest.mark.parametrize(
    "headers", [{"PRIVATE-TOKEN": "wrong"}, {"PRIVATE-TOKEN": ""}, {"PRIVATE-TOKEN": "old"}]
)
def test_strangers_are_refused(client: Client, headers: dict[str, str]) -> None:
    client.state.tokens["old"] = {"id": 1, "revoked": False, "expires_at": "2020-01-01"}
    assert client("GET", "/users", headers=headers).status_code == 401


def test_lists_come_in_pages(client: Client) -> None:
    for number in range(5):
        client.runner(description=str(number))
    seen, url = [], f"{client.base}/api/v4/runners/all?per_page=2&type=instance_type"
    while url:
        answer = requests.get(url, headers={"PRIVATE-TOKEN": TOKEN}, timeout=TIMEOUT_S)
        seen += [each["description"] for each in answer.json()]
        url = answer.links.get("next", {}).get("url", "")
    assert seen == list("01234")


@pytest.mark.parametrize(
    ("value", "status"), [("long-enough", 201), ("short", 400), ("has a blank in it", 400)]
)
def test_what_can_not_be_hidden_is_refused(client: Client, value: str, status: int) -> None:
    given = {"key": "KEY", "value": value, "masked": True}
    assert client("POST", "/admin/ci/variables", json=given).status_code == status


def test_a_runner_takes_a_job_and_hands_it_back(client: Client) -> None:
    token = client.runner()
    ask = {"token": token, "info": {"executor": "docker"}, "last_update": ""}
    assert client("POST", "/runners/verify", json={"token": token}).json()["token"] == token
    assert client("POST", "/jobs/request", json=ask).status_code == 204
    add_job(client.state.jobs, 7, script=["make"])
    taken = client("POST", "/jobs/request", json=ask)
    assert (taken.status_code, taken.json()["id"]) == (201, 7)
    assert client("POST", "/jobs/request", json=ask).status_code == 204

    job = {"JOB-TOKEN": taken.json()["token"]}
    for start, text, status in ((0, "one\n", 202), (4, "two\n", 202), (4, "two\n", 416)):
        span = {"Content-Range": f"{start}-{start + len(text) - 1}"}
        answer = client("PATCH", "/jobs/7/trace", data=text, headers={**job, **span})
        assert answer.status_code == status
    assert client.state.jobs["7"]["trace"] == "one\ntwo\n"

    sent = client("POST", "/jobs/7/artifacts", files={"file": b"\x00zip"}, headers=job)
    assert sent.status_code == 201
    assert client("GET", "/jobs/7/artifacts", headers=job).content == b"\x00zip"
    query = "?artifact_format=raw&artifact_type=terraform"
    report = {"file": b'{"create": 1}'}
    assert client("POST", f"/jobs/7/artifacts{query}", files=report, headers=job).ok
    assert client.state.jobs["7"]["reports"] == {"terraform": '{"create": 1}'}
    done = {"token": job["JOB-TOKEN"], "state": "success", "exit_code": 0}
    assert client("PUT", "/jobs/7", json=done).status_code == 200
    assert client.state.jobs["7"]["status"] == "success"


@pytest.mark.parametrize(
    ("runner", "job", "gets"),
    [
        ({"tag_list": ["a", "b"]}, {"tags": ["a"]}, True),
        ({"tag_list": ["b"]}, {"tags": ["a"]}, False),
        ({"tag_list": ["a"], "run_untagged": False}, {}, False),
        ({"access_level": "ref_protected"}, {"protected": False}, False),
        ({"paused": True}, {}, False),
        ({"runner_type": "project_type", "project_id": 1}, {"project": 1}, True),
        ({"runner_type": "project_type", "project_id": 2}, {"project": 1}, False),
    ],
)
def test_who_gets_which_job(
    client: Client, runner: dict[str, Any], job: dict[str, Any], gets: bool
) -> None:
    token = client.runner(**runner)
    add_job(client.state.jobs, 7, **job)
    answer = client("POST", "/jobs/request", json={"token": token})
    assert answer.status_code == (201 if gets else 204)


def test_a_job_is_for_its_runner_alone(client: Client) -> None:
    add_job(client.state.jobs, 7)
    assert client("POST", "/jobs/request", json={"token": "glrt-wrong"}).status_code == 403
    client("POST", "/jobs/request", json={"token": client.runner()})
    wrong = {"JOB-TOKEN": "wrong", "Content-Range": "0-0"}
    assert client("PATCH", "/jobs/7/trace", data="x", headers=wrong).status_code == 403
    done = {"token": "wrong", "state": "success"}
    assert client("PUT", "/jobs/7", json=done).status_code == 403

"""The stand-in's git over HTTP: who may do what."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from demo.project import run
from tests.gitlab.standin.repositories import Repositories
from tests.gitlab.standin.runners import add_job
from tests.gitlab.standin.serve import Server, Standin
from tests.gitlab.standin.state import State
from tests.unit.gitlab.test_standin import TOKEN, Client

ADA = {"name": "Ada", "username": "ada", "email": "ada@example.org", "password": "long-enough"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    state = State.load(tmp_path / "state.json", TOKEN)
    # Hooks ask the container's API, which is not there: what they say is shown by tests/gitlab.
    repositories = Repositories(tmp_path / "repositories", Path("/bin/true"))
    standin = Standin(state, tmp_path / "state.json", repositories=repositories)
    server = Server(("127.0.0.1", 0), standin)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    made = Client(f"http://127.0.0.1:{server.server_address[1]}", state)
    group = made("POST", "/groups", json={"name": "dap", "path": "dap"}).json()["id"]
    project = {"name": "analysis", "path": "analysis", "namespace_id": group}
    assert made("POST", "/projects", json=project).ok
    assert made("POST", "/users", json={**ADA, "skip_confirmation": True}).ok
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def pushed(client: Client, place: Path, name: str, password: str) -> str:
    """Push a commit over HTTP; what git says to a refusal, or nothing."""
    place.mkdir(exist_ok=True)
    login = place / ".git-credentials"
    login.write_text(f"{client.base.replace('//', f'//{name}:{password}@')}\n")
    quiet = {"HOME": str(place), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
    remote = f"{client.base}/dap/analysis.git"
    options = ["-c", f"credential.helper=store --file={login}"]
    options += ["-c", "user.name=T", "-c", "user.email=t@localhost"]
    try:
        run("git", "init", "--quiet", "--initial-branch=main", cwd=place, env=quiet)
        command = ("git", *options, "commit", "--quiet", "--allow-empty", "--message", "One")
        run(*command, cwd=place, env=quiet)
        run("git", *options, "push", "--quiet", remote, "HEAD:main", cwd=place, env=quiet)
    except subprocess.CalledProcessError as error:
        return str(error.stderr)
    return ""


def ada(client: Client) -> str:
    return next(n for n, row in client.state.users.items() if row["username"] == "ada")


def member(client: Client, level: int) -> None:
    number = ada(client)
    given = {"user_id": int(number), "access_level": level}
    answer = client("POST", "/projects/dap%2Fanalysis/members", json=given)
    assert answer.status_code == 201


def test_members_push_by_their_level(client: Client, tmp_path: Path) -> None:
    place = tmp_path / "clone"
    assert "not found" in pushed(client, place, "ada", "long-enough")
    member(client, 20)
    assert "403" in pushed(client, place, "ada", "long-enough")
    client("PUT", f"/projects/dap%2Fanalysis/members/{ada(client)}", json={"access_level": 30})
    assert not pushed(client, place, "ada", "long-enough")
    assert "Authentication failed" in pushed(client, place, "ada", "wrong")


def test_root_pushes_with_a_token_and_who_is_blocked_does_not(
    client: Client, tmp_path: Path
) -> None:
    assert not pushed(client, tmp_path / "one", "any", TOKEN)
    member(client, 40)
    client("POST", f"/users/{ada(client)}/block")
    assert "not found" in pushed(client, tmp_path / "two", "ada", "long-enough")


@pytest.mark.parametrize(
    ("allowed", "level", "pushes"), [(False, 40, False), (True, 30, True), (True, 20, False)]
)
def test_a_job_pushes_as_who_started_it_where_the_project_lets_it(
    client: Client, tmp_path: Path, allowed: bool, level: int, pushes: bool
) -> None:
    member(client, level)
    given = {"ci_push_repository_for_job_token_allowed": allowed}
    project = client("PUT", "/projects/dap%2Fanalysis", json=given).json()["id"]
    running = {"status": "running", "token": "glcbt-1", "user": f"user-{ada(client)}"}
    add_job(client.state.jobs, 7, project=project, **running)
    said = pushed(client, tmp_path / "clone", "gitlab-ci-token", "glcbt-1")
    assert (said == "") == pushes, said

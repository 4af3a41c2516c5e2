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

SHELL = "of-the-container"
ADA = {"name": "Ada", "username": "ada", "email": "ada@example.org", "password": "long-enough"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    state = State.load(tmp_path / "state.json", TOKEN)
    # Hooks ask the container's API, which is not there: what they say is shown by tests/gitlab.
    repositories = Repositories(tmp_path / "repositories", Path("/bin/true"))
    standin = Standin(state, tmp_path / "state.json", repositories=repositories, shell_secret=SHELL)
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
    ("allowed", "level", "says"),
    [(True, 40, ""), (True, 20, "403"), (False, 40, "403")],
)
def test_a_job_pushes_as_who_started_it_where_the_project_lets_jobs_push(
    client: Client, tmp_path: Path, allowed: bool, level: int, says: str
) -> None:
    member(client, level)
    project = next(iter(client.state.projects.values()))
    setting = {"ci_push_repository_for_job_token_allowed": allowed}
    assert client("PUT", f"/projects/{project['id']}", json=setting).ok
    add_job(client.state.jobs, 7, user=ada(client), project=project["id"])
    ask = {"token": client.runner()}
    token = client("POST", "/jobs/request", json=ask).json()["token"]
    said = pushed(client, tmp_path / "clone", "gitlab-ci-token", token)
    assert says in said
    assert bool(said) == bool(says)
    client.state.jobs["7"]["status"] = "success"
    assert "not found" in pushed(client, tmp_path / "later", "gitlab-ci-token", token)


@pytest.fixture
def main(client: Client, tmp_path: Path) -> str:
    """The commit that the project has on main, of which a pipeline would have one job."""
    place = tmp_path / "main"
    place.mkdir()
    text = "look: {script: x, image: y, rules: [{if: $CI_PIPELINE_SCHEDULE_DESCRIPTION}]}\n"
    (place / ".gitlab-ci.yml").write_text(text)
    run("git", "init", "--quiet", cwd=place)
    run("git", "add", ".", cwd=place)
    assert not pushed(client, place, "any", TOKEN)
    row = next(iter(client.state.projects.values()))
    row |= {"empty_repo": False, "default_branch": "main"}
    return run("git", "rev-parse", "HEAD", cwd=place).strip()


def test_a_schedule_starts_a_pipeline_of_its_branch(client: Client, main: str) -> None:
    path = "/projects/dap%2Fanalysis/pipeline_schedules"
    nightly = {"description": "nightly", "ref": "refs/heads/main", "cron": "0 5 * * *"}
    number = client("POST", path, json=nightly).json()["id"]
    assert client("POST", f"{path}/{number}/play").status_code == 201
    (pipeline,) = client("GET", "/projects/dap%2Fanalysis/pipelines").json()
    assert (pipeline["source"], pipeline["ref"], pipeline["sha"]) == ("schedule", "main", main)
    ask = {"token": client.runner()}
    job = client("POST", "/jobs/request", json=ask).json()
    given = {each["key"]: each["value"] for each in job["variables"]}
    assert given["CI_PIPELINE_SCHEDULE_DESCRIPTION"] == "nightly"
    assert given["GITLAB_USER_LOGIN"] == "root"
    assert given["CI_REPOSITORY_URL"] == job["git_info"]["repo_url"]
    assert given["CI_JOB_TOKEN"] == job["token"]
    assert given["CI_JOB_TOKEN"] in given["CI_REPOSITORY_URL"]


def test_a_merge_request_is_merged_once_main_has_its_commits(client: Client, main: str) -> None:
    """As the hooks of the container tell of pushes."""
    secret = {"Gitlab-Shell-Secret": SHELL}
    none = 40 * "0"

    def tell(*changes: str, options: tuple[str, ...] = ()) -> list[str]:
        told = {"who": "user-1", "project": "dap/analysis", "changes": changes}
        body = {**told, "options": options}
        answer = client("POST", "/internal/post_receive", json=body, headers=secret)
        assert answer.ok, answer.text
        return list(answer.json()["messages"])

    said = tell(f"{none} {main} refs/heads/topic", options=("merge_request.create",))
    assert "View merge request for topic:" in said
    path = "/projects/dap%2Fanalysis/merge_requests"
    (found,) = client("GET", path).json()
    assert (found["target_branch"], found["state"], found["sha"]) == ("main", "opened", main)
    assert client("GET", f"{path}/1").json()["head_pipeline"] is None
    tell(f"{none} {main} refs/heads/other")
    assert client("GET", f"{path}/1").json()["state"] == "opened"
    tell(f"{none} {main} refs/heads/main")
    assert client("GET", f"{path}/1").json()["state"] == "merged"

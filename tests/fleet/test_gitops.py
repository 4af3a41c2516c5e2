"""A platform that its own repository deploys: what is pushed there comes to the host over SSH.

GitLab and its runner are stand-ins (tests/gitlab); jobs, the deploys in them and the host are real.
The tests go on from each other.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from demo.access import Clock, await_result
from tests import engine
from tests.fleet.gitops import MAINTAINER, SPACE, Own, agent, label_of
from tests.gitlab.conftest import Clone

KEEP = os.environ.get("DAP_KEEP") == "1"
NEW = "lin"  # who is made by a merge
KEYS = {"DAP_VAULT_KEY", "DAP_SSH_KEY"}
HAND = "# changed by hand"


@pytest.fixture(scope="module")
def own(pytestconfig: pytest.Config) -> Iterator[Own]:
    """The platform after `make deploy` from the operator's machine; its repository is empty.

    Removed with its host at the end; with DAP_KEEP=1 it stays for a look at it.
    """
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    made, clock = Own(), Clock()
    fleet = made.platform.fleet
    with engine.in_use(), ExitStack() as undo:
        if not KEEP:
            undo.callback(made.platform.project.forget_key)
            undo.callback(fleet.down)
        with capture.global_and_fixture_disabled():
            print()
            clock.say("gitops: a project, the stand-ins' images")
            made.scaffold()
            clock.say("gitops: a fresh host with images")
            fleet.up()
            made.platform.seed(list(made.standins.values()))
            clock.say("gitops: make deploy")
            undo.enter_context(agent(fleet.key))
            said = made.platform.deploy()
            clock.say(f"gitops: {said.get('changed')} changes")
        assert said["status"] == 0, said
        yield made


@pytest.fixture(scope="module")
def first(own: Own) -> dict[str, Any]:
    """The pipeline of the first push to main, after the operator did what doc/gitops.md says."""
    key = own.key("deploys")
    public = key.with_suffix(".pub").read_text().strip()
    own.hub.execute("sh", "-c", f"echo '{public}' >>/root/.ssh/authorized_keys")
    for name, value in (("DAP_VAULT_KEY", own.vault_key), ("DAP_SSH_KEY", key.read_text())):
        file = {"key": name, "value": value, "variable_type": "file", "protected": True}
        own.ask("POST", "/variables", json=file)
    assert "infrastructure/known_hosts" in own.project.git("status", "--porcelain", "-uall")
    commit = own.project.commit("The host's key")
    own.project.push()
    return own.pipeline(sha=commit)


def test_the_first_push_is_deployed(own: Own, first: dict[str, Any]) -> None:
    """By the runner for that alone; the deploy finds the branch that the schedule is for."""
    job = first["jobs"]["platform apply"]
    assert job["status"] == "success", job["trace"]
    names = {row["id"]: row["description"] for row in own.state["runners"].values()}
    assert names[job["runner"]] == f"{own.project.name}/hub-platform"
    assert {row["key"] for row in job["variables"]} >= KEYS
    audit = own.audit()
    assert (audit["action"], audit["commit"], audit["dirty"]) == ("deploy", first["sha"], False)
    assert audit["who"].startswith(f"{MAINTAINER}@")
    (schedule,) = own.ask("GET", "/pipeline_schedules")
    assert (schedule["cron"], schedule["active"]) == ("0 5 * * *", True)
    # It made no secret, so it pushed nothing.
    assert own.project.git("ls-remote", "origin", "main").split()[0] == first["sha"]


@pytest.fixture(scope="module")
def proposed(own: Own, first: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A merge request of a developer's: one more user, with a workspace."""
    assert first
    mine = own.clone(tmp_path_factory.mktemp("proposed") / "clone")
    mine.git("checkout", "--quiet", "-b", f"topic-{uuid4().hex[:6]}")
    settings = yaml.safe_load((mine.place / "platform.yml").read_text())
    settings["users"].append({"name": NEW, "email": f"{NEW}@{own.project.domain}"})
    settings["workspaces"].append({**SPACE, "name": f"{NEW}-space", "owner": NEW})
    mine.commit("platform.yml", yaml.safe_dump(settings, sort_keys=False))
    options = ("merge_request.create", "merge_request.target=main")
    mine.git("push", "--quiet", *(f"--push-option={each}" for each in options), "origin", "HEAD")
    return mine


def request(own: Own) -> dict[str, Any]:
    """Return the merge request."""
    (found,) = own.ask("GET", "/merge_requests")
    return dict(own.ask("GET", f"/merge_requests/{found['iid']}"))


def test_a_merge_request_shows_what_a_deploy_of_it_would_change(own: Own, proposed: Clone) -> None:
    done = own.pipeline(sha=proposed.git("rev-parse", "HEAD").strip())
    (job,) = done["jobs"].values()
    assert (job["name"], job["status"]) == ("platform plan", "success"), job["trace"]
    # GitLab shows the exposed artifact and the report of this pipeline on the request's page.
    shown = request(own)
    assert (shown["state"], shown["head_pipeline"]["id"]) == ("opened", done["id"])
    assert job["artifacts"]["expose_as"] == "What a deploy would change"
    text = own.ask("GET", f"/jobs/{job['id']}/artifacts/plan.md").decode()
    assert text.splitlines()[0] == f"- New: hub/{NEW}-space"
    assert text.splitlines()[0] in job["trace"]
    report = json.loads(job["reports"]["terraform"])
    assert report["create"] == 1
    assert report["delete"] == 0
    # It has neither what deploys nor was it run by who does.
    assert not {row["key"] for row in job["variables"]} & KEYS
    names = {row["id"]: row["description"] for row in own.state["runners"].values()}
    assert names[job["runner"]] == f"{own.project.name}/hub"


def test_a_branch_gets_neither_the_keys_nor_the_runner(
    own: Own, first: dict[str, Any], tmp_path: Path
) -> None:
    """Whatever its own code asks for."""
    assert first
    mine = own.clone(tmp_path / "clone")
    branch = f"greedy-{uuid4().hex[:6]}"
    job = {"image": "$DAP_ENVIRONMENT_PYTHON"}
    look = 'test -z "${DAP_VAULT_KEY:-}${DAP_SSH_KEY:-}" && echo neither of them'
    # A developer's job may push no more than the developer may.
    push = 'if git -c safe.directory=* push "$CI_REPOSITORY_URL" HEAD:main; then exit 1; fi'
    jobs = {
        "look": {**job, "script": [look, push]},
        "take": {**job, "script": [look], "tags": ["platform"]},
    }
    mine.commit(".gitlab-ci.yml", yaml.safe_dump(jobs))
    commit = mine.git("rev-parse", "HEAD").strip()
    mine.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
    (pipeline,) = own.ask("GET", "/pipelines", params={"sha": commit})

    def looked() -> dict[str, Any] | None:
        found = own.jobs(pipeline)
        return found if found["look"]["status"] in ("success", "failed") else None

    found = await_result("the job that looks", looked, 120, 1)
    assert found["look"]["status"] == "success", found["look"]["trace"]
    assert "neither of them" in found["look"]["trace"]
    assert "not allowed to push code to protected branches" in found["look"]["trace"]
    # The runner that it asks for has nothing else to do, and asks for jobs every three seconds.
    assert found["take"]["status"] == "pending"
    assert not {row["key"] for row in found["take"]["variables"]} & KEYS
    own.ask("POST", f"/pipelines/{pipeline['id']}/cancel")
    with pytest.raises(subprocess.CalledProcessError):
        mine.git("push", "--quiet", "origin", "HEAD:main")
    assert own.project.git("ls-remote", "origin", "main").split()[0] == first["sha"]


@pytest.fixture(scope="module")
def merged(own: Own, proposed: Clone) -> dict[str, Any]:
    """The pipeline of the merge of that branch by a maintainer."""
    branch = proposed.git("branch", "--show-current").strip()
    own.project.git("fetch", "--quiet", "origin", branch)
    own.project.git("merge", "--quiet", "--no-ff", "--message", f"Merge {branch}", "FETCH_HEAD")
    own.project.push()
    return own.pipeline(sha=own.project.git("rev-parse", "HEAD").strip())


def test_what_is_merged_is_on_the_host(own: Own, merged: dict[str, Any]) -> None:
    (job,) = merged["jobs"].values()
    assert (job["name"], job["status"]) == ("platform apply", "success"), job["trace"]
    assert own.platform.states(own.hub)[f"{NEW}-space"].startswith("running")
    assert request(own)["state"] == "merged"
    assert NEW in {row["username"] for row in own.state["users"].values()}
    # Who merged it is who deployed it.
    assert own.audit()["who"].startswith(f"{MAINTAINER}@")


def test_a_secret_that_a_deploy_makes_is_on_main_before_the_host_has_it(
    own: Own, merged: dict[str, Any]
) -> None:
    own.project.git("pull", "--quiet", "--ff-only", "origin", "main")
    seen = "%an|%s|%P|%ct"
    name, subject, above, made = own.project.git("log", "-1", f"--format={seen}").strip().split("|")
    assert name == "dap.gitops"
    assert subject == f"Keep the secrets that the deploy of {merged['sha'][:8]} made"
    assert above == merged["sha"]
    changed = own.project.git("diff", "--name-only", "HEAD~1", "HEAD").split()
    assert changed == ["infrastructure/secrets/vault.yml"]
    audit = own.audit()
    assert audit["commit"] == own.project.git("rev-parse", "HEAD").strip()
    secrets = f"{own.platform.tree}/secrets/content/content/vault.json"
    assert f'"users/{NEW}/password"' in own.hub.execute("cat", secrets)
    assert int(made) <= int(own.hub.execute("stat", "--format=%Y", secrets))
    # That commit is deployed already: it starts no pipeline.
    assert own.ask("GET", "/pipelines", params={"sha": audit["commit"]}) == []
    # What the operator's clone has is what lets the new user in.
    known = own.project.make_json("credentials", f"USER={NEW}")
    assert known["password"]
    assert known["password"] not in "".join(each["trace"] for each in merged["jobs"].values())


def test_hosts_that_are_what_main_says_are_well(own: Own, merged: dict[str, Any]) -> None:
    assert merged
    done = own.play()
    (job,) = done["jobs"].values()
    assert (job["name"], job["status"]) == ("platform drift", "success"), job["trace"]
    assert "no change" in job["trace"]


def test_what_somebody_changed_by_hand_is_told(own: Own, merged: dict[str, Any]) -> None:
    assert merged
    path = f"{own.platform.tree}/config/nginx-proxy/nginx.conf"
    own.hub.execute("sh", "-c", f"echo '{HAND}' >>{path}")
    one = f"$(docker ps -q --filter {label_of(f'{NEW}-space')})"
    own.hub.execute("sh", "-c", f"docker rm -f {one}")
    done = own.play()
    (job,) = done["jobs"].values()
    assert job["status"] == "failed", job["trace"]
    assert "config/nginx-proxy/nginx.conf" in job["trace"]
    assert HAND in job["trace"]
    assert f"{NEW}-space" in job["trace"]
    # It looked, and no more.
    assert HAND in own.hub.execute("cat", path)
    assert f"{NEW}-space" not in own.platform.states(own.hub)

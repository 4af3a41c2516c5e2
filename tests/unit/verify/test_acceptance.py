"""What the acceptance tests are made of, where a mutation of a platform does not reach."""

import base64
import json
import socket
from pathlib import Path

import pytest
from acceptance.findings import CheckError, expect, expect_none
from acceptance.jobs import ENVIRONMENT, Finished, Ran
from acceptance.leaks import Leaks
from acceptance.repository import Repository
from dap.onhost.ports import addresses, is_open, listening
from dap.onhost.served import is_served
from dap.secrets.kinds import make, ssh_public_key

SERVICES = Path(__file__).parents[3] / "infrastructure" / "services"
PASSWORD = "Kq3vX9pLw2RtZ8mN4bYc7dFg1hJs5aTe"


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
@pytest.mark.parametrize("after", ["", "\n", ":x", "more"])
def test_a_secret_is_found_in_base64_wherever_it_begins(before: str, after: str) -> None:
    text = base64.b64encode(f"{before}{PASSWORD}{after}".encode())
    assert Leaks({"users/ada/password": PASSWORD}).names(text) == ["users/ada/password"]


def test_a_key_is_found_with_its_lines_written_otherwise_and_told_from_others() -> None:
    ours, other = make("ssh-key"), make("ssh-key")
    leaks = Leaks({"forge/key": ours})
    assert leaks.names(json.dumps(ours).encode()) == ["forge/key"]
    assert leaks.names(other.encode()) == []
    assert leaks.names(ssh_public_key(ours).encode()) == []


def test_what_is_too_short_to_tell_is_not_looked_for() -> None:
    assert Leaks({"storage/attic/access-key": "minio"}).names(b"minio") == []


def test_a_check_names_the_first_few_of_many() -> None:
    expect(True, "no", "nothing")
    expect_none([], "nothing")
    with pytest.raises(CheckError, match="0; 1; 2; 3; 4 and 2 more"):
        expect_none(map(str, range(7)), "mend them")


def test_a_job_that_failed_tells_its_last_lines() -> None:
    ran = Ran("0" * 40, "https://git.example/1", {"store": Finished("failed", "a\nb\nc\nd\n")})
    with pytest.raises(CheckError, match="the job store is failed: b / c / d"):
        ran.output("store")
    with pytest.raises(CheckError, match="the job other is not there"):
        ran.output("other")


def test_a_repository_takes_no_variable_of_the_person_for_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_SSL_CAINFO", "/nowhere")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    # What git is run with, as a helper of its own sees it.
    seen = tmp_path / "seen"
    made = Repository(tmp_path, "unused", options=[f"core.fsmonitor=env >{seen}; false"])
    assert len(made.commit({"file": "text"})) == 40
    told = {line.split("=")[0] for line in seen.read_text().splitlines()}
    assert "GIT_AUTHOR_NAME" in told
    assert not {"GIT_SSL_CAINFO", "https_proxy"} & told
    assert not (tmp_path / "other").exists()


def test_every_job_names_an_environment_and_can_be_run() -> None:
    jobs = sorted(SERVICES.glob("*/tests/job.py"))
    assert jobs
    for job in jobs:
        named = ENVIRONMENT.search(job.read_text())
        assert named, job
        assert (SERVICES.parents[1] / "environments" / named[1]).is_dir()


def test_who_listens_and_what_is_kept_open() -> None:
    assert "127.0.0.1" in addresses()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert not is_open("127.0.0.1", port)
        server.listen()
        assert port in listening("self")
        assert is_open("127.0.0.1", port)
        assert is_served("127.0.0.1", port)
    assert not is_served("127.0.0.1", port)

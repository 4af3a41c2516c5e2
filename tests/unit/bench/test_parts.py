"""The parts of the benchmarks that need no platform."""

import io
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.bench.deploy import change_memory, touched
from tests.bench.images import DEPENDENCY, entry
from tests.bench.postgres import RATE
from tests.bench.render import HOSTS, WORKSPACES, large_settings
from tests.bench.running import archive, resolving
from tests.bench.subjects import SUBJECTS, chosen
from tests.bench.timing import interleave
from tests.paths import ROOT


def test_ways_take_turns_and_each_is_first_as_often() -> None:
    order: list[str] = []

    def way(name: str, value: float) -> Callable[[], float]:
        def measure() -> float:
            order.append(name)
            return value

        return measure

    values = interleave(4, {"a": way("a", 1.0), "b": way("b", 2.0)})
    assert values == {"a": [1.0] * 4, "b": [2.0] * 4}
    assert "".join(order) == "abbaabba"


def test_subjects_are_chosen_by_name_in_their_order() -> None:
    assert chosen("") == list(SUBJECTS)
    assert chosen("s3, mlflow") == ["mlflow", "s3"]
    with pytest.raises(ValueError, match="no subject 'disk'; there are: cold, demo, "):
        chosen("s3,disk")


def test_each_subject_has_a_heading_of_its_own() -> None:
    titles = [subject.title for subject in SUBJECTS.values()]
    assert len(set(titles)) == len(titles)


def test_the_lock_entry_of_a_package_has_all_its_hashes_and_nothing_else() -> None:
    wanted = "bb==2 ; a > 1 \\\n    --hash=x:2 \\\n    --hash=x:3"
    assert entry(f"aa==1 \\\n    --hash=x:1\n{wanted}\nbb-c==1 \\\n", "bb") == wanted
    with pytest.raises(ValueError, match="no b in the lock file"):
        entry(wanted, "b")


def test_the_dependency_that_builds_are_timed_with_is_new_to_the_environment() -> None:
    assert "--hash=" in entry((ROOT / "tests" / "requirements.lock").read_text(), DEPENDENCY)
    lock = (ROOT / "environments" / "python" / "requirements.lock").read_text()
    with pytest.raises(ValueError, match=DEPENDENCY):
        entry(lock, DEPENDENCY)


def test_a_container_is_touched_when_its_start_is_another() -> None:
    before = {"a": "1", "b": "1", "c": "1"}
    assert touched(before, {"a": "1", "b": "2", "d": "2"}) == ["b", "c", "d"]


def test_the_changed_setting_is_another_each_time(tmp_path: Path) -> None:
    file = tmp_path / "platform.yml"
    file.write_text("name: x\nworkspaces:\n  - {name: one, memory: 4g}\n  - {name: two}\n")
    seen = []
    for _ in range(3):
        assert change_memory(file) == "one"
        seen.append(yaml.safe_load(file.read_text())["workspaces"][0]["memory"])
    assert seen == ["5g", "4g", "5g"]


def test_large_settings_keep_the_rest() -> None:
    small = {"name": "x", "users": [{"name": "ada"}], "hosts": [], "workspaces": []}
    large = yaml.safe_load(large_settings(yaml.safe_dump(small)))
    assert large["name"] == "x"
    assert (len(large["hosts"]), len(large["workspaces"])) == (HOSTS, WORKSPACES)
    ports = {workspace["ssh_port"] for workspace in large["workspaces"]}
    assert len(ports) == WORKSPACES


def test_files_for_a_container_are_its_user_s_alone() -> None:
    packed = io.BytesIO(archive({"pgpass": b"secret"}, 11001))
    with tarfile.open(fileobj=packed) as tar:
        [about] = tar.getmembers()
    assert (about.name, about.mode, about.uid) == ("pgpass", 0o600, 11001)


def test_the_rate_is_read_from_what_pgbench_prints() -> None:
    text = "latency average = 2.5 ms\ntps = 1234.567890 (without initial connection time)\n"
    found = RATE.search(text)
    assert found is not None
    assert float(found[1]) == pytest.approx(1234.56789)


def test_names_lead_where_they_are_told_and_only_meanwhile() -> None:
    def address(name: str) -> object:
        return socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)[0][4][0]

    with resolving({"made-up.invalid": "127.0.0.1"}):
        assert address("made-up.invalid") == "127.0.0.1"
        assert address("127.0.0.2") == "127.0.0.2"
    with pytest.raises(OSError, match=r"[Nn]ame"):
        address("made-up.invalid")

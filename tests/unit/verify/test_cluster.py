"""A cluster as acceptance tests ask it: what is compared, and what is made of what pods say."""

from __future__ import annotations

from acceptance.cluster import processes_of, settled
from acceptance.place import Process


def test_processes_come_with_whom_they_run_as_and_their_environment() -> None:
    told = "1\nit's a server\n\t11001\t11001\t0\t11001\nYQBi\nQT0x\n7\nleft\n 5 5 5 5\n\n\n"
    first, second = processes_of(told)
    assert (first.pid, first.name, first.users) == (1, "it's a server", (11001, 11001, 0, 11001))
    assert (first.command, first.environment) == (b"a\0b", b"A=1")
    assert (second.pid, second.command, second.environment) == (7, b"", b"")


def process(pid: int, user: int) -> Process:
    """Return a process of a user."""
    return Process(pid, "sh", (user,) * 4, b"", b"")


def test_what_the_runtime_brings_in_is_not_root_for_long() -> None:
    """A probe's command: another user's a moment later, or gone."""
    looks = iter([[process(1, 11), process(7, 0), process(8, 0)], [process(1, 11), process(8, 11)]])
    assert settled(lambda: next(looks)) == [process(1, 11), process(8, 11)]


def test_what_stays_root_is_told() -> None:
    found = settled(lambda: [process(1, 0), process(7, 11)])
    assert found == [process(1, 0), process(7, 11)]


def test_without_root_one_look_is_enough() -> None:
    looks = iter([[process(1, 11)]])
    assert settled(lambda: next(looks)) == [process(1, 11)]

"""Who gets which slot: at most so many jobs at once on each host, in turns between users.

Whose turn it is: the user with the fewest running jobs; of several, who had a turn the longest ago;
of that user's jobs the oldest. So who has none running waits for no more than one job of each other
user, however many these had before. A job that only some hosts fit holds up nobody behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from dap_pipelines.values import Host

# Of this container, by either version of the kernel's control groups.
LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
# What a pipeline takes here at most while its job runs, and the worker itself (README.md has both).
PIPELINE_BYTES = 192 * 1024**2
OWN_BYTES = 256 * 1024**2
# Beyond those that fill the slots: one may wait for a host that others don't want.
SPARE = 2


class Waiting(Protocol):
    """Something of a user that waits for its turn."""

    @property
    def user(self) -> str:
        """Whose it is."""

    @property
    def age(self) -> tuple[int, int]:
        """The lower, the older."""


W = TypeVar("W", bound=Waiting)


class Turns:
    """Remembers in which order users had their turns."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._number = 0

    def took(self, user: str) -> None:
        """Say that a user has had a turn."""
        self._number += 1
        self._last[user] = self._number

    def order(self, waiting: Iterable[W], running: Iterable[Waiting]) -> list[W]:
        """Return what waits in the order in which it would come, were each given a place now."""
        counts = Counter(each.user for each in running)
        last, number = dict(self._last), self._number
        queues: dict[str, list[W]] = {}
        for each in sorted(waiting, key=lambda each: each.age, reverse=True):
            queues.setdefault(each.user, []).append(each)
        found = []
        while queues:
            user = min(queues, key=lambda u: (counts[u], last.get(u, 0), queues[u][-1].age))
            found.append(queues[user].pop())
            counts[user] += 1
            number += 1
            last[user] = number
            if not queues[user]:
                del queues[user]
        return found


@dataclass(eq=False)
class Wish:
    """A job that wants a slot of a host that fits its tags; `since` in seconds since the epoch.

    Of the older pipeline it is the older: what was begun first comes to its end first.
    """

    number: int
    pipeline: int
    project: str
    user: str
    job: str
    tags: tuple[str, ...]
    since: float

    @property
    def age(self) -> tuple[int, int]:
        """The lower, the older."""
        return self.pipeline, self.number


class Slots:
    """Hosts, the jobs that hold their slots, and those that wait."""

    def __init__(self, hosts: Iterable[Host]) -> None:
        self.hosts = {host.name: host for host in hosts}
        self.up: set[str] = set()
        self.leaving: set[str] = set()
        self.waiting: list[Wish] = []
        self.running: dict[Wish, Host] = {}
        self._turns = Turns()

    def free(self, host: Host) -> int:
        """Return the number of slots that a host has left."""
        return host.slots - sum(taken.name == host.name for taken in self.running.values())

    def change(self, hosts: Iterable[Host]) -> None:
        """Take the hosts of now: one that is none of them gets no more jobs."""
        now = {host.name: host for host in hosts}
        self.leaving = self.hosts.keys() - now.keys()
        self.hosts |= now

    def forget(self) -> set[str]:
        """Forget hosts that are leaving and have no job left; return their names."""
        busy = {host.name for host in self.running.values()}
        gone = self.leaving - busy
        for name in gone:
            del self.hosts[name]
        self.leaving -= gone
        self.up -= gone
        return gone

    def in_turn(self) -> list[Wish]:
        """Return the jobs that wait in the order in which they would come."""
        return self._turns.order(self.waiting, self.running)

    def grant(self) -> list[tuple[Wish, Host]]:
        """Give out what is free; return who got what."""
        given: list[tuple[Wish, Host]] = []
        while found := self._next():
            wish, host = found
            self.waiting.remove(wish)
            self.running[wish] = host
            self._turns.took(wish.user)
            given.append(found)
        return given

    def _next(self) -> tuple[Wish, Host] | None:
        ready = self.up - self.leaving
        free = [h for h in self.hosts.values() if h.name in ready and self.free(h) > 0]
        if not free:
            return None
        for wish in self.in_turn():
            fitting = [host for host in free if host.fits(wish.tags)]
            if fitting:
                return wish, min(fitting, key=self._cost)
        return None

    def _cost(self, host: Host) -> tuple[bool, float]:
        # GPUs stay free for those who ask for them; else the host with most left.
        return bool(host.gpus), -self.free(host) / host.slots

    def drop(self, wish: Wish) -> None:
        """Forget a job, whether it waits or runs."""
        if wish in self.waiting:
            self.waiting.remove(wish)
        self.running.pop(wish, None)

    def lose(self, name: str) -> list[Wish]:
        """Take a host out that is gone; return the jobs that were there."""
        self.up.discard(name)
        lost = [wish for wish, host in self.running.items() if host.name == name]
        for wish in lost:
            del self.running[wish]
        return lost

    def reason(self, wish: Wish) -> str:
        """Return what a job waits for, in words."""
        staying = [host for host in self.hosts.values() if host.name not in self.leaving]
        fitting = [host for host in staying if host.fits(wish.tags)]
        there = [host for host in fitting if host.name in self.up]
        if not there:
            return f"{' and '.join(host.name for host in fitting)} to be back"
        if len(there) == len(staying):
            return "a free slot"
        return f"a free slot of {' or '.join(host.name for host in there)}"


def misfit(hosts: Iterable[Host], job: str, tags: Iterable[str]) -> str:
    """Return why no host will ever run a job, nothing where one may."""
    asked, known = list(tags), list(hosts)
    if any(host.fits(asked) for host in known):
        return ""
    if not known:
        return f"job {job}: no host runs jobs: hosts[].slots in platform.yml"
    there = "; ".join(", ".join((host.name, *host.labels)) for host in known)
    names = {name for host in known for name in (host.name, *host.labels)}
    unknown = [tag for tag in asked if tag not in names]
    if unknown:
        what = f"no host has the label {', '.join(unknown)}"
    else:
        what = f"no host has all of the labels {', '.join(asked)}"
    return f"job {job}: tags: {what}; hosts and their labels are: {there}"


def most_at_once(slots: int, limits: Iterable[Path] = LIMITS) -> int:
    """Return how many pipelines may be under way: enough to fill the slots, if memory allows."""
    wanted = slots + SPARE
    found = [path.read_text().strip() for path in limits if path.exists()]
    for limit in found:
        if limit != "max":
            wanted = min(wanted, (int(limit) - OWN_BYTES) // PIPELINE_BYTES)
    return max(1, wanted)

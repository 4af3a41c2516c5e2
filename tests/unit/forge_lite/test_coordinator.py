"""The coordinator as pipelines' processes meet it: over its socket, before engines that are not."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dap_pipelines import coordinator
from dap_pipelines.coordinator import Coordinator
from dap_pipelines.values import Host, Size

from tests.unit.forge_lite.given import values

ONE = Host("one", ("big",), 1)
FAR = Host("far", (), 1, address="10.0.0.9", port=2376)


class Engines:
    """Stands for the engines of hosts: which are there, and what was cleared on them."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.slow: set[str] = set()
        self.cleared: list[tuple[str, tuple[str, ...]]] = []

    def make(self, host: Host) -> "Engines.One":
        return Engines.One(self, host)

    class One:
        def __init__(self, engines: "Engines", host: Host) -> None:
            self.engines, self.host, self.name = engines, host, host.name
            self.remote = bool(host.address)

        async def ask(self, *_: object) -> None:
            if self.name in self.engines.down:
                raise ConnectionRefusedError("nobody there")

        async def clear(self, labels: Any) -> int:
            await self.ask()
            self.engines.cleared.append((self.name, tuple(labels)))
            return 0

        async def size(self) -> Size:
            while self.host.address in self.engines.slow:
                await asyncio.sleep(0.005)
            return Size(8, 2**30)

        async def helper(self, platform: str) -> str:
            return f"helper of {platform}"


class Holder:
    """A pipeline's process that asks for a slot."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def ask(self, user: str = "ada", tags: tuple[str, ...] = ()) -> "Holder":
        self.reader, self.writer = await asyncio.open_unix_connection(self.path)
        asked = {"pipeline": 7, "project": "analysis", "user": user, "job": "train", "tags": tags}
        self.say(asked)
        return self

    def say(self, message: dict[str, Any]) -> None:
        self.writer.write(json.dumps(message).encode() + b"\n")

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            answer: dict[str, Any] = json.loads(await self.reader.readline())
        return answer


Try = Callable[[Coordinator, Callable[[], Holder]], Awaitable[None]]


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engines:
    made = Engines()
    monkeypatch.setattr(coordinator, "Engine", made.make)
    monkeypatch.setattr(coordinator, "STATE", tmp_path)
    for name, seconds in {"PING": 0.02, "ANSWER": 0.02, "GONE": 0.1}.items():
        monkeypatch.setattr(coordinator, f"{name}_SECONDS", seconds)
    return made


@pytest.fixture
def trial(tmp_path: Path) -> Callable[..., None]:
    def run(hosts: tuple[Host, ...], attempt: Try) -> None:
        async def all_of_it() -> None:
            made = Coordinator(values(*hosts))
            holders: list[Holder] = []

            def holder() -> Holder:
                holders.append(Holder(tmp_path / "socket"))
                return holders[-1]

            await made.start(tmp_path / "socket")
            async with asyncio.timeout(10):
                await attempt(made, holder)
                for each in holders:
                    each.writer.close()
                    await each.writer.wait_closed()
                await end_all()

        asyncio.run(all_of_it())

    return run


async def end_all() -> None:
    """End all other tasks, and close what they had open."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.wait(others)
    # That is done in the loop's next rounds.
    for _ in range(3):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


@pytest.mark.usefixtures("engines")
def test_a_slot_lasts_as_long_as_its_connection(trial: Callable[..., None]) -> None:
    async def attempt(_: Coordinator, holder: Callable[[], Holder]) -> None:
        first = await holder().ask()
        answer = await first.hear()
        if "waits" in answer:
            answer = await first.hear()
        assert (answer["host"], answer["helper"]) == ("one", "helper of dap")
        assert answer["size"] == {"cpus": 8, "memory": 2**30}
        second = await holder().ask("bob")
        assert await second.hear() == {"waits": "a free slot"}
        # Whatever it was that died.
        first.writer.transport.abort()
        assert (await second.hear())["host"] == "one"

    trial((ONE,), attempt)


def test_what_a_dead_holder_left_goes_before_its_slot_is_given_away(
    trial: Callable[..., None], engines: Engines
) -> None:
    async def attempt(made: Coordinator, holder: Callable[[], Holder]) -> None:
        await until(lambda: made.slots.up)
        first = await holder().ask()
        number = (await first.hear())["number"]
        second = await holder().ask()
        await second.hear()
        first.writer.transport.abort()
        await second.hear()
        cleared = ("dap.pipeline=7", "dap.platform=dap", f"dap.slot={number}")
        assert ("one", cleared) in engines.cleared
        count = len(engines.cleared)
        # Who has cleared up says so.
        second.say({"cleared": True})
        second.writer.close()
        await until(lambda: not made.slots.running)
        assert len(engines.cleared) == count

    trial((ONE,), attempt)


def test_a_host_that_was_away_for_a_moment_gets_no_job_before_it_is_cleared(
    trial: Callable[..., None], engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, "GONE_SECONDS", 5)

    async def attempt(made: Coordinator, holder: Callable[[], Holder]) -> None:
        await until(lambda: made.slots.up)
        first = await holder().ask()
        assert (await first.hear())["host"] == "far"
        engines.cleared.clear()
        engines.down.add("far")
        first.writer.transport.abort()
        second = await holder().ask()
        assert await second.hear() == {"waits": "a free slot"}
        await asyncio.sleep(0.1)
        assert made.slots.waiting
        engines.down.discard("far")
        assert (await second.hear())["host"] == "far"
        assert [name for name, labels in engines.cleared if "dap.slot=1" in labels] == ["far"]

    trial((FAR,), attempt)


def test_a_host_that_is_gone_loses_its_jobs_and_is_taken_in_again_cleared(
    trial: Callable[..., None], engines: Engines, tmp_path: Path
) -> None:
    def shown() -> dict[str, dict[str, Any]]:
        path = tmp_path / "queue.json"
        hosts = json.loads(path.read_text())["hosts"] if path.exists() else []
        return {host["name"]: host for host in hosts}

    async def attempt(made: Coordinator, holder: Callable[[], Holder]) -> None:
        await until(lambda: len(made.slots.up) == 2)
        job = await holder().ask(tags=("far",))
        assert (await job.hear())["host"] == "far"
        engines.down.add("far")
        assert "host far is gone: nobody there" in (await job.hear())["lost"]
        await until(lambda: shown()["far"]["status"] == "gone")
        assert shown()["one"]["status"] == "up"
        waiting = await holder().ask(tags=("far",))
        assert await waiting.hear() == {"waits": "far to be back"}
        engines.cleared.clear()
        engines.down.clear()
        assert (await waiting.hear())["host"] == "far"
        assert engines.cleared[0] == ("far", ("dap.pipeline", "dap.platform=dap"))
        await until(lambda: shown()["far"]["status"] == "up")
        assert [each["user"] for each in shown()["far"]["running"]] == ["ada"]

    trial((ONE, FAR), attempt)


def test_a_host_that_is_not_there_at_the_start_holds_up_no_other(
    trial: Callable[..., None], engines: Engines
) -> None:
    engines.down.add("far")

    async def attempt(made: Coordinator, holder: Callable[[], Holder]) -> None:
        await until(lambda: made.slots.up == {"one"} and made.hosts["far"].status == "gone")
        assert (await (await holder().ask()).hear())["host"] == "one"

    trial((FAR, ONE), attempt)


@pytest.mark.usefixtures("engines")
@pytest.mark.parametrize("request_", [b"\n", b"{}\n", b"[]\n", b'{"pipeline": 1}\n', b"x"])
def test_what_is_no_request_gets_nothing(trial: Callable[..., None], request_: bytes) -> None:
    async def attempt(made: Coordinator, holder: Callable[[], Holder]) -> None:
        await until(lambda: made.slots.up)
        job = holder()
        job.reader, job.writer = await asyncio.open_unix_connection(job.path)
        job.writer.write(request_)
        job.writer.write_eof()
        assert await job.reader.read() == b""
        assert (await (await holder().ask()).hear())["host"] == "one"

    trial((ONE,), attempt)


@pytest.mark.usefixtures("engines")
def test_hosts_come_and_go_while_jobs_run(trial: Callable[..., None]) -> None:
    async def attempt(made: Coordinator, holder: Callable[[], Holder]) -> None:
        await until(lambda: made.slots.up)
        here = await holder().ask()
        assert (await here.hear())["host"] == "one"
        made.change((ONE, FAR))
        there = await holder().ask()
        answer = await there.hear()
        assert (answer if "host" in answer else await there.hear())["host"] == "far"
        # One that leaves keeps the job it has, gets no other, and is forgotten with the last.
        made.change((ONE,))
        late = await holder().ask()
        assert await late.hear() == {"waits": "a free slot"}
        there.say({"cleared": True})
        there.writer.close()
        await until(lambda: "far" not in made.hosts and "far" not in made.slots.hosts)
        assert late.reader.at_eof() is False
        here.writer.close()
        assert (await late.hear())["host"] == "one"

    trial((ONE,), attempt)


@pytest.mark.usefixtures("engines")
def test_what_runs_is_shown_after_hosts_are_read_anew(trial: Callable[..., None]) -> None:
    async def attempt(made: Coordinator, holder: Callable[[], Holder]) -> None:
        await until(lambda: made.slots.up)
        assert (await (await holder().ask()).hear())["host"] == "one"
        made.change((replace(ONE, labels=("new",)), FAR))
        shown = {host["name"]: host for host in made.seen()["hosts"]}
        assert [each["user"] for each in shown["one"]["running"]] == ["ada"]

    trial((ONE,), attempt)


def test_a_host_that_left_while_it_was_taken_in_does_not_stand_for_its_successor(
    trial: Callable[..., None], engines: Engines
) -> None:
    other = replace(FAR, address="10.0.0.10")
    engines.slow = {FAR.address, other.address}

    async def attempt(made: Coordinator, _: Callable[[], Holder]) -> None:
        await until(lambda: "one" in made.slots.up and engines.cleared[1:])
        made.change((ONE, other))
        engines.slow.discard(FAR.address)
        await asyncio.sleep(0.1)
        assert made.slots.up == {"one"}
        engines.slow.clear()
        await until(lambda: made.slots.up == {"one", "far"})

    trial((ONE, FAR), attempt)


@pytest.mark.usefixtures("engines")
def test_a_job_that_waits_for_a_host_that_left_is_told(trial: Callable[..., None]) -> None:
    async def attempt(made: Coordinator, holder: Callable[[], Holder]) -> None:
        await until(lambda: len(made.slots.up) == 2)
        first = await holder().ask(tags=("far",))
        assert (await first.hear())["host"] == "far"
        second = await holder().ask(tags=("far",))
        assert "waits" in await second.hear()
        made.change((ONE,))
        told = await second.hear()
        assert "no host has the label far" in told["lost"]

    trial((ONE, FAR), attempt)


@pytest.mark.usefixtures("engines")
def test_another_machine_of_the_name_has_lost_the_jobs(trial: Callable[..., None]) -> None:
    async def attempt(made: Coordinator, holder: Callable[[], Holder]) -> None:
        await until(lambda: len(made.slots.up) == 2)
        first = await holder().ask(tags=("far",))
        assert (await first.hear())["host"] == "far"
        made.change((ONE, Host("far", ("big",), 2, address="10.0.0.10", port=2376)))
        assert "it has another address" in (await first.hear())["lost"]
        second = await holder().ask(tags=("far", "big"))
        answer = await second.hear()
        assert (answer if "host" in answer else await second.hear())["host"] == "far"

    trial((ONE, FAR), attempt)

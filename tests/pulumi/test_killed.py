"""A run that is killed, with and without checkpoints: what is lost, and how the next run has it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from pulumi import automation as auto

from demo.access import await_result
from demo.project import clean_environment
from tests.paths import ROOT
from tests.pulumi.child import program
from tests.pulumi.engine import Engine, up
from tests.pulumi.standin.store import Memory

COUNT = 60
SKIP = {"PULUMI_SKIP_CHECKPOINTS": "true"}


@contextmanager
def running(engine: Engine, count: int, text: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A run in a process group of its own; killed with all it started."""
    command = [sys.executable, "-m", "tests.pulumi.child", str(engine.place), str(count), text]
    paths = f"{ROOT}{os.pathsep}{ROOT / 'infrastructure'}"
    environment = clean_environment() | engine.variables | {"PYTHONPATH": paths}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def killed(engine: Engine, memory: Memory, count: int, text: str, calls: int) -> None:
    """Run until so many calls have reached the cluster, and kill the engine in the middle."""
    with running(engine, count, text) as process:
        await_result(
            f"{calls} calls",
            lambda: len(memory.calls) >= calls or None if process.poll() is None else True,
            60,
            0.01,
        )
        assert process.poll() is None, "the run was over before it could be killed"


@pytest.mark.parametrize("skipped", [True, False], ids=["skipped", "kept"])
def test_what_a_killed_first_run_made_is_taken_over(
    engine: Engine, memory: Memory, skipped: bool
) -> None:
    engine.environment = {**engine.environment, **(SKIP if skipped else {})}
    killed(engine, memory, COUNT, "1", 20)
    made = len(memory.objects)
    assert 20 <= made < COUNT
    stack = engine.stack(lambda: program(COUNT, "2"))
    known = len(engine.resources())
    assert known == 0 if skipped else 0 < known <= made
    with pytest.raises(auto.CommandError, match="locked"):
        up(stack)
    stack.cancel()
    if skipped:
        # By default the plugin makes no object that is there already.
        with pytest.raises(auto.CommandError, match="already exists"):
            up(engine.stack(lambda: program(COUNT, "2", upsert=False)))
        stack = engine.stack(lambda: program(COUNT, "2"))
    done = up(stack, refresh=True)
    # Nothing is there twice, nothing of the killed run's is left as it was.
    assert sum(done.values()) == COUNT + 2
    assert len(memory.objects) == len(engine.resources()) == COUNT + 1
    assert {
        each["data"]["text"] for each in memory.objects.values() if each["kind"] == "ConfigMap"
    } == {"2"}
    assert up(stack, refresh=True) == {"same": COUNT + 2}
    stack.destroy(on_output=lambda _: None)
    assert memory.objects == {}


def test_what_a_killed_run_was_replacing_is_made_again(engine: Engine, memory: Memory) -> None:
    engine.environment = {**engine.environment, **SKIP}
    up(engine.stack(lambda: program(COUNT, "1")))
    memory.calls.clear()
    killed(engine, memory, COUNT, "2", 15)
    stack = engine.stack(lambda: program(COUNT, "2"))
    stack.cancel()
    up(stack, refresh=True)
    assert len(memory.objects) == COUNT + 1
    assert up(stack, refresh=True) == {"same": COUNT + 2}


def test_what_a_killed_run_made_and_nobody_wants_now_is_found_by_its_label_alone(
    engine: Engine, memory: Memory
) -> None:
    """The state never heard of it: whoever skips checkpoints has to ask the cluster."""
    engine.environment = {**engine.environment, **SKIP}
    killed(engine, memory, COUNT, "1", 20)
    stack = engine.stack(lambda: program(1, "1"))
    stack.cancel()
    up(stack, refresh=True)
    left = {key[3] for key in memory.objects} - engine.resources().keys()
    assert left
    labels = [each["metadata"]["labels"] for key, each in memory.objects.items() if key[3] in left]
    assert all(each == {"app.kubernetes.io/managed-by": "dap"} for each in labels)


def test_a_terminated_run_saves_what_it_made(engine: Engine, memory: Memory) -> None:
    """SIGINT and SIGTERM let the engine write its state, though it skips checkpoints."""
    engine.environment = {**engine.environment, **SKIP}
    with running(engine, 400, "1") as process:
        await_result("20 calls", lambda: len(memory.calls) >= 20 or None, 60, 0.01)
        children = subprocess.run(
            ["pgrep", "-g", str(process.pid), "-x", "pulumi"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for child in children:
            os.kill(int(child), signal.SIGINT)
        await_result("its end", process.poll, 60)
    assert 20 <= len(memory.objects) < 401
    assert len(engine.resources()) == len(memory.objects)

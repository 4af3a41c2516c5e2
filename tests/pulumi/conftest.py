"""An engine for each test, and what the tests have it make."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pulumi.engine import Engine
from tests.pulumi.standin.serve import served
from tests.pulumi.standin.store import Memory


@pytest.fixture(scope="session", autouse=True)
def _loop() -> Iterator[None]:
    """The event loop that Pulumi's SDK would take for itself and leave open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture
def memory() -> Memory:
    """A cluster that is a dictionary."""
    return Memory()


@pytest.fixture
def engine(memory: Memory, tmp_path: Path) -> Iterator[Engine]:
    """An engine that works on that dictionary."""
    with served(lambda _: memory) as environment:
        yield Engine(tmp_path, environment)

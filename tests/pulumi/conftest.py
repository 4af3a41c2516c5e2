"""An engine for each test, and what the tests have it make."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pulumi.engine import Engine
from tests.pulumi.sdk import sdk_left_open as sdk_left_open
from tests.pulumi.sdk import sdk_loop as sdk_loop
from tests.pulumi.standin.serve import served
from tests.pulumi.standin.store import Memory


@pytest.fixture
def memory() -> Memory:
    """A cluster that is a dictionary."""
    return Memory()


@pytest.fixture
def engine(memory: Memory, tmp_path: Path) -> Iterator[Engine]:
    """An engine that works on that dictionary."""
    with served(lambda _: memory) as environment:
        yield Engine(tmp_path, environment)

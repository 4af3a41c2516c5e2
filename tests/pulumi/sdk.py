"""What Pulumi's SDK does to the process that it runs in; imported by what has tests of it."""

import asyncio
import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def sdk_loop() -> Iterator[None]:
    """The event loop that the SDK would take for itself and leave open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(autouse=True)
def sdk_left_open() -> Iterator[None]:
    """A run that fails leaves its event loop and what waits in it: they go with its own test."""
    # pytest puts the filters back after the test.
    warnings.filterwarnings("ignore", category=pytest.PytestUnraisableExceptionWarning)
    yield
    gc.collect()

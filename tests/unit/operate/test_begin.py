"""From when on a log is asked for."""

from __future__ import annotations

import datetime as dt

import pytest
from dap.errors import InputError
from dap.logs import begin

NOW = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "before"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("3d", 259200)]
)
def test_so_long_ago(text: str, before: int) -> None:
    assert begin(text, NOW) == NOW.timestamp() - before


def test_a_time() -> None:
    assert begin("2026-06-01T14:00+02:00") == NOW.timestamp()
    assert begin("2026-06-01T12:00") == dt.datetime(2026, 6, 1, 12).astimezone().timestamp()
    assert begin("") == 0


@pytest.mark.parametrize("text", ["yesterday", "2x", "-1h", "1.5h", "h", "2026-13-01"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(InputError, match="--since: is no time; allowed: 90s, ") as error:
        begin(text)
    assert text in error.value.message

"""How a check tells what it found: what is wrong, where, and what to do, for a person."""

from __future__ import annotations

from collections.abc import Iterable

SHOWN = 5


class CheckError(Exception):
    """A check failed; `what` says what is wrong and where, `remedy` what to do about it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


class UnreachedError(CheckError):
    """A host can't be asked: none of what is to be checked there is known."""


def expect(held: object, what: str, remedy: str) -> None:
    """Go on if `held` is true.

    Raises:
        CheckError: it is not.
    """
    if not held:
        raise CheckError(what, remedy)


def expect_none(problems: Iterable[str], remedy: str) -> None:
    """Go on if there are no problems.

    Raises:
        CheckError: there are; names the first few.
    """
    found = list(problems)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    expect(not found, "; ".join(found[:SHOWN]) + more, remedy)

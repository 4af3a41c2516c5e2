"""A problem in the settings, and the error that reports all of them together."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dap.errors import InputError

Path = tuple[str | int, ...]
"""Where a value stands: keys and list indices from the top, as in ("users", 0, "email")."""

_LONGEST_FOUND = 60


class _Nothing:
    """Stands for a value that is not there, or that must not be shown."""


NOTHING = _Nothing()


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, with its place in the file. Lines count from 1."""

    file: str
    line: int
    path: Path
    what: str
    allowed: str = ""
    found: str = ""

    def __str__(self) -> str:
        where = dotted(self.path)
        text = f"{self.file}:{self.line}: " + (f"{where}: " if where else "") + self.what
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        if self.found:
            text += f"; found: {self.found}"
        return text


def dotted(path: Path) -> str:
    """`path` as a person writes it: ("users", 0, "email") is users[0].email."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def shown(value: object) -> str:
    """`value` for a message: short, on one line, `nothing` where there is none."""
    if isinstance(value, _Nothing):
        return ""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_FOUND else text[: _LONGEST_FOUND - 1] + "…"


def nearest(word: str, words: Iterable[str]) -> str:
    """The one of `words` that `word` was likely meant to be, or an empty string."""
    return next(iter(difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)), "")


def choice(word: str, words: Sequence[str]) -> str:
    """What to say is allowed where `word` is none of `words`: all of them, the nearest first."""
    close = nearest(word, words)
    if close:
        rest = [other for other in words if other != close]
        return f"{close}" + (f" (nearest), {', '.join(rest)}" if rest else "")
    return ", ".join(words) or "nothing: none is defined"


class SettingsError(InputError):
    """Settings are refused; `problems` are all that is wrong with them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def refusal(problems: Sequence[Problem]) -> SettingsError:
    """The error that reports `problems`, in the order of their lines."""
    unique = dict.fromkeys(problems)
    return SettingsError(sorted(unique, key=lambda problem: (problem.file, problem.line)))

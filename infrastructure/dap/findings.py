"""What was found out about a host or a service, and how a person is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

Level = Literal["ok", "warning", "problem"]
_STYLES = {"ok": "green", "warning": "yellow", "problem": "red"}


@dataclass(frozen=True)
class Finding:
    """What is well or wrong, on which host, in which part of it, and what to do about it."""

    level: Level
    host: str
    where: str
    what: str
    remedy: str = ""


def tell(findings: Iterable[Finding], console: Console) -> None:
    """Print findings, the worst last, where the eye is; each remedy below what it mends."""
    from rich.table import Table  # loads slowly
    from rich.text import Text

    levels = list(_STYLES)
    told = sorted(findings, key=lambda finding: levels.index(finding.level))
    several = len({finding.host for finding in told}) > 1
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in told:
        where = f"{finding.host}: {finding.where}" if several else finding.where
        what = Text(finding.what)
        if finding.remedy:
            what.append(f"\n→ {finding.remedy}", "dim")
        table.add_row(Text(finding.level, _STYLES[finding.level]), Text(where, "bold"), what)
    if told:
        console.print(table, soft_wrap=False)

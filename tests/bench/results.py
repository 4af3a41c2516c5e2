"""doc/benchmarks.json: the latest figures of each subject, beside the page made of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.figure import Figure, restored

# What makes figures of two days those of one machine.
HARDWARE = ("processor", "memory")


@dataclass(frozen=True)
class Section:
    """The figures of one subject.

    Attributes:
        day: when they were taken.
        commit: the commit that was measured; ends in '+' where files had changed since.
        load: the machine's load average over the minute before; nothing if it was not kept.
        figures: what was measured.
    """

    day: str
    commit: str
    load: float | None
    figures: list[Figure]


@dataclass
class Results:
    """All that is known of this machine.

    Attributes:
        machine: what it is, by aspect.
        sections: subject → its figures.
    """

    machine: dict[str, str]
    sections: dict[str, Section] = field(default_factory=dict)

    def data(self) -> dict[str, Any]:
        """Give the results as plain data."""
        return {
            "machine": self.machine,
            "subjects": {
                name: {
                    "day": section.day,
                    "commit": section.commit,
                    "load": section.load,
                    "figures": [figure.data() for figure in section.figures],
                }
                for name, section in self.sections.items()
            },
        }

    def write(self, path: Path) -> None:
        """Write the results as JSON."""
        path.write_text(json.dumps(self.data(), indent=2) + "\n", encoding="utf-8")


def read(path: Path, machine: dict[str, str]) -> Results:
    """Read earlier results of this machine; those of another one and older formats are dropped.

    Args:
        path: file that `Results.write` made; none is like an empty one.
        machine: what this machine is.
    """
    results = Results(machine)
    if not path.exists():
        return results
    data = json.loads(path.read_text(encoding="utf-8"))
    earlier = data.get("machine", {})
    if any(earlier.get(aspect) != machine[aspect] for aspect in HARDWARE):
        return results
    for name, section in data.get("subjects", {}).items():
        figures = [restored(figure) for figure in section["figures"]]
        results.sections[name] = Section(
            section["day"], section["commit"], section["load"], figures
        )
    return results

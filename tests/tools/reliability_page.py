"""doc/reliability.md from what the fault tests kept: `python -m tests.tools.reliability_page`."""

import re
from typing import Any

from tests.bench.machine import machine
from tests.demo.faults.record import FILE, load
from tests.paths import ROOT

PAGE = ROOT / "doc" / "reliability.md"
NUMBERED = re.compile(r"\| \d")
HEAD = """\
# Reliability

For operators who want to know what a fault costs, and for maintainers. Each line is an automated
test (`tests/demo/faults`; between hosts `tests/fleet/test_faults.py`) that breaks the running
platform and looks at it as its users do.

`make test` makes few of each kind; with `DAP_FAULTS=full` before it, all. By themselves, and then
this page from `build/reliability.json`, where lines of faults that were not made again stay:

```sh not run: breaks platforms on purpose, for minutes
DAP_FAULTS=full .venv/bin/python -m pytest tests/demo/faults
make test-fleet
.venv/bin/python -m tests.tools.reliability_page
```

Only containers of the demo's platform, copies of them and hosts that the tests made are hurt. The
Docker engine is restarted with `CI=1` or `DAP_FAULTS=full`, and only if no other container is on
the machine.
"""


def cell(text: object) -> str:
    """Write a value so that it stays within its cell."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def figures(seen: dict[str, Any]) -> str:
    """Write figures as `name value`, a unit after its value."""
    parts = []
    for name, value in seen.items():
        unit = " s" if name.endswith("_s") else ""
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        parts.append(f"{name.removesuffix('_s').replace('_', ' ')}: {shown}{unit}")
    return cell("; ".join(parts))


def row(entry: dict[str, Any]) -> str:
    """Write one fault as a row of the table."""
    form = "full" if entry["full"] else "short"
    columns = (
        str(entry["row"]),
        cell(entry["fault"]),
        cell(entry["expected"]),
        figures(entry["seen"]),
        f"{entry['day']}, {form}",
    )
    return f"| {' | '.join(columns)} |"


def rows(entries: list[dict[str, Any]], before: str) -> list[str]:
    """Write all faults in the order of their numbers: those kept, and others that the page has."""
    found = {line.split(" | ")[1]: line for line in before.splitlines() if NUMBERED.match(line)}
    found |= {cell(entry["fault"]): row(entry) for entry in entries}
    return [found[fault] for fault in sorted(found, key=lambda f: (number(found[f]), f))]


def number(line: str) -> int:
    """Return the number of a row's fault in the list of all that can fail."""
    return int(line.split("|")[1])


def page(entries: list[dict[str, Any]], facts: dict[str, str], before: str) -> str:
    """Write the page anew; `before` is the page as it is."""
    described = "; ".join(f"{key} {value}" for key, value in facts.items())
    return "\n".join(
        [
            HEAD,
            f"Machine: {described}.",
            "",
            "| # | fault | expected | seen | when |",
            "|---|---|---|---|---|",
            *rows(entries, before),
            "",
        ]
    )


def main() -> None:
    """Write the page."""
    before = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page(load(FILE), machine(), before), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

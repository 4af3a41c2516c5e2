"""The part of doc/kubernetes.md that the keys are in: `make docs` writes it, a test keeps it."""

from collections.abc import Mapping

from dap.cluster import keys

from tests.paths import ROOT

PAGE = ROOT / "doc" / "kubernetes.md"
HEADING = "## What becomes of each line of the catalogue\n"
TABLES: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("key of a service in `compose.yml`", keys.SERVICE),
    ("key of its `healthcheck`", keys.HEALTHCHECK),
    ("key of its `x-dap`", keys.OPTIONS),
    ("key of a volume", keys.VOLUME),
    ("key that is refused: why", keys.REFUSED),
)


def page() -> str:
    """Write the page: what stands there, with the part below the heading made anew."""
    above = PAGE.read_text(encoding="utf-8").partition(HEADING)[0]
    return above + HEADING + "".join(table(title, rows) for title, rows in TABLES)


def table(title: str, rows: Mapping[str, str]) -> str:
    """Write a table of keys and what becomes of each."""
    head = f"\n| {title} | |\n|---|---|\n"
    return head + "".join(f"| `{key}` | {what} |\n" for key, what in rows.items())


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()

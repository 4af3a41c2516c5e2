"""Shows a person how a platform is: a table as wide as the terminal has room for, then words."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from dap.findings import tell
from dap.status.judge import Row, size
from dap.status.survey import Survey

# From all columns to those that fit 80 characters.
_LAYOUTS = (
    ("SERVICE", "HOST", "STATE", "HEALTH", "IMAGE", "DIGEST", "MEMORY", "CPU", "ADDRESS"),
    ("SERVICE", "HOST", "STATE", "HEALTH", "MEMORY", "CPU", "ADDRESS"),
    ("SERVICE", "STATE", "HEALTH", "MEMORY", "CPU", "ADDRESS"),
)
_RIGHT = {"MEMORY", "CPU"}
_DIGEST = 12  # characters that tell one from another


def show(found: Survey, console: Console) -> None:
    """Print the table, disks, certificates and what is wrong, which comes last."""
    rows = [row for host in found.hosts for row in host.rows]
    if rows:
        shown = _table(rows, console)
        console.print(shown, soft_wrap=False)
        if len(shown.columns) < len(_LAYOUTS[0]):
            console.print("Host, image and digest: in a wider terminal, or JSON=1", style="dim")
        console.print()
    for host in found.hosts:
        for disk in host.disks:
            free = f"{disk['free'] / 2**30:.0f} GiB ({disk['left']:.0%}) free"
            used = f"{disk['used'] / 2**30:.0f} GiB used"
            where = " and ".join(disk["places"])
            _line(console, f"disk         {free}, {used}: {where} on {host.host}")
        for certificate in host.certificates:
            days = f"{certificate.days} days, until {certificate.until:%Y-%m-%d}"
            _line(console, f"certificate  {certificate.name}: {days}")
    wrong = [row for row in rows if not row.well]
    if found.findings and rows:
        console.print()
    tell(found.findings, console)
    if found.silent or found.bare:
        return
    if wrong:
        count = f"{len(wrong)} of {len(rows)} services not well"
        console.print(f"{found.platform}: {count}", style="red", highlight=False)
    else:
        what = "services are well" + (", but see above" if found.status else "")
        console.print(f"{found.platform}: all {len(rows)} {what}", highlight=False)


def _line(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False)


def _table(rows: list[Row], console: Console) -> Table:
    table = Table()
    for layout in _LAYOUTS:
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
        for name in layout:
            # What has no room goes on below: an address must stay whole to be copied.
            table.add_column(name, justify="right" if name in _RIGHT else "left", overflow="fold")
        full = layout is not _LAYOUTS[-1]
        for row in rows:
            cells = _cells(row, full=full)
            table.add_row(*(cells[name] for name in layout))
        if Measurement.get(console, console.options, table).maximum < console.width:
            return table
    return table


def _cells(row: Row, *, full: bool) -> dict[str, Text]:
    color = "green" if row.well else "red"
    limit = f"/{size(row.memory_limit)}" if row.memory_limit else ""
    memory = f"{size(row.memory_used)}{limit}" if row.memory_used is not None else ""
    addresses = [a if full else a.removeprefix("https://") for a in row.addresses]
    return {
        "SERVICE": Text(row.service),
        "HOST": Text(row.host),
        "STATE": Text(row.state, color),
        "HEALTH": Text(row.health, color),
        "IMAGE": Text(row.image),
        "DIGEST": Text(row.digest.removeprefix("sha256:")[:_DIGEST]),
        "MEMORY": Text(memory),
        "CPU": Text("" if row.cpu_percent is None else f"{row.cpu_percent:.1f}%"),
        "ADDRESS": Text("\n".join(addresses)),
    }

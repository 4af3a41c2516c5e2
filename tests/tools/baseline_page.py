"""The part of doc/baseline.md that the controls are in: `make docs` writes it, a test keeps it."""

from collections import Counter

from tests.fleet.baseline.controls import CONTROLS, Control
from tests.paths import ROOT

PAGE = ROOT / "doc" / "baseline.md"
HEADING = "## Measured\n"
AFTER = """
SSH is asked for the settings that server and client read themselves (`sshd -T`, `ssh -G`),
in whichever file they stand. Tests deploy to a fresh Debian 12 and ask there. It is a
container, whose kernel is the machine's: the parameters of sysctl-30, 31a, 32 and 34 are set
on hosts that are none alone, and are compared with what would be set.
"""


def cell(text: str) -> str:
    """Write a value so that it stays within its cell."""
    return text.replace("|", "\\|")


def row(control: Control) -> str:
    """Write a control as a row of the table."""
    how = f"switch `{control.switch}`" if control.switch else ""
    remark = "; ".join(part for part in (how, control.why) if part)
    return f"| {control.id} | {cell(control.title)} | {control.outcome} | {cell(remark)} |"


def page() -> str:
    """Write the page: what stands there, with the part below the heading made anew."""
    above = PAGE.read_text(encoding="utf-8").partition(HEADING)[0]
    count = Counter(control.outcome for control in CONTROLS)
    asked = len(CONTROLS) - count["not asked"]
    each = []
    for profile in ("linux-baseline", "ssh-baseline"):
        mine = [c for c in CONTROLS if c.profile == profile and c.outcome != "not asked"]
        each.append(f"{sum(c.outcome == 'holds' for c in mine)} of {len(mine)} of {profile}")
    said = (
        f"Of the {len(CONTROLS)} controls of dev-sec's profiles linux-baseline and ssh-baseline "
        f"(Apache-2.0),\n{asked} are for such a host. {count['holds']} hold "
        f"({' and '.join(each)}), {count['fails']} do not:\n"
    )
    head = ["| control | asks for | | why |", "|---|---|---|---|"]
    fails = [row(c) for c in CONTROLS if c.outcome == "fails"]
    rest = [row(c) for c in CONTROLS if c.outcome != "fails"]
    lines = [said, *head, *fails, AFTER, "## All others", "", *head, *rest]
    return above + HEADING + "\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()

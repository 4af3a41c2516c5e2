"""Where the platform's names lead to, at a place where commands run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from acceptance.findings import expect_none
from acceptance.place import Place

LOOK_UP = """\
for name; do
    getent ahosts "$name" | while read -r address rest; do echo "$name $address"; done
done
"""


def found_by(run: Callable[..., str], host: Place) -> dict[str, list[str]]:
    """Return where the names of a host lead to, at the place where `run` runs a command."""
    said = run("sh", "-c", LOOK_UP, "sh", *host.names).splitlines()
    pairs = {tuple(line.split()) for line in said}
    return {name: sorted(address for n, address in pairs if n == name) for name in host.names}


def expect_all_at(found: Mapping[str, list[str]], address: str, remedy: str) -> None:
    """Go on if every name leads to one address alone."""
    expect_none(
        (
            f"{name} leads to {' and '.join(addresses) or 'nowhere'}, not to {address}"
            for name, addresses in found.items()
            if addresses != [address]
        ),
        remedy,
    )


def expect_found(found: Mapping[str, list[str]], remedy: str) -> None:
    """Go on if every name leads somewhere."""
    expect_none((f"{name} leads nowhere" for name, each in found.items() if not each), remedy)

"""The objects in the cluster are what the settings say, and nothing is beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from acceptance import expect_none
from acceptance.cluster import Cluster, amount
from dap.stack.live import SWEPT

REMEDY = "make plan shows what differs; make deploy sets it right"
# What the API writes in its own form, or never shows again.
AMOUNTS = {"cpu", "memory", "storage", "requests.cpu", "requests.memory", "requests.storage"}


def test_as_the_settings_say(host: Cluster) -> None:
    """Each field that is asked for; what the cluster adds by itself is its own."""
    problems = []
    for wanted in host.planned.platform:
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        there = host.kinds[wanted["apiVersion"], kind].get(name)
        if there is None:
            problems.append(f"{kind} {name} is missing")
            continue
        places = list(differing(wanted, there))
        if places:
            problems.append(f"{kind} {name} differs in {', '.join(places)}")
    expect_none(problems, REMEDY)


def differing(wanted: object, there: object, path: str = "") -> Iterator[str]:
    """Yield the places where what is there is not what was asked for, and nothing of values."""
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        for key, value in wanted.items():
            if key in there or not empty(value):
                yield from differing(value, there.get(key), f"{path}.{key}" if path else key)
    elif isinstance(wanted, list | tuple) and isinstance(there, list | tuple):
        if len(wanted) != len(there):
            yield path
            return
        for index, (one, other) in enumerate(zip(wanted, there, strict=True)):
            yield from differing(one, other, f"{path}[{index}]")
    elif wanted != there and not same_amount(path, wanted, there):
        yield path


def empty(value: object) -> bool:
    """Tell whether a value is what the API leaves out."""
    return value in (None, {}, [], "", False, ())


def same_amount(path: str, one: Any, other: Any) -> bool:
    """Tell whether two quantities are the same, however they are written."""
    if not any(path.endswith(key) for key in AMOUNTS) or None in (one, other):
        return False
    return amount(one) == amount(other)


def test_nothing_beside_them(host: Cluster) -> None:
    """No object says that it is the platform's and is not."""
    planned = (*host.planned.platform, *host.planned.tasks)
    names = {(each["kind"], each["metadata"]["name"]) for each in planned}
    expect_none(
        (
            f"{kind} {name} says that it is the platform's, and is not planned"
            for version, kind in SWEPT
            for name, each in host.kinds[version, kind].items()
            if host.is_ours(each) and (kind, name) not in names
        ),
        REMEDY,
    )

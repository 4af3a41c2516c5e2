"""The machine itself: kernel, clock, graphics cards, Docker's engine."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.dap_host import CommandError, run
from ansible.module_utils.dap_requirements import (
    BUILDX_MINIMUM,
    COMPOSE_MINIMUM,
    ENGINE_MINIMUM,
    Finding,
    finding,
    version,
)

CONTROLLERS = {"cpu", "memory", "pids"}  # what limits of containers are made of
NVIDIA, DISPLAY = "0x10de", "0x03"  # PCI: vendor, class of display controllers
UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
# One answer's header has whole seconds and took some time to come.
CLOCK_WARNING_S = 10
# Signatures of S3 requests are refused from 15 min on; certificates and tokens of others sooner.
CLOCK_PROBLEM_S = 300


def kernel() -> Iterator[Finding]:
    """Judge the kernel's control groups."""
    release = os.uname().release
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    if unified.exists():
        kind, found = "v2", set(unified.read_text(encoding="ascii").split())
    else:
        rows = Path("/proc/cgroups").read_text(encoding="ascii").splitlines()[1:]
        kind, found = "v1", {row.split()[0] for row in rows if row.split()[-1] == "1"}
    missing = sorted(CONTROLLERS - found)
    if missing:
        what = f"kernel {release} lets nobody limit {', '.join(missing)} (control groups {kind})"
        remedy = "boot with cgroup_enable=memory, or use another kernel"
        yield finding("problem", "kernel", what, remedy)
    else:
        yield finding("ok", "kernel", f"{release}, control groups {kind}")


def synchronised() -> bool | None:
    """Tell whether something keeps the clock right; None if the kernel does not say."""
    if Path("/run/systemd/system").is_dir() and shutil.which("timedatectl"):
        told = run(["timedatectl", "show", "--property=NTPSynchronized", "--value"]).stdout.strip()
        if told:
            return told == "yes"
    # struct timex, all zero: asks, sets nothing.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    return None if state < 0 else state != UNSYNCHRONISED


def clock(offset_s: float | None) -> Iterator[Finding]:
    """Judge the clock; `offset_s`: how far it is ahead of a package mirror's, None if unknown."""
    kept = synchronised()
    if offset_s is None:
        beside = "no mirror to compare it with"
    elif abs(offset_s) <= CLOCK_WARNING_S:
        beside = "right by a package mirror's"
    else:
        beside = f"{abs(offset_s):.0f} s {'ahead of' if offset_s > 0 else 'behind'} a mirror's"
    remedy = "install systemd-timesyncd or chrony, or have the machine's host keep its clock"
    if offset_s is not None and abs(offset_s) > CLOCK_PROBLEM_S:
        yield finding("problem", "clock", beside, f"set it; {remedy}")
    elif offset_s is not None and abs(offset_s) > CLOCK_WARNING_S:
        yield finding("warning", "clock", beside, remedy)
    elif kept:
        yield finding("ok", "clock", f"kept by NTP; {beside}")
    elif offset_s is not None:
        yield finding("ok", "clock", f"{beside}; not kept by NTP as far as the kernel knows")
    else:
        yield finding("warning", "clock", f"not kept by NTP; {beside}", remedy)


def engine(docker: dict[str, Any], needed: bool) -> Iterator[Finding]:
    """Judge Docker's engine, Compose and buildx; `needed`: a platform runs on it."""
    if not docker["running"]:
        client = shutil.which("docker") is not None
        what = "Docker's engine does not answer" if client else "Docker is not there"
        if needed:
            yield finding("problem", "docker", what, "make deploy starts it, or installs it")
        else:
            yield finding(
                "ok", "docker", f"{what}; a deploy {'starts' if client else 'installs'} it"
            )
        return
    old = []
    tools = (
        ("engine", docker["engine"], ENGINE_MINIMUM),
        ("Compose", docker["compose"], COMPOSE_MINIMUM),
        ("buildx", docker["buildx"], BUILDX_MINIMUM),
    )
    for name, there, least in tools:
        if version(there) < least:
            needs = ".".join(map(str, least))
            old.append(f"{name} is {there or 'not there'}, {needs} needed")
    if not old:
        yield finding("ok", "docker", ", ".join(f"{name} {there}" for name, there, _ in tools))
    elif docker["installed"]:  # a deploy leaves an engine with good tools alone
        yield finding("problem", "docker", "; ".join(old), "update Docker by its packages")
    else:
        yield finding("warning", "docker", "; ".join(old), "a deploy installs newer packages")


def graphics_of(docker: dict[str, Any]) -> Callable[[], Iterator[Finding]]:
    """Judge driver and toolkit if there is a card of NVIDIA's."""

    def check() -> Iterator[Finding]:
        cards = nvidia_cards()
        driver = nvidia_driver()
        if not cards and not driver:
            yield finding("ok", "gpu", "none of NVIDIA's")
        elif not driver:
            what = f"{cards} of NVIDIA's, but no driver"
            yield finding("warning", "gpu", what, "install the driver: nvidia-driver of Debian")
        elif "nvidia" in docker.get("runtimes", []) or shutil.which("nvidia-ctk"):
            yield finding("ok", "gpu", f"{cards or 'some'} of NVIDIA's, driver {driver}, toolkit")
        else:
            what = f"{cards or 'some'} of NVIDIA's, driver {driver}, but no NVIDIA toolkit"
            remedy = "install nvidia-container-toolkit, then: nvidia-ctk runtime configure"
            yield finding("warning", "gpu", what, remedy)

    return check


def nvidia_cards() -> int:
    """Count NVIDIA's display controllers on the PCI bus."""
    found = 0
    for device in Path("/sys/bus/pci/devices").glob("*"):
        vendor, kind = device / "vendor", device / "class"
        if vendor.exists() and vendor.read_text().strip() == NVIDIA:
            found += kind.read_text().startswith(DISPLAY)
    return found


def nvidia_driver() -> str:
    """Return the version of NVIDIA's driver, empty if it is not loaded or does not answer."""
    told = Path("/proc/driver/nvidia/version")
    if told.exists():
        match = re.search(r"Module\s.*?(\d+(?:\.\d+)+)", told.read_text(encoding="ascii"))
        if match:
            return match[1]
    try:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        done = run(query, timeout_s=20)
    except CommandError:
        return ""
    return done.stdout.split("\n")[0].strip() if done.returncode == 0 else ""

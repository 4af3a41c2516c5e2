"""The machine that figures are taken on, and what is measured there."""

import os
import sys
from pathlib import Path

from demo.project import ROOT, run


def machine() -> dict[str, str]:
    """Describe this machine by aspect."""
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    release = dict(
        line.split("=", 1)
        for line in Path("/etc/os-release").read_text().splitlines()
        if "=" in line
    )
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": f"{os.cpu_count()} x {models[0] if models else 'unknown'}",
        "memory": f"{memory_kib / 1024**2:.0f} GiB",
        "system": release.get("PRETTY_NAME", "").strip('"'),
        "kernel": os.uname().release,
        "Docker": run("docker", "version", "--format", "{{.Server.Version}}").strip(),
        "Python": sys.version.split()[0],
    }


def commit() -> str:
    """Name the commit that is checked out; '+' where files have changed, 'none' without git."""
    if not (ROOT / ".git").exists():
        return "none"
    changed = run("git", "status", "--porcelain", "--untracked-files=no", cwd=ROOT).strip()
    return run("git", "rev-parse", "--short", "HEAD", cwd=ROOT).strip() + ("+" if changed else "")

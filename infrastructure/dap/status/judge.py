"""From the facts of a host to a row for each service and to what is wrong, in words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from dap.findings import Finding, Level
from dap.secrets.certificates import RENEWAL

# Share of its limit at which a service is close to being killed.
_MEMORY_CLOSE = 0.9
_SAID = 100  # characters of what a health check said
_UNITS = ((86400, "days"), (3600, "h"), (60, "min"), (1, "s"))

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """A service as it is now: memory in bytes, processor use in percent of one core."""

    service: str
    host: str
    state: str
    health: str
    image: str
    digest: str
    memory_used: int | None
    memory_limit: int | None
    cpu_percent: float | None
    addresses: tuple[str, ...]
    restarts: int
    well: bool


@dataclass(frozen=True)
class Certificate:
    """A certificate's name for people and its last day; `days` are left (negative: over)."""

    name: str
    until: dt.datetime
    days: int


@dataclass(frozen=True)
class HostStatus:
    """A host's services, disks (places, total, used and free bytes) and certificates."""

    host: str
    rows: tuple[Row, ...]
    disks: tuple[Facts, ...]
    certificates: tuple[Certificate, ...]
    findings: tuple[Finding, ...]


def judge(
    facts: Facts, now: dt.datetime, mask: Callable[[str], str] = lambda text: text
) -> HostStatus:
    """Judge what `dap.onhost.status` found on a host where the platform is deployed.

    Args:
        facts: with a plan.
        now: the time to judge certificates at.
        mask: takes secrets out of what a health check said.
    """
    plan = facts["plan"]
    host = plan["host"]
    findings: list[Finding] = []

    def tell(level: Level, where: str, what: str, remedy: str) -> None:
        findings.append(Finding(level, host, where, what, remedy))

    if "error" in facts["engine"]:
        what = f"Docker's engine does not answer: {facts['engine']['error']}"
        tell("problem", "docker", what, "make doctor says more")
    planned = {s["name"]: s for s in plan["services"] if s["host"] == host and not s["task"]}
    found = {each["service"]: each for each in facts["containers"]}
    rows = []
    for name in sorted({*planned, *found}):
        mine = list(_of_service(name, planned.get(name), found.get(name), now, mask))
        if name in found and found[name]["state"] == "running":
            mine += _strained(name, found[name], plan["settings"])
        if "error" not in facts["engine"]:
            for level, what, remedy in mine:
                tell(level, name, what, remedy)
        well = not any(level == "problem" for level, _, _ in mine)
        rows.append(_row(name, plan, planned.get(name), found.get(name), well))
    for disk in facts["disks"]:
        free = f"{disk['free'] / 2**30:.1f} GiB ({disk['left']:.0%}) free for "
        free += " and ".join(disk["places"])
        if disk["level"] != "ok":
            tell(disk["level"], "disk", free, "free or add disk space")
    for each in facts["watched"]:
        tell(each["level"], each["where"], each["what"], each["remedy"])
    certificates = []
    for name, told in facts["certificates"].items():
        if "error" in told:
            tell("problem", "certificate", f"{name}: {told['error']}", _NO_CERTIFICATE[name])
            continue
        own = bool(plan["settings"]["tls"]["certificate"])
        certificate, wrong = judge_certificate(CERTIFICATES[name], told["pem"], now, own=own)
        certificates.append(certificate)
        for level, what, remedy in wrong:
            tell(level, "certificate", what, remedy)
    return HostStatus(
        host, tuple(rows), tuple(facts["disks"]), tuple(certificates), tuple(findings)
    )


def judge_certificate(
    name: str, pem: str, now: dt.datetime, *, own: bool
) -> tuple[Certificate, list[tuple[Level, str, str]]]:
    """Return how long a certificate holds, and what is wrong with it: level, what, remedy.

    Args:
        name: of it, for people.
        pem: the certificate.
        now: the time to judge it at.
        own: it is the user's own.
    """
    certificate = x509.load_pem_x509_certificate(pem.encode())
    until = certificate.not_valid_after_utc
    renew = "replace the files that tls names, then make deploy" if own else "make deploy"
    ends = f"{name} {{}} on {until:%Y-%m-%d}"
    wrong: list[tuple[Level, str, str]] = []
    if until <= now:
        wrong.append(("problem", ends.format("ended"), renew))
    elif until - now < RENEWAL:
        wrong.append(("warning", ends.format("ends"), renew))
    if certificate.not_valid_before_utc > now:
        begins = f"{name} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        wrong.append(("problem", begins, "set the clock of this machine and of the host"))
    return Certificate(name, until, (until - now).days), wrong


CERTIFICATES = {
    "server": "the server's certificate",
    "host": "the host's certificate",
    "authority": "the CA's certificate",
}
_NO_CERTIFICATE = {
    "host": "make deploy; make logs shows what the services say",
    "server": "make deploy; make logs shows what the services say",
    "authority": "make deploy puts it there",
}


def _row(name: str, plan: Facts, planned: Facts | None, found: Facts | None, well: bool) -> Row:
    there = found or {}
    here = (name, plan["host"])
    routes = [each["url"] for each in plan["routes"] if (each["service"], each["host"]) == here]
    streams = [
        f"{each['hostname']}:{each['listen']}"
        for each in plan["streams"]
        if (each["service"], each["host"]) == here
    ]
    return Row(
        service=name,
        host=plan["host"],
        state="stopped" if there.get("rests") else there.get("state", "missing"),
        # Of a container that does not run the engine tells the last it knew.
        health=there["health"] if there.get("state") == "running" else "",
        image=there.get("image", (planned or {}).get("image", "")),
        digest=there.get("digest", ""),
        memory_used=there.get("memory_used"),
        memory_limit=there.get("memory_limit"),
        cpu_percent=there.get("cpu_percent"),
        addresses=(*routes, *streams),
        restarts=there.get("restarts", 0),
        well=well,
    )


def _of_service(
    name: str,
    planned: Facts | None,
    found: Facts | None,
    now: dt.datetime,
    mask: Callable[[str], str],
) -> Iterator[tuple[Level, str, str]]:
    """Yield what is wrong with a service: level, what, remedy."""
    logs = f"make logs SERVICE={name} says why"
    if planned is None:
        yield "warning", "runs, but was not deployed", "make deploy removes it"
    if found is None:
        yield "problem", "has no container", "make deploy"
        return
    state, health = found["state"], found["health"]
    if found["rests"] and planned is not None:
        last = mask(found["last_words"]).strip()[:_SAID]
        what = f"is stopped since {_ago(found['finished'], now)}" + (f": {last}" if last else "")
        yield "ok", what, f"make workspace NAME={name} start"
        return
    if state == "running":
        since = _ago(found["started"], now)
        if health == "starting":
            yield "problem", f"is starting since {since}", f"wait; if it stays so, {logs}"
        elif health == "unhealthy":
            lines = mask(found["said"]).strip().splitlines()
            said = f": {lines[-1].strip()[:_SAID]}" if lines else ""
            yield "problem", f"is unhealthy{said}", logs
    elif state == "paused":
        yield "problem", "is paused", f"on the host: docker unpause {found['container']}"
    elif state == "created":
        why = f": {found['error']}" if found["error"] else ""
        yield "problem", f"was never started{why}", "make deploy"
    elif state == "restarting":
        what = f"fails and is started again and again ({found['restarts']} times)"
        yield "problem", f"{what}, {_ending(found)}", logs
    else:
        what = f"is stopped since {_ago(found['finished'], now)}, {_ending(found)}"
        yield "problem", what, f"{logs}; make deploy starts it"
    if planned is not None and planned["image"] != found["image"]:
        what = f"runs {found['image']}, deployed is {planned['image']}"
        yield "warning", what, "make deploy"


def _strained(name: str, found: Facts, settings: Facts) -> Iterator[tuple[Level, str, str]]:
    workspaces = {workspace["name"] for workspace in settings["workspaces"]}
    place = f"of the workspace {name}" if name in workspaces else f"as resources.{name}.memory"
    more = f"raise its memory in platform.yml, {place}"
    if found["oom_kills"]:
        what = f"the kernel killed {found['oom_kills']} of its processes for lack of memory"
        yield "warning", f"{what} (limit {size(found['memory_limit'])})", more
    used, limit = found["memory_used"], found["memory_limit"]
    if used and limit and used > limit * _MEMORY_CLOSE:
        yield "warning", f"uses {size(used)} of {size(limit)} of memory", more
    if found["restarts"]:
        what = f"failed and was started again ({found['restarts']} times)"
        yield "warning", what, f"make logs SERVICE={name} says why"


def _ending(found: Facts) -> str:
    ending = f"exit status {found['exit_status']}"
    if found["out_of_memory"]:
        ending += f", out of memory (limit {size(found['memory_limit'])})"
    return f"{ending}: {found['error']}" if found["error"] else ending


def _ago(text: str, now: dt.datetime) -> str:
    """Return how long a time of the engine's is past, in its largest unit."""
    # Nanoseconds, of which Python reads six digits.
    then = dt.datetime.fromisoformat(text[:19]).replace(tzinfo=dt.UTC)
    seconds = max(0, int((now - then).total_seconds()))
    length, unit = next((each for each in _UNITS if seconds >= each[0]), (1, "s"))
    return f"{seconds // length} {unit}"


def size(count: int | None) -> str:
    """Return bytes as people read them: 512M, 1.5G."""
    if count is None:
        return ""
    mib = count / 2**20
    return f"{mib:.0f}M" if mib < 1000 else f"{mib / 1024:.1f}".removesuffix(".0") + "G"

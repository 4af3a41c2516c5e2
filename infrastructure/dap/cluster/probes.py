"""Compose's health checks as probes."""

from __future__ import annotations

from typing import Any

from dap.cluster import amounts
from dap.cluster.model import Container, Probe
from dap.cluster.source import Part

# Docker's own defaults, Dockerfile reference, HEALTHCHECK.
_DEFAULTS = {"interval": "30s", "timeout": "30s", "retries": 3, "start_interval": "5s"}
_NEVER_S = 10 * 365 * 86400


def add_probes(container: Container, part: Part) -> None:
    """Give a container the probes of the part's health check.

    A startup probe looks often until the program is there, and waits as long as that takes: a
    database that replays its log must not be killed. Then a readiness probe keeps away who would
    ask in vain. There is no liveness probe: what answers late under load is not helped by being
    killed, and Docker's engine starts nothing anew that is not well either.
    """
    given = part.keys.get("healthcheck")
    if not given or given.get("disable"):
        return
    health: dict[str, Any] = {**_DEFAULTS, **given}
    command = _command(part, health.get("test"))
    if command is None:
        return

    def duration(key: str) -> int:
        return part.read(f"healthcheck.{key}", amounts.whole_seconds, health[key]) or 1

    often = duration("start_interval")
    container["startupProbe"] = _probe(command, often, duration("timeout"), _NEVER_S // often)
    container["readinessProbe"] = _probe(
        command, duration("interval"), duration("timeout"), int(health["retries"])
    )


def _probe(command: list[str], period: int, timeout: int, failures: int) -> Probe:
    return {
        "exec": {"command": command},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def _command(part: Part, test: object) -> list[str] | None:
    match test:
        case str():
            return ["/bin/sh", "-c", part.plain("healthcheck.test", test)]
        case ["NONE"]:
            return None
        case ["CMD-SHELL", text]:
            return ["/bin/sh", "-c", part.plain("healthcheck.test", str(text))]
        case ["CMD", *words] if words:
            return [part.plain("healthcheck.test", str(word)) for word in words]
        case _:
            raise part.refusal("healthcheck.test", "must begin with CMD, CMD-SHELL or NONE")

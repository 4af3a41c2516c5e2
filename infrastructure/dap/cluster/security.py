"""Security contexts, and which Pod Security Standard a pod meets.

Source: Kubernetes documentation, "Pod Security Standards" (v1.34).
"""

from __future__ import annotations

from typing import Literal

from dap.cluster.model import PodSecurityContext, PodSpec, SecurityContext
from dap.cluster.source import Part

Level = Literal["restricted", "baseline", "privileged"]
_BASELINE_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
        *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
_RESTRICTED_CAPABILITIES = frozenset({"NET_BIND_SERVICE"})
# As Docker has it: a user may listen on any port inside its container.
_ANY_PORT = {"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}
_SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    }
)


def of_pod(part: Part) -> PodSecurityContext:
    """Return whom a part's pod runs as.

    Volumes are given to the group once, when they are new: a program that guards its files by
    their modes, as PostgreSQL does, finds them as it left them.
    """
    user, group = part.ids
    given = part.keys.get("sysctls") or {}
    if isinstance(given, list):
        given = dict(str(each).partition("=")[::2] for each in given)
    sysctls = [{"name": str(name), "value": str(value)} for name, value in given.items()]
    context: PodSecurityContext = {
        "runAsUser": user,
        "runAsGroup": group,
        "runAsNonRoot": user != 0,
        "seccompProfile": {"type": _seccomp(part)},
        "sysctls": [_ANY_PORT, *sysctls],
    }
    if group:
        context["fsGroup"] = group
        context["fsGroupChangePolicy"] = "OnRootMismatch"
    more = [str(each) for each in part.keys.get("group_add") or ()]
    if not all(each.isdigit() for each in more):
        raise part.refusal("group_add", "a cluster needs groups in numbers")
    if more:
        context["supplementalGroups"] = [int(each) for each in more]
    return context


def of_container(part: Part) -> SecurityContext:
    """Return what a part's container may not do."""
    keys = part.keys
    options = list(keys.get("security_opt") or ())
    context: SecurityContext = {
        "allowPrivilegeEscalation": "no-new-privileges:true" not in options,
        "privileged": bool(keys.get("privileged", False)),
        "readOnlyRootFilesystem": bool(keys.get("read_only", False)),
        "capabilities": {},
    }
    for key in ("cap_drop", "cap_add"):
        if keys.get(key):
            verb: Literal["drop", "add"] = "drop" if key == "cap_drop" else "add"
            context["capabilities"][verb] = [str(each) for each in keys[key]]
    return context


def _seccomp(part: Part) -> str:
    kind = "RuntimeDefault"
    for option in part.keys.get("security_opt") or ():
        name, _, value = str(option).replace("=", ":", 1).partition(":")
        match (name, value):
            case ("no-new-privileges", _):
                pass
            case ("seccomp", "unconfined"):
                kind = "Unconfined"
            case _:
                raise part.refusal("security_opt", f"'{option}': can't be done on Kubernetes")
    return kind


def level(spec: PodSpec) -> Level:
    """Return the strictest of the standards that a pod meets."""
    context = spec["securityContext"]
    containers = [*spec["containers"], *spec.get("initContainers", [])]
    names = {each["name"] for each in context["sysctls"]}
    adds = {
        name
        for each in containers
        for name in each["securityContext"]["capabilities"].get("add", [])
    }
    if (
        any(each["securityContext"]["privileged"] for each in containers)
        or context["seccompProfile"]["type"] == "Unconfined"
        or not names <= _SAFE_SYSCTLS
        or not adds <= _BASELINE_CAPABILITIES
    ):
        return "privileged"
    if (
        not context["runAsNonRoot"]
        or not adds <= _RESTRICTED_CAPABILITIES
        or any(each["securityContext"]["allowPrivilegeEscalation"] for each in containers)
        or any(
            "ALL" not in each["securityContext"]["capabilities"].get("drop", [])
            for each in containers
        )
    ):
        return "baseline"
    return "restricted"

"""The platform as this host's own programs meet it: names, trust, routes, streams."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.dap_machine import ANCHORS
from ansible.module_utils.dap_requirements import Finding, finding

BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
DOCKER_CERTIFICATES = Path("/etc/docker/certs.d")
HOSTS = Path("/etc/hosts")
TIMEOUT_S = 15
CLOSED_S = 0.5  # servers that let the client speak first are silent for longer
REFUSED = (401, 403)
THREADS = 8


def names(wanted: list[str], reach: str, runs: bool) -> Iterator[Finding]:
    """Judge whether names lead to the platform's address; `runs`: it is there already."""
    unknown, wrong = [], []
    family = socket.AF_INET6 if ":" in reach else socket.AF_INET
    for name in wanted:
        try:
            told = socket.getaddrinfo(name, None)
        except OSError:
            unknown.append(name)
            continue
        # An address of the other kind is tried in vain, and then this one.
        same_kind = {str(each[4][0]) for each in told if each[0] == family}
        if not same_kind or any(ip_address(each) != ip_address(reach) for each in same_kind):
            wrong.append((name, sorted(same_kind or {str(each[4][0]) for each in told})))
    for name, found in wrong:
        place = hosts_line(name, reach)
        what = f"{name} leads to {' and '.join(found)}, not to {reach} alone"
        if place:
            yield finding("problem", "names", f"{what} ({place})", "mend that line, or remove it")
        else:
            remedy = "mend it in the DNS; behind a router that passes ports on it is right so"
            yield finding("warning", "names", what, remedy)
    if unknown and runs:
        what = f"not found: {', '.join(unknown)}"
        yield finding("problem", "names", what, "make deploy writes them to /etc/hosts, or use DNS")
    elif unknown:
        few = unknown[0] + (f" and {len(unknown) - 1} more" if unknown[1:] else "")
        what = f"{few} not in the DNS: a deploy writes them to this host's /etc/hosts"
        yield finding("ok", "names", what)
    if not wrong and not unknown:
        yield finding("ok", "names", f"all {len(wanted)} lead to {reach}")


def hosts_line(name: str, reach: str) -> str:
    """Return which line of /etc/hosts leads a name astray; empty if none does."""
    lines = HOSTS.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        address, *told = line.partition("#")[0].split() or [""]
        if name in told and ip_address(address) != ip_address(reach):
            return f"{HOSTS} line {number}: {address}"
    return ""


def trust(project: str, certificate: str, registry: str) -> Iterator[Finding]:
    """Judge whether this host's programs and its Docker engine trust the platform's CA."""
    anchor = ANCHORS / f"dap-{project}.crt"
    if not anchor.exists() or not same(anchor.read_text(encoding="utf-8"), certificate):
        what = f"the platform's CA is not in {anchor}"
        yield finding("problem", "trust", what, "make deploy")
        return
    if not BUNDLE.exists() or body(certificate) not in body(BUNDLE.read_text(encoding="utf-8")):
        what = f"the platform's CA is not in {BUNDLE}: programs here refuse its pages"
        yield finding("problem", "trust", what, "on the host, as root: update-ca-certificates")
        return
    if registry:
        path = DOCKER_CERTIFICATES / registry / "ca.crt"
        if not path.exists() or not same(path.read_text(encoding="utf-8"), certificate):
            what = f"the platform's CA is not in {path}: Docker refuses its registry"
            yield finding("problem", "trust", what, "make deploy")
            return
    yield finding("ok", "trust", "this host's programs and Docker trust the platform's CA")


def body(text: str) -> str:
    """Return PEM without its lines' ends and all that is between certificates."""
    return "".join(text.split())


def same(one: str, other: str) -> bool:
    """Tell whether two texts in PEM hold the same."""
    return body(one) == body(other)


def routes(planned: list[dict[str, Any]], host: str) -> Iterator[Finding]:
    """Ask each route of this host by its name, over TLS that this host's programs trust."""
    mine = [route for route in planned if route["host"] == host]
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        wrong = [found for found in pool.map(route_answer, mine) if found]
    yield from wrong
    if len(mine) > len(wrong):
        what = f"{len(mine) - len(wrong)} of {len(mine)} answer over TLS and refuse strangers"
        yield finding("ok", "routes", what)


def route_answer(route: dict[str, Any]) -> Finding | None:
    """Return what is wrong with a route, None if nothing is."""
    url = urlsplit(route["url"])
    name = route["hostname"]
    logs = f"make logs SERVICE={route['service']} says why"
    try:
        context = ssl.create_default_context(cafile=str(BUNDLE))
        connection = http.client.HTTPSConnection(
            name, url.port or 443, timeout=TIMEOUT_S, context=context
        )
        connection.request("GET", route["refuses"])
        status = connection.getresponse().status
        connection.close()
    except socket.gaierror:
        return finding("problem", "routes", f"{url.geturl()}: the name is not found", "make deploy")
    except ssl.SSLCertVerificationError as error:
        what = f"{url.geturl()}: {error.verify_message}"
        return finding("problem", "routes", what, "see trust, names and certificate above")
    except (OSError, http.client.HTTPException) as error:
        what = f"{url.geturl()} does not answer: {error}"
        return finding("problem", "routes", what, "make status shows whether the proxy runs")
    if status >= 500:
        what = f"{url.geturl()} answers {status}: {route['service']} does not answer the proxy"
        return finding("problem", "routes", what, logs)
    if status not in REFUSED:
        what = f"{url.geturl()}{route['refuses']} answers a stranger with {status}"
        return finding("problem", "routes", what, f"is something else at this address? {logs}")
    return None


def streams(planned: list[dict[str, Any]], host: str, reach: str) -> Iterator[Finding]:
    """Connect to each TCP port that the proxy of this host passes on."""
    mine = [stream for stream in planned if stream["host"] == host]
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        reasons = list(pool.map(lambda stream: stream_refusal(reach, stream["listen"]), mine))
    for stream, reason in zip(mine, reasons, strict=True):
        if reason:
            what = f"{stream['hostname']} port {stream['listen']}: {reason}"
            remedy = f"make logs SERVICE={stream['service']} says why"
            yield finding("problem", "streams", what, remedy)
    if not all(reasons):
        yield finding("ok", "streams", f"{reasons.count('')} of {len(mine)} TCP ports answer")


def stream_refusal(address: str, port: int) -> str:
    """Return why a TCP port does not answer, empty if it does."""
    try:
        with socket.create_connection((address, port), timeout=TIMEOUT_S) as connection:
            connection.settimeout(CLOSED_S)
            # The proxy accepts first, and hangs up if nobody is behind it.
            if connection.recv(1) == b"":
                return "the proxy answers, the service behind it does not"
    except TimeoutError:
        return ""
    except OSError as error:
        return f"does not answer: {error}"
    return ""

"""Every route answers over TLS that a client can verify, and lets nobody in unknown."""

from __future__ import annotations

from typing import Any

import certifi
import pytest
import requests
from acceptance import Deployed, expect
from dap.plan import Route

TIMEOUT_S = 30


def ask(platform: Deployed, client: requests.Session, url: str, route: Route) -> Any:
    """Return what a route answers; raises CheckError where it does not, or its TLS is wrong."""
    try:
        return client.get(url, timeout=TIMEOUT_S, allow_redirects=False)
    except requests.RequestException as error:
        expect(False, f"{url} does not answer: {error}", f"{logs(platform, route)}; make deploy")


def logs(platform: Deployed, route: Route) -> str:
    """Return what tells more of a route."""
    return platform.host(route.host).logs(platform.entry, route.service)


def test_answers(platform: Deployed, reader: requests.Session, route: Route) -> None:
    """Over verified TLS: where the proxy asks for a login, with one; else without."""
    if route.auth == "service":
        reader.auth = None
    if route.health is None:
        pytest.skip("it names no path that answers everybody")
    answer = ask(platform, reader, f"{route.url}{route.health}", route)
    expect(
        answer.status_code == 200,
        f"{answer.url} answers {answer.status_code}",
        logs(platform, route),
    )


def test_refuses_strangers(platform: Deployed, web: requests.Session, route: Route) -> None:
    answer = ask(platform, web, f"{route.url}{route.refuses}", route)
    refusals = (401,) if route.auth == "proxy" else (401, 403)
    expect(
        answer.status_code in refusals,
        f"{answer.url} answers {answer.status_code} to somebody without a login",
        f"make deploy; if it stays so, take {route.service} down until it is mended",
    )


def test_plain_http_leads_to_https(platform: Deployed, web: requests.Session, route: Route) -> None:
    port = platform.settings.ports.http
    answer = ask(platform, web, f"http://{route.hostname}:{port}/", route)
    expect(
        answer.status_code in (301, 308) and answer.headers["Location"].startswith(route.url),
        f"{answer.url} answers {answer.status_code} and does not lead to {route.url}",
        "make deploy",
    )


def test_other_authorities_do_not_vouch(platform: Deployed, route: Route) -> None:
    """Shows that the other checks verify: without the platform's own CA the connection fails."""
    if platform.settings.tls.certificate:
        pytest.skip("the certificate is the user's, and public authorities may know it")
    with requests.Session() as session:
        session.trust_env = False
        session.verify = certifi.where()
        with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            session.get(route.url, timeout=TIMEOUT_S)

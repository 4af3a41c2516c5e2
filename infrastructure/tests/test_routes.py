"""Every route answers over TLS that a client can verify, and lets nobody in unknown."""

from __future__ import annotations

import certifi
import pytest
import requests
from dap.engine.observe import Platform
from dap.plan import Route

TIMEOUT_S = 30


def test_refuses_strangers(route: Route, anonymous: requests.Response) -> None:
    assert anonymous.status_code in ((401,) if route.auth == "proxy" else (401, 403))


def test_plain_http_leads_to_https(platform: Platform, web: requests.Session, route: Route) -> None:
    port = platform.prepared.plan.settings.ports.http
    response = web.get(f"http://{route.hostname}:{port}/", timeout=TIMEOUT_S, allow_redirects=False)
    assert response.status_code in (301, 308)
    assert response.headers["Location"].startswith(route.url)


def test_other_authorities_do_not_vouch(platform: Platform, route: Route) -> None:
    """Shows that the other tests verify: without the platform's own CA the connection fails."""
    if platform.prepared.plan.settings.tls.certificate:
        pytest.skip("the certificate is the user's, and public authorities may know it")
    with requests.Session() as session:
        session.trust_env = False
        session.verify = certifi.where()
        with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            session.get(route.url, timeout=TIMEOUT_S)

"""Every route answers over TLS that a client can verify, and lets nobody in unknown."""

from __future__ import annotations

from urllib.parse import urlsplit

import certifi
import pytest
import requests
from dap.engine.observe import Platform
from dap.plan import Route

TIMEOUT_S = 30
# Where a service that authenticates by itself sends a stranger.
LOGIN_WORDS = ("login", "log-in", "signin", "sign_in", "auth")


def test_refuses_strangers(route: Route, anonymous: requests.Response) -> None:
    if route.auth == "proxy":
        assert anonymous.status_code == 401
        return
    if anonymous.status_code in (302, 303, 307):
        path = urlsplit(anonymous.headers["Location"]).path.lower()
        assert any(word in path for word in LOGIN_WORDS), f"redirects to {path}"
        return
    assert anonymous.status_code in (401, 403)


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

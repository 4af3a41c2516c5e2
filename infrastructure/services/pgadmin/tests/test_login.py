"""pgAdmin lets in whom the proxy names, without a login of its own."""

from __future__ import annotations

import requests
from acceptance import Deployed, expect


def test_who_is_let_in_by_the_proxy_is_logged_in(
    platform: Deployed, reader: requests.Session
) -> None:
    routes = platform.prepared.plan.routes
    page = next(route.url for route in routes if route.service == "pgadmin")
    answer = reader.get(page, timeout=60)
    there = answer.ok and answer.url.endswith("/browser/")
    expect(there, f"it answers {answer.status_code} at {answer.url}", "make logs ARGS=pgadmin")

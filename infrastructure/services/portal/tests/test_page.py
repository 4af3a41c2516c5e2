"""The start page leads to everything, and says that it is well."""

from __future__ import annotations

import requests
from acceptance import Deployed, expect, expect_none


def test_cards(platform: Deployed, reader: requests.Session) -> None:
    routes = platform.prepared.plan.routes
    page = next(route.url for route in routes if route.name == "@")
    answer = reader.get(page, timeout=30)
    expect(answer.ok, f"it answers {answer.status_code}", "make logs SERVICE=portal")
    problems = []
    for route in routes:
        if route.portal is None:
            continue
        if route.portal.page and f'"{route.url}/"' not in answer.text:
            problems.append(f"there is no link to {route.url}")
        if route.health is not None:
            status = reader.get(f"{page}/health/{route.name}", timeout=30).status_code
            if status != 200:
                problems.append(f"it says that {route.name} is down ({status})")
    expect_none(problems, "make logs SERVICE=portal; make deploy")

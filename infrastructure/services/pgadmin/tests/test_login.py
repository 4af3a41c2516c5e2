"""pgAdmin lets in whom the proxy names and nobody else, and opens the database it lists."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests
from acceptance import Deployed, expect

SERVICE = "pgadmin"
LOGS = "make logs SERVICE=pgadmin"
# Asked in its own container under its own address: it comes from its network, not from the proxy.
NEIGHBOUR = """
import http.client, socket
connection = http.client.HTTPConnection(socket.gethostname(), 5050, timeout=60)
connection.request("GET", "/", headers={"X-Forwarded-User": "USER", "X-Forwarded-Proto": "https"})
answer = connection.getresponse()
print(answer.status, answer.headers["Location"])
"""


class Window:
    """pgAdmin as its pages ask it, in the name of the client's user."""

    def __init__(self, platform: Deployed, client: requests.Session) -> None:
        routes = platform.prepared.plan.routes
        self._url = next(route.url for route in routes if route.service == SERVICE)
        self._client = client
        page = client.get(self._url, timeout=60)
        there = page.ok and page.url == f"{self._url}/browser/"
        expect(there, f"it answers {page.status_code} at {page.url}", LOGS)
        script = client.get(f"{self._url}/browser/js/utils.js", timeout=60).text
        token = re.search(r"pgAdmin\['csrf_token'\] = '([^']+)'", script)
        expect(token is not None, "its page has no token to ask with", LOGS)
        assert token is not None
        client.headers.update({"Referer": page.url, "X-pgA-CSRFToken": token[1]})

    def ask(self, method: str, path: str, **form: str) -> Any:
        """Return what it answers.

        Raises:
            CheckError: it refuses.
        """
        url = f"{self._url}/browser/{path}"
        answer = self._client.request(method, url, data=form or None, timeout=60)
        expect(answer.ok, f"{path} answers {answer.status_code}: {answer.text[:300]}", LOGS)
        return answer.json()


@pytest.fixture
def window(platform: Deployed, reader: requests.Session) -> Window:
    return Window(platform, reader)


def test_the_listed_server_opens(platform: Deployed, window: Window) -> None:
    user = platform.identity("user", platform.settings.users[0].name)
    groups = [each["_id"] for each in window.ask("GET", "server_group/nodes/")["data"]]
    servers = {
        f"{group}/{server['_id']}": server["username"]
        for group in groups
        for server in window.ask("GET", f"server/nodes/{group}/")["result"]
    }
    place = next((place for place, name in servers.items() if name == user.name), "")
    expect(place, f"{user.name} has no server in the list", "make deploy")
    window.ask("POST", f"server/connect/{place}", password=user.password)
    try:
        found = {each["label"] for each in window.ask("GET", f"database/nodes/{place}/")["data"]}
    finally:
        window.ask("DELETE", f"server/connect/{place}")
    missing = set(user.projects) - found
    expect(not missing, f"{', '.join(sorted(missing))}: not among its databases", "make deploy")


def test_nobody_but_the_proxy_names_users(platform: Deployed) -> None:
    user = platform.settings.users[0].name
    told = platform.execute(SERVICE, "python3", "-c", NEIGHBOUR.replace("USER", user)).strip()
    expect(told == "200 None", f"a neighbour that names a user is told {told}", "make deploy")

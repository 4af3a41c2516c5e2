"""JupyterLab of a running workspace, through the proxy."""

from __future__ import annotations

import json

import requests
from acceptance import Workspace, expect
from acceptance.websocket import RefusedError, WebSocket

PATH = "dap.verify"
EVENT = {
    "schema_id": "https://events.jupyter.org/jupyter_server/contents_service/v1",
    "version": "1",
    "data": {"action": "get", "path": PATH},
}


def test_websocket(workspace: Workspace, web: requests.Session, authority: str) -> None:
    """Of the server's events: it tells what the browser does, and starts no kernel in the home."""
    logs = f"make logs SERVICE={workspace.name}; is the proxy as rendered?"
    url = str(workspace.url)
    web.get(f"{url}/login", timeout=30)
    answer = web.post(
        f"{url}/login",
        data={"password": workspace.password, "_xsrf": web.cookies.get("_xsrf", "")},
        timeout=30,
        allow_redirects=False,
    )
    expect(answer.status_code == 302, f"the login answers {answer.status_code}", logs)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in web.cookies)
    token = {"X-XSRFToken": web.cookies.get("_xsrf") or ""}
    place = f"{url}/api/events/subscribe"
    try:
        with WebSocket(place, authority, {"Cookie": cookies}) as channel:
            web.post(f"{url}/api/events", json=EVENT, headers=token, timeout=30).raise_for_status()
            said = json.loads(channel.receive())
    except RefusedError as refused:
        expect(False, f"the websocket at {place} is refused: {refused}", logs)
        return
    expect(said.get("path") == PATH, f"the websocket says {said}", logs)

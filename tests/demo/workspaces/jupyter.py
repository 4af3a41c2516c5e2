"""Jupyter through the proxy, by its own protocols, as the browser's page uses them."""

import json
import uuid
from typing import Any

import requests
from acceptance.websocket import WebSocket

from demo.access import SYSTEM_CA


class Jupyter:
    """A login to the Jupyter of a workspace.

    Args:
        url: its address behind the proxy.
        password: its owner's.
    """

    def __init__(self, url: str, password: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.verify = str(SYSTEM_CA)
        self.session.get(f"{url}/login", timeout=30)
        data = {"password": password, "_xsrf": self.session.cookies.get("_xsrf", "")}
        answer = self.session.post(f"{url}/login", data=data, timeout=30, allow_redirects=False)
        assert answer.status_code == 302, answer.text[:500]
        self.session.headers["X-XSRFToken"] = self.session.cookies.get("_xsrf") or ""

    def start_kernel(self) -> str:
        """Start a kernel; its id."""
        answer = self.session.post(f"{self.url}/api/kernels", json={}, timeout=60)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def end_kernel(self, kernel: str) -> None:
        """End a kernel."""
        self.session.delete(f"{self.url}/api/kernels/{kernel}", timeout=30).raise_for_status()

    def channel(self, kernel: str) -> WebSocket:
        """Open a kernel's channels."""
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.session.cookies)
        return WebSocket(
            f"{self.url}/api/kernels/{kernel}/channels", str(SYSTEM_CA), {"Cookie": cookies}
        )

    def execute(self, kernel: str, code: str) -> str:
        """Execute a cell; what it printed. An error of the cell fails the test."""
        with self.channel(kernel) as channel:
            asked = ask(channel, code)
            printed = ""
            while True:
                message: dict[str, Any] = json.loads(channel.receive())
                if message["parent_header"].get("msg_id") != asked:
                    continue
                content = message["content"]
                match message["msg_type"]:
                    case "stream":
                        printed += content["text"]
                    case "error":
                        raise AssertionError("\n".join(content["traceback"]))
                    case "status" if content["execution_state"] == "idle":
                        return printed


def ask(channel: WebSocket, code: str) -> str:
    """Ask a kernel to execute a cell; the message's id."""
    identifier = uuid.uuid4().hex
    header = {
        "msg_id": identifier,
        "msg_type": "execute_request",
        "session": "test",
        "username": "",
        "version": "5.3",
    }
    message = {
        "header": header,
        "parent_header": {},
        "metadata": {},
        "buffers": [],
        "channel": "shell",
        "content": {"code": code, "silent": False, "store_history": False, "stop_on_error": True},
    }
    channel.send(json.dumps(message))
    return identifier

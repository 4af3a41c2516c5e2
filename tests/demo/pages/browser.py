"""A real browser that trusts the platform's CA and takes down whatever goes wrong in it."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import (
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Request,
    Response,
    WebSocket,
    expect,
)

from demo.project import ROOT

SCREENSHOTS = ROOT / "build" / "screenshots"

# What the host needs, by the program that tells if it is there.
PACKAGES = {"chromium": "chromium", "certutil": "libnss3-tools"}
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def install() -> None:
    """Install the browser and its tool for certificates from Debian where they are missing.

    Raises:
        subprocess.CalledProcessError: apt-get could not.
    """
    missing = [name for program, name in PACKAGES.items() if shutil.which(program) is None]
    if not missing:
        return
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "install", "-y", "--no-install-recommends", *missing], check=True)


def trust(home: Path, ca: Path) -> None:
    """Make a home folder in which Chromium trusts a CA beside those it brings.

    Args:
        home: the folder, empty.
        ca: certificate of the CA in PEM.
    """
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    place = ["-d", f"sql:{database}"]
    subprocess.run(["certutil", *place, "-N", "--empty-password"], check=True)
    add = ["-A", "-t", "C,,", "-n", "platform", "-i", str(ca)]
    subprocess.run(["certutil", *place, *add], check=True)


def flags() -> list[str]:
    """Command line of Chromium, whose sandbox refuses to start for root."""
    return [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]


# Chromium drops what is under way when a network comes or goes, as with a job's containers.
CHANGED = "net::ERR_NETWORK_CHANGED"
VISITS = 5
# Pages of several MiB of scripts, on a machine that has more to do.
LOAD_MS = 30_000


def visit(
    page: Page, url: str, idle: bool = False, shows: Locator | None = None
) -> Response | None:
    """Open a page, again where this host's networks changed meanwhile.

    Args:
        page: where to open it.
        url: what to open.
        idle: wait until nothing is asked for any more.
        shows: wait until this is seen.

    Raises:
        Error: it could not be reached.
    """
    lost: list[str] = []

    def failed(request: Request) -> None:
        if request.failure == CHANGED:
            lost.append(request.url)

    page.on("requestfailed", failed)
    try:
        for visits in range(VISITS):
            lost.clear()
            try:
                # Another place of the same page needs no answer.
                ready: Literal["networkidle", "load"] = "networkidle" if idle else "load"
                answer = page.goto(url, wait_until=ready)
                if answer is None and (visits or shows is None):
                    answer = page.reload(wait_until=ready)
                if shows is not None:
                    expect(shows).to_be_visible(timeout=LOAD_MS)
                    lost.clear()
            except (Error, AssertionError) as error:
                if not lost and CHANGED not in str(error):
                    raise
                continue
            if not lost:
                return answer
    finally:
        page.remove_listener("requestfailed", failed)
    raise AssertionError(f"the networks of this host never kept still: {lost}")


@dataclass
class Watch:
    """What a page asked for and what went wrong there.

    Attributes:
        domain: the platform's; whatever is asked of another is a fault.
        page: the page.
        expected: parts of faults that are none: of a refusal that is right.
        faults: failed requests, refusals, errors on the console, exceptions; in order.
        sockets: addresses of opened websockets.
        frames: number of messages that came over them.
    """

    domain: str
    page: Page
    expected: tuple[str, ...] = ()
    faults: list[str] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    frames: int = 0

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", self._exception)
        self.page.on("request", self._request)
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._response)
        self.page.on("websocket", self._socket)

    def _fault(self, text: str) -> None:
        if not any(part in text for part in self.expected):
            self.faults.append(text)

    def _console(self, message: ConsoleMessage) -> None:
        # Chromium says each refused request there too, which is judged as such.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self._fault(f"console: {message.text}")

    def _exception(self, error: Error) -> None:
        self._fault(f"exception: {error.message}")

    def _request(self, request: Request) -> None:
        address = request.url
        if address.startswith(("data:", "blob:")):
            return
        if not address.startswith("https://"):
            self._fault(f"not encrypted: {address}")
        host = address.split("/")[2].split(":")[0]
        if host != self.domain and not host.endswith(f".{self.domain}"):
            self._fault(f"of another host: {address}")

    def _failed(self, request: Request) -> None:
        # The page takes back what it no longer needs; Docker's networks come and go on this host.
        if request.failure not in {"net::ERR_ABORTED", CHANGED}:
            self._fault(f"{request.failure}: {request.method} {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self._fault(f"{response.status}: {response.request.method} {response.url}")

    def _socket(self, socket: WebSocket) -> None:
        self.sockets.append(socket.url)
        socket.on("framereceived", self._frame)
        socket.on("socketerror", lambda error: self._fault(f"{socket.url}: {error}"))

    def _frame(self, _: str | bytes) -> None:
        self.frames += 1


def picture(page: Page, name: str) -> None:
    """Keep a screenshot of what is seen of the page."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def barriers(page: Page) -> list[str]:
    """Name what keeps people from using the page, as axe-core finds it by WCAG 2.2 A and AA."""
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {node['target']}: {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def overflow(page: Page) -> int:
    """How far the page is wider than the window, in pixels."""
    wider: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return wider


# In the order of the tab key; what a closed `details` holds is not reached.
TABBABLE = """() => {
  const all = [...document.querySelectorAll("a[href], button, summary, input, [tabindex='0']")];
  return all.filter(element => element.checkVisibility({visibilityProperty: true})
    && !element.disabled).length;
}"""
FOCUSED = """() => {
  const element = document.activeElement, style = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  return {
    name: element === document.body ? "" : `${element.tagName} ${element.textContent.trim()}`,
    outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    seen: box.width > 0 && box.bottom > 0 && box.right > 0
      && box.top < innerHeight && box.left < innerWidth,
  };
}"""


def walk(page: Page) -> list[str]:
    """Go through the page by the tab key; what has the focus after each press.

    Fails where the focus can't be seen, or where it does not come to the end.
    """
    count: int = page.evaluate(TABBABLE)
    names: list[str] = []
    for _ in range(count):
        page.keyboard.press("Tab")
        at = page.evaluate(FOCUSED)
        assert at["name"], f"the focus is lost after {names}"
        assert at["outline"], f"the focus on {at['name']!r} has no outline"
        assert at["seen"], f"the focus on {at['name']!r} is out of sight"
        names.append(at["name"])
    page.keyboard.press("Tab")
    assert not page.evaluate(FOCUSED)["name"], f"the tab key does not leave the page: {names}"
    return names

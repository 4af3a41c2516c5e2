"""Whether packages and images can be had, the way this host's own clients have them.

Nothing is installed or kept: caches of clients go to a folder that is removed again.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.dap_host import CommandError, run, tail
from ansible.module_utils.dap_machine import (
    MachineError,
    apt_configuration,
    apt_sources,
    go_settings,
    npm_registry,
    pip_settings,
    proxies,
    refuse_credentials,
)
from ansible.module_utils.dap_requirements import Finding, finding

from dap.onhost import docker

BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
TIMEOUT_S = 20
REMEDY = "does it work on the host? Behind a proxy or with mirrors: packages in platform.yml"


class AccessError(Exception):
    """Something can't be had; the message says what answered."""


class Access:
    """Asks mirrors and indexes; `packages` and `extra_ca` are those of the settings."""

    def __init__(self, packages: dict[str, Any], extra_ca: dict[str, str]) -> None:
        self._packages = packages
        self._extra_ca = extra_ca

    def checks(self, needed: bool) -> list[Callable[[], Iterator[Finding]]]:
        """Return a check for each kind of package; failures are problems if `needed` now."""
        level = "problem" if needed else "warning"
        kinds = {"apt": self.apt, "pip": self.pip, "npm": self.npm, "go": self.go}
        return [
            self.proxy,
            *(self._check(name, kind, level) for name, kind in kinds.items()),
        ]

    def _check(
        self, name: str, ask: Callable[[], str], level: str
    ) -> Callable[[], Iterator[Finding]]:
        def check() -> Iterator[Finding]:
            try:
                yield finding("ok", name, ask())
            except (AccessError, CommandError) as error:
                yield finding(level, name, f"packages can't be had: {error}", REMEDY)
            except MachineError as error:
                yield finding("problem", name, str(error), "see packages in platform.yml")

        return check

    def proxy(self) -> Iterator[Finding]:
        """Judge the proxies that are configured."""
        try:
            found = proxies(self._packages)
        except MachineError as error:
            yield finding("problem", "proxy", str(error), "see packages in platform.yml")
            return
        addresses = {key: url for key, url in found.items() if key != "no_proxy"}
        for key, url in addresses.items():
            parts = urlsplit(url if "//" in url else f"//{url}")
            try:
                where = (parts.hostname or "", parts.port or 80)
                socket.create_connection(where, timeout=TIMEOUT_S).close()
                yield finding("ok", "proxy", f"{key}: {url} answers")
            except OSError as error:
                what = f"{key}: {url} does not answer: {error}"
                yield finding("problem", "proxy", what, "correct it where it is set")
        if not addresses:
            yield finding("ok", "proxy", "none is configured")

    @cached_property
    def _apt_answer(self) -> tuple[str, Message]:
        sources = apt_sources(self._packages.get("apt_mirror") or "")
        if not sources:
            return "", Message()
        url = f"{sources[0].uri}/dists/{sources[0].suite}/InRelease"
        lines = apt_configuration(proxies(self._packages))
        own = dict(re.findall(r'Acquire::(https?)::Proxy "([^"]+)"', lines, re.IGNORECASE))
        return url, self._get(url, own)

    def apt(self) -> str:
        """Ask the mirror that images take Debian packages from."""
        url, _ = self._apt_answer
        return f"{url} answers" if url else "images use their base's own sources; not tried"

    def clock(self) -> float | None:
        """Return how many seconds this clock is ahead of the mirror's; None if nobody says."""
        try:
            _, headers = self._apt_answer
            there = parsedate_to_datetime(headers["Date"]).timestamp()
            # A cache on the way repeats an older date and says how old.
            return time.time() - there - float(headers.get("Age", 0))
        except (AccessError, MachineError, TypeError, ValueError):
            return None

    def pip(self) -> str:
        """Ask the Python package index."""
        index = pip_settings(self._packages.get("pip_index") or "").get("index-url", "")
        if index:
            return self._ask("pip", f"{index.rstrip('/')}/pip/")
        client = shutil.which("pip3") or shutil.which("pip")
        command = [client] if client else [sys.executable, "-m", "pip"]
        options = ["--no-cache-dir", "--no-input", "--disable-pip-version-check"]
        return self._client("pip", [*command, "index", "versions", "pip", *options])

    def npm(self) -> str:
        """Ask the npm registry."""
        registry = self._packages.get("npm_registry") or npm_registry()
        if registry:
            return self._ask("npm", f"{registry.rstrip('/')}/npm/latest")
        return self._client("npm", ["npm", "view", "npm", "version", "--fetch-retries=0"])

    def go(self) -> str:
        """Ask the Go module proxy."""
        setting = go_settings(self._packages.get("go_proxy") or "").get("GOPROXY", "")
        proxy = next((part for part in re.split("[,|]", setting) if part.startswith("http")), "")
        if proxy:
            return self._ask("go", f"{proxy.rstrip('/')}/golang.org/x/sys/@v/list")
        return self._client("go", ["go", "list", "-m", "golang.org/x/sys@latest"])

    def _ask(self, kind: str, url: str) -> str:
        refuse_credentials(kind, url)
        self._get(url, {})
        return f"{url} answers"

    def _get(self, url: str, own: dict[str, str]) -> Message:
        """Return the headers of what a URL answers; `own`: proxies of this client alone."""
        general = {key.removesuffix("_proxy"): url for key, url in proxies(self._packages).items()}
        os.environ["no_proxy"] = general.pop("no", "")  # where urllib looks for it
        context = ssl.create_default_context(cafile=str(BUNDLE) if BUNDLE.exists() else None)
        for text in self._extra_ca.values():
            context.load_verify_locations(cadata=text)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({**general, **own}),
            urllib.request.HTTPSHandler(context=context),
        )
        try:
            with opener.open(url, timeout=TIMEOUT_S) as response:
                headers: Message = response.headers
                return headers
        except urllib.error.HTTPError as error:
            error.close()
            raise AccessError(f"{url} answers {error.code}") from error
        except (OSError, ValueError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise AccessError(f"{url}: {reason}") from error

    def _client(self, name: str, command: list[str]) -> str:
        """Let a client of this host ask whom it is built to ask."""
        if shutil.which(command[0]) is None:
            return f"{name} is not on this host, and nothing else is configured; not tried"
        with tempfile.TemporaryDirectory() as folder:
            aside = {
                "npm_config_cache": folder,
                "npm_config_update_notifier": "false",
                "GOMODCACHE": f"{folder}/mod",
                "GOCACHE": f"{folder}/cache",
                "GOFLAGS": "-modcacherw",
                "GOTOOLCHAIN": "local",
            }
            done = run(command, cwd=folder, env=aside, timeout_s=2 * TIMEOUT_S)
        if "No module named pip" in done.stderr:
            return f"{name} is not on this host, and nothing else is configured; not tried"
        if done.returncode:
            raise AccessError(tail(done.stderr, 1))
        return f"{name} gets packages as it is configured here"


def base(
    reference: str, upstream: list[str], state: dict[str, Any], access: Access, needed: bool
) -> Iterator[Finding]:
    """Judge whether the images that are not built here are there or can be had.

    `reference` is what the base starts from, which can also be made from Debian packages.
    """
    if not state["running"]:
        yield finding("ok", "images", f"{reference}: tried once Docker is there")
        return
    level = "problem" if needed else "warning"
    for name in dict.fromkeys([reference, *upstream]):
        if has_image(name):
            yield finding("ok", "images", f"{name} is there")
            continue
        refusal = not_pulled(name)
        if not refusal:
            yield finding("ok", "images", f"{name} can be pulled")
        elif name != reference:
            what = f"{name} can't be pulled: {refusal}"
            yield finding(
                level, "images", what, "correct images.overrides, or log in: docker login"
            )
        else:
            yield from _bootstrap(name, refusal, access, level)


def _bootstrap(reference: str, refusal: str, access: Access, level: str) -> Iterator[Finding]:
    lacking = ""
    try:
        if access.apt().endswith("not tried"):
            lacking = "this host names no Debian mirror"
        elif not shutil.which("mmdebstrap") and not installable("mmdebstrap"):
            lacking = "mmdebstrap can't be installed"
    except (AccessError, MachineError) as error:
        lacking = str(error)
    if lacking:
        what = f"{reference} can't be pulled ({refusal}), nor made from Debian packages: {lacking}"
        remedy = "set images.base or packages.apt_mirror in platform.yml"
        yield finding(level, "images", what, remedy)
    else:
        what = f"{reference} can't be pulled; a deploy makes it from Debian packages"
        yield finding("ok", "images", what)


def has_image(reference: str) -> bool:
    """Tell whether the engine has an image."""
    try:
        docker.get(f"/images/{reference}/json")
    except docker.EngineError:
        return False
    return True


def not_pulled(reference: str) -> str:
    """Return why an image can't be pulled, empty if it can; asks its registry for no more."""
    try:
        done = run(["docker", "manifest", "inspect", reference], timeout_s=TIMEOUT_S)
    except CommandError as error:
        return str(error)
    return tail(done.stderr, 1) if done.returncode else ""


def installable(package: str) -> bool:
    """Tell whether apt knows a package."""
    policy = run(["apt-cache", "policy", package]).stdout
    return "Candidate: " in policy and "Candidate: (none)" not in policy

"""What a folder's content.py works with."""

from __future__ import annotations

import base64
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tenacity import RetryError, retry, retry_if_exception, stop_after_delay, wait_exponential

from dap.content.kept import Kept
from dap.content.plan import Client, Plan
from dap.content.report import SHORTEST_HIDDEN, Report

REQUEST_TIMEOUT_S = 5
T = TypeVar("T")


class ContentError(Exception):
    """Content can't be made as asked; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Secrets:
    """What the content run knows of secrets: the vault, what was kept, clients of projects."""

    vault: Mapping[str, str]
    kept: Kept
    clients: Mapping[str, Client] = field(default_factory=dict)


def _forms(value: str) -> Iterator[str]:
    """Yield a text and what it is in base64, wherever it stands in what is encoded."""
    yield value
    raw = value.encode()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode()
        # Only characters that are made of the text's own bits.
        yield encoded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]


class Context:
    """Settings, secrets and what is asked of one folder; counts what it does.

    `options` are the folder's own, `routes` name → as plan.json has it, `environments` name →
    image, `environment_contents` name → what it is made of; `base_images` are `base`, `builder` and
    their `content`.
    `users` are those of `platform.yml` with `projects`, names of the projects they are members
    of; `projects` have `members` written out.
    """

    def __init__(
        self, plan: Plan, secrets: Secrets, report: Report, folder: str, *, check: bool
    ) -> None:
        self.settings: dict[str, Any] = dict(plan.settings)
        self.options: dict[str, Any] = dict(plan.folders[folder].options)
        self.routes = plan.routes
        self.environments = plan.environments
        self.environment_contents = plan.environment_contents
        self.base_images = plan.base_images
        self.folder = folder
        self.check = check
        names = [user["name"] for user in self.settings["users"]]
        self.projects: list[dict[str, Any]] = [
            {**project, "members": list(project.get("members") or names)}
            for project in self.settings["projects"]
        ]
        self.users: list[dict[str, Any]] = [
            {**user, "projects": [p["name"] for p in self.projects if user["name"] in p["members"]]}
            for user in self.settings["users"]
        ]
        self._left = plan.left
        self._resources = [dict(r) for r in plan.resources if r["from"] == folder]
        self._secrets = secrets
        self._report = report

    def secret(self, name: str) -> str:
        """Return a secret by its name, as `users/alice/password`.

        Raises:
            ContentError: there is none of this name.
        """
        value = self.kept(name)
        if value is None:
            raise ContentError(f"secret '{name}' is missing: deploy again to have it made")
        return value

    def kept(self, name: str) -> str | None:
        """Return a secret of the kind `content`, or None where content has not got it yet."""
        return self._secrets.kept.values.get(name) or self._secrets.vault.get(name)

    def keep(self, name: str, value: str) -> None:
        """Keep a secret that a service gave; it is on disk on return, and goes into the vault.

        Its name must be declared with the kind `content`.
        """
        self._report.hide(value)
        self._secrets.kept.put(name, value)

    def client(self, project: str) -> Client:
        """Return what clients need that log in as a project.

        Raises:
            ContentError: there is none of this name.
        """
        try:
            return self._secrets.clients[project]
        except KeyError:
            raise ContentError(f"'{project}' is no project of the settings") from None

    def is_secret(self, text: str) -> bool:
        """Tell whether a text holds a secret, as it is or in base64; a certificate is none."""
        return any(
            form in text
            for name, value in self._secrets.vault.items()
            if len(value) >= SHORTEST_HIDDEN and not name.endswith("certificate")
            for form in _forms(value)
        )

    def resources(self, kind: str) -> list[dict[str, Any]]:
        """Return what folders ask of this one: dicts with `name`, `owner`, `secret` and so on."""
        return [resource for resource in self._resources if resource["kind"] == kind]

    def left(self, kind: str) -> list[Path]:
        """Return where folders that are not there any more left something of a kind, to be read."""
        place = self._left / kind
        return sorted(place.iterdir()) if place.is_dir() else []

    def step(self, what: str, changed: bool) -> None:
        """Tell of one thing that was `changed` (dry run: would be) or found as it should be."""
        self._report.step(self.folder, what, changed=changed, check=self.check)

    def wait(
        self,
        url_or_callable: str | Callable[[], T],
        timeout_s: float,
        *,
        retry_on: Callable[[BaseException], bool] = lambda error: isinstance(error, Exception),
    ) -> T | None:
        """Wait until a URL answers 200 or a callable returns without raising; return its result.

        `retry_on` says of an error whether waiting can help; any other is raised at once.

        Raises:
            ContentError: `timeout_s` seconds are over; the message has the last error.
        """
        attempt = retry(
            stop=stop_after_delay(timeout_s),
            wait=wait_exponential(multiplier=0.1, max=2),
            retry=retry_if_exception(retry_on),
        )

        what = "it" if callable(url_or_callable) else url_or_callable

        def get() -> None:
            with urllib.request.urlopen(what, timeout=REQUEST_TIMEOUT_S) as answer:  # noqa: S310  ours
                answer.read()

        try:
            return attempt(url_or_callable if callable(url_or_callable) else get)()
        except RetryError as error:
            last = error.last_attempt.exception()
            raise ContentError(
                f"{what} was not ready within {timeout_s:.0f} s: {last}; "
                "look at make status, then deploy again"
            ) from last

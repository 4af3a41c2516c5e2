"""Endpoints: what each takes, and finding the one for a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

from tests.gitlab.standin.repositories import Repositories
from tests.gitlab.standin.state import State

Auth = Literal["admin", "project", "job", "shell", "nobody"]
# Of a parameter that is a list of objects.
ROWS = list[dict[str, Any]]
LIST = {"page": str, "per_page": str, "order_by": str, "sort": str, "pagination": str}


class Refusal(Exception):  # noqa: N818  an answer, not a fault
    """An answer other than success."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


@dataclass
class Call:
    """A request as an endpoint sees it; `ids` are the parts of its path that vary.

    `url` is how browsers know GitLab.
    """

    state: State
    ids: list[str]
    query: dict[str, str]
    body: dict[str, Any]
    raw: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    base: str = ""
    url: str = ""
    repositories: Repositories | None = None


@dataclass
class Answer:
    """Status and what is sent: JSON, or bytes as they are."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Answer]


@dataclass(frozen=True)
class Endpoint:
    """What an address takes: names of parameters with their types."""

    method: str
    path: re.Pattern[str]
    handler: Handler
    auth: Auth
    query: Mapping[str, type]
    body: Mapping[str, Any]
    required: tuple[str, ...]
    raw: bool


ENDPOINTS: list[Endpoint] = []


def endpoint(
    method: str,
    path: str,
    *,
    auth: Auth = "admin",
    query: Mapping[str, type] | None = None,
    body: Mapping[str, Any] | None = None,
    required: tuple[str, ...] = (),
    raw: bool = False,
) -> Callable[[Handler], Handler]:
    """Register a function for METHOD PATH; `:name` in the path stands for one part of it.

    `body` is name → type, or a tuple of texts to choose from; `raw`: the body is no JSON.
    """

    def register(handler: Handler) -> Handler:
        pattern = re.compile("/api/v4" + re.sub(r":\w+", "([^/]+)", path))
        taken = (query or {}, body or {}, required, raw)
        ENDPOINTS.append(Endpoint(method, pattern, handler, auth, *taken))
        return handler

    return register


def find(method: str, path: str) -> tuple[Endpoint, list[str]]:
    """Return the endpoint for a request and what its path varies in; raise Refusal if none is."""
    others = False
    for each in ENDPOINTS:
        match = each.path.fullmatch(path)
        if match and each.method == method:
            return each, [unquote(part) for part in match.groups()]
        others = others or bool(match)
    if others:
        raise Refusal(405, {"error": "405 Not Allowed"})
    raise Refusal(404, {"error": "404 Not Found"})


def check(endpoint: Endpoint, query: Mapping[str, str], body: Mapping[str, Any]) -> None:
    """Refuse parameters that the endpoint does not know, lacks, or that are of another type."""
    for name in query:
        if name not in endpoint.query:
            raise Refusal(400, {"error": f"query: {name} is unknown to the stand-in"})
    if endpoint.raw:
        return
    for name, value in body.items():
        if name not in endpoint.body:
            raise Refusal(400, {"error": f"body: {name} is unknown to the stand-in"})
        if not _fits(value, endpoint.body[name]):
            raise Refusal(400, {"error": f"{name} does not have a valid value"})
    missing = [name for name in endpoint.required if body.get(name) in (None, "")]
    if missing:
        raise Refusal(400, {"error": ", ".join(f"{name} is missing" for name in missing)})


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, tuple):
        return value in kind
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == ROWS:
        return isinstance(value, list) and all(isinstance(each, dict) for each in value)
    if kind is list:
        # Comma-separated texts do, too.
        return isinstance(value, str) or (
            isinstance(value, list) and all(isinstance(each, str) for each in value)
        )
    return isinstance(value, kind)


def page(call: Call, rows: list[dict[str, Any]]) -> Answer:
    """Return one page of a list, with the headers that lead to the next."""
    number = int(call.query.get("page", "1"))
    size = min(int(call.query.get("per_page", "20")), 100)
    part = rows[(number - 1) * size : number * size]
    headers = {"X-Page": str(number), "X-Per-Page": str(size), "X-Total": str(len(rows))}
    if number * size < len(rows):
        rest = "&".join(f"{k}={v}" for k, v in call.query.items() if k not in ("page", "per_page"))
        address = f"{call.base}?{rest}&page={number + 1}&per_page={size}"
        headers |= {"X-Next-Page": str(number + 1), "Link": f'<{address}>; rel="next"'}
    return Answer(200, part, headers)

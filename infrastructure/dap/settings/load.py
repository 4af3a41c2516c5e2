"""Loads `platform.yml` and reports all that is wrong with it in one message."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dap.settings.checks import Checks
from dap.settings.files import FileChecks
from dap.settings.models import Settings, model_at
from dap.settings.problem import NOTHING, Path, Problem, choice, refusal
from dap.settings.source import Source
from dap.settings.types import HIDDEN

# Keys of earlier versions and what they are called now, as "workspaces.*.port": "ssh_port".
RENAMED: dict[str, str] = {}

_WHAT = {
    "string_type": ("must be text", "text; in quotes where it looks like a number"),
    "int_type": ("must be a whole number", "a whole number"),
    "int_from_float": ("must be a whole number", "a whole number"),
    "float_type": ("must be a number", "a number"),
    "bool_type": ("must be true or false", "true, false"),
    "list_type": ("must be a list", "a list; [] for none"),
    "dict_type": ("must hold keys and values", "key: value"),
    "model_type": ("must hold keys and values", "key: value"),
    "string_too_short": ("is empty", "some text"),
    "too_short": ("is empty", "at least one entry"),
}


def load(
    file: FilePath, renamed: Mapping[str, str] = RENAMED, *, with_files: bool = True
) -> Settings:
    """The settings in `file`.

    Args:
        file: path of a `platform.yml`; files that it names are relative to its folder.
        renamed: dotted paths of keys that have a new name, `*` for list indices.
        with_files: whether the files that it names must be there: a pipeline has not those that
            are kept out of git.

    Raises:
        InputError: something is wrong; the message has a line for each problem.
    """
    source = Source(file)
    if source.problems:
        raise refusal(source.problems)
    problems: list[Problem] = []
    settings = None
    try:
        settings = Settings.model_validate(source.data)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems += [
            _problem(source, detail, renamed)
            for detail in details
            # A default that hangs on a value that is itself refused.
            if detail["type"] != "default_factory_not_called"
        ]
    data = settings.model_dump() if settings else _with_defaults(source.data)
    problems += _apart(Checks(source, data).run(), problems)
    problems += _files(source, file, data, problems) if with_files else []
    if problems or settings is None:
        raise refusal(problems)
    settings._source = source  # where later checks find their lines
    return settings


def _files(
    source: Source, file: FilePath, data: dict[str, Any], problems: list[Problem]
) -> list[Problem]:
    """What is wrong about the files that the settings name, where these are right themselves."""
    files = FileChecks(source, file.parent)
    tls = data["tls"]
    wrong = {problem.path[:1] for problem in problems}
    extra_ca = [] if ("packages",) in wrong else data["packages"]["extra_ca"]
    if ("tls",) not in wrong and ("domain",) not in wrong and tls["certificate"]:
        files.tls(tls["certificate"], tls["key"], data["domain"], extra_ca)
    files.extra_ca(extra_ca)
    if data["cluster"] and ("cluster",) not in wrong and data["cluster"]["registry"]["ca"]:
        files.registry_ca(data["cluster"]["registry"]["ca"])
    files.ssh_keys(data["hosts"] if isinstance(data["hosts"], list) else [])
    return files.problems


def _apart(later: list[Problem], earlier: list[Problem]) -> list[Problem]:
    """Those of `later` that no problem of `earlier` at or below the same place explains."""
    wrong = {path[:length] for path in (p.path for p in earlier) for length in range(len(path) + 1)}
    return [problem for problem in later if problem.path not in wrong]


def _with_defaults(data: dict[str, Any]) -> dict[str, Any]:
    """`data` with the default of each section that it leaves out, and of each key in a section."""
    defaults = Settings().model_dump()
    if "users" in data and "workspaces" not in data:
        defaults["workspaces"] = []
    merged = defaults | data
    for key, default in defaults.items():
        if isinstance(default, dict):
            given = data.get(key)
            merged[key] = default | (given if isinstance(given, dict) else {})
    return merged


def _problem(source: Source, detail: ErrorDetails, renamed: Mapping[str, str]) -> Problem:
    path: Path = tuple(part for part in detail["loc"] if part != "[key]")
    kind, found, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "refused":
        shown = NOTHING if context[HIDDEN] or isinstance(found, dict) else found
        if not isinstance(found, str | int | float | dict):
            shown = NOTHING
        return source.problem(path, context["what"], context["allowed"], shown)
    if kind == "extra_forbidden":
        return _unknown_key(source, path, renamed)
    if kind == "missing":
        model = model_at(path[:-1])
        field = model.model_fields.get(str(path[-1])) if model else None
        meaning = (field.description or "").rstrip(".") if field else ""
        return source.problem(path, f"is missing: {meaning}" if meaning else "is missing")
    if kind == "literal_error":
        allowed = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        return source.problem(path, "is none of what is allowed", allowed, found)
    if kind in {"greater_than_equal", "less_than_equal"}:
        allowed = f"{context['ge']} or more" if "ge" in context else f"{context['le']} or less"
        return source.problem(path, "is out of range", allowed, found)
    what, allowed = _WHAT.get(kind, (detail["msg"], ""))
    return source.problem(path, what, allowed, found)


def _unknown_key(source: Source, path: Path, renamed: Mapping[str, str]) -> Problem:
    pattern = ".".join("*" if isinstance(part, int) else part for part in path)
    if pattern in renamed:
        return source.problem(path, f"is now called {renamed[pattern]}", renamed[pattern])
    model = model_at(path[:-1])
    keys = list(model.model_fields) if model else []
    return source.problem(path, "unknown key", choice(str(path[-1]), keys))

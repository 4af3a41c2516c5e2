"""Pipelines: what a `.gitlab-ci.yml` makes of a push, for the part of its language that is used.

Known: `stages`, `include: local` with patterns and `rules`, hidden jobs and `extends`, `default`,
global and job `variables`, `image`, `before_script`, `script`, `after_script`, `stage`, `needs`,
`tags`, `cache` with `key` and `paths`,
`rules` with `if` (==, !=, &&, ||), `changes`, `exists` and `when: never`, `artifacts`,
`resource_group` and `interruptible`. All else is refused, as GitLab refuses what it does not know.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from fnmatch import translate
from typing import Any

import yaml

Row = dict[str, Any]
Read = Callable[[str], str]
FILE = ".gitlab-ci.yml"
GLOBAL = {"stages", "include", "default", "variables"}
JOB = {
    *("stage", "image", "before_script", "script", "after_script", "needs", "tags", "variables"),
    *("rules", "artifacts", "cache", "extends", "resource_group", "interruptible"),
}
ARTIFACTS = {"expose_as", "paths", "reports", "when"}
# How reports are sent (Ci::JobArtifact of GitLab).
REPORTS = {"dotenv": "gzip", "terraform": "raw"}
STAGES = ["build", "test", "deploy"]
NAMED = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
COMPARED = re.compile(r"""\s*(\S+)\s*(==|!=)\s*("[^"]*"|'[^']*'|\S+)\s*""")


class CiError(Exception):
    """The configuration is not one that the stand-in knows; the message says what."""


def jobs(
    read: Read,
    files: list[str],
    changed: list[str] | None,
    known: Mapping[str, str],
    changed_since: Callable[[str], list[str]] | None = None,
) -> list[Row]:
    """Return the jobs of a pipeline in the order of its stages.

    Args:
        read: gives the text of a file of the commit.
        files: all files of the commit.
        changed: those that the push changed; None: all, for the branch is new or there is no push.
        known: variables that rules may ask for.
        changed_since: gives those that differ since the commit left a ref, for `compare_to`;
            None: there is no other ref.

    Raises:
        CiError: it has what the stand-in does not know.
    """
    document = _load(read, files, FILE, known)
    stages = [".pre", *document.get("stages", STAGES), ".post"]
    everywhere = document.get("variables", {})
    found = []
    for name, given in document.items():
        if name in GLOBAL or name.startswith("."):
            continue
        job = {**document.get("default", {}), **_extended(document, name, given)}
        unknown = job.keys() - JOB
        if unknown:
            raise CiError(f"{name}: the stand-in knows no {min(unknown)}")
        job.setdefault("stage", "test")
        if job["stage"] not in stages:
            raise CiError(f"{name}: chosen stage {job['stage']} does not exist")
        variables = {**everywhere, **job.get("variables", {})}
        if _runs(job.get("rules"), {**known, **variables}, files, changed, changed_since):
            found.append(_row(name, job, variables))
    found.sort(key=lambda row: stages.index(row["stage"]))
    _wire(found, stages)
    return found


def merged(read: Read, files: list[str], known: Mapping[str, str]) -> Row:
    """Return the configuration with what it includes, and jobs with what they extend.

    Raises:
        CiError: it has what the stand-in does not know.
    """
    if FILE not in files:
        raise CiError("Please provide content of .gitlab-ci.yml")
    document = _load(read, files, FILE, known)
    hidden = {name: given for name, given in document.items() if name not in GLOBAL}
    return document | {
        name: _extended(document, name, given) | {k: given[k] for k in given if k == "extends"}
        for name, given in hidden.items()
    }


def _load(read: Read, files: list[str], path: str, known: Mapping[str, str]) -> Row:
    document: Row = yaml.safe_load(read(path)) or {}
    includes = document.pop("include", [])
    merged: Row = {}
    for each in includes if isinstance(includes, list) else [includes]:
        if not {"local"} <= set(each) <= {"local", "rules"}:
            raise CiError(f"include: the stand-in knows only local: {each}")
        if not _runs(each.get("rules"), known, files, None):
            continue
        pattern = re.compile(_pattern(each["local"].lstrip("/")))
        for file in sorted(files):
            if pattern.fullmatch(file):
                merged |= _load(read, files, file, known)
    return merged | document


def _pattern(text: str) -> str:
    """Return a regular expression for a pattern of GitLab's: `**` is any path, `*` any name."""
    parts = [
        ".*" if part == "**" else translate(part)[4:-3].replace(".*", "[^/]*")
        for part in text.split("/")
    ]
    return "/".join(parts).replace(".*/", "(?:.*/)?")


def _extended(document: Row, name: str, given: Row, seen: tuple[str, ...] = ()) -> Row:
    parents = given.get("extends", [])
    result: Row = {}
    for parent in [parents] if isinstance(parents, str) else parents:
        if parent in seen or parent not in document:
            raise CiError(f"{name}: extends: unknown or circular: {parent}")
        result = _merged(result, _extended(document, parent, document[parent], (*seen, parent)))
    return _merged(result, {key: value for key, value in given.items() if key != "extends"})


def _merged(below: Row, above: Row) -> Row:
    result = copy.deepcopy(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else copy.deepcopy(value)
    return result


def _row(name: str, job: Row, variables: Row) -> Row:
    if "script" not in job or "image" not in job:
        raise CiError(f"{name}: needs script and image")
    image, artifacts = job["image"], job.get("artifacts", {})
    unknown = {*(artifacts.keys() - ARTIFACTS), *(artifacts.get("reports", {}).keys() - REPORTS)}
    if unknown:
        raise CiError(f"{name}: artifacts: the stand-in knows no {min(unknown)}")
    cache = job.get("cache", [])
    caches = cache if isinstance(cache, list) else [cache]
    for each in caches:
        if each.keys() != {"key", "paths"}:
            raise CiError(f"{name}: cache: the stand-in knows only key and paths")
    return {
        "name": name,
        "stage": job["stage"],
        "image": image["name"] if isinstance(image, dict) else image,
        "before_script": _lines(job.get("before_script", [])),
        "script": _lines(job["script"]),
        "after_script": _lines(job.get("after_script", [])),
        "tags": job.get("tags", []),
        "variables": {key: str(value) for key, value in variables.items()},
        "needs": job.get("needs"),
        "artifacts": artifacts,
        "cache": caches,
    }


def _lines(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(line) for line in value]


def _wire(rows: list[Row], stages: list[str]) -> None:
    """Have `needs` of each job name the jobs that come before it."""
    names = {row["name"] for row in rows}
    for row in rows:
        place = stages.index(row["stage"])
        before = [each["name"] for each in rows if stages.index(each["stage"]) < place]
        wanted = before if row["needs"] is None else row["needs"]
        row["needs"] = [need["job"] if isinstance(need, dict) else need for need in wanted]
        missing = [need for need in row["needs"] if need not in names]
        if missing:
            raise CiError(f"{row['name']}: needs {missing[0]}, which is not in the pipeline")


def _runs(
    rules: Any,
    known: Mapping[str, str],
    files: list[str],
    changed: list[str] | None,
    changed_since: Callable[[str], list[str]] | None = None,
) -> bool:
    if rules is None:
        return True
    for rule in rules:
        if rule.keys() - {"if", "changes", "exists", "when"}:
            raise CiError(f"rules: the stand-in knows no such: {rule}")
        holds = "if" not in rule or _holds(str(rule["if"]), known)
        if holds and "changes" in rule:
            given = rule["changes"]
            given = given if isinstance(given, dict) else {"paths": given}
            other = given.get("compare_to")
            found = changed_since(other) if other and changed_since else changed
            holds = found is None or _any(given["paths"], found)
        if "exists" in rule:
            holds = holds and _any(rule["exists"], files)
        if holds:
            return bool(rule.get("when") != "never")
    return False


def _any(patterns: list[str], files: list[str]) -> bool:
    found = [re.compile(_pattern(pattern)) for pattern in patterns]
    return any(pattern.fullmatch(file) for pattern in found for file in files)


def _holds(text: str, known: Mapping[str, str]) -> bool:
    return any(all(_term(term, known) for term in part.split("&&")) for part in text.split("||"))


def _term(text: str, known: Mapping[str, str]) -> bool:
    compared = COMPARED.fullmatch(text)
    if compared is None:
        return bool(_value(text.strip(), known))
    left, sign, right = compared.groups()
    return (_value(left, known) == _value(right, known)) == (sign == "==")


def _value(text: str, known: Mapping[str, str]) -> str | None:
    if text == "null":
        return None
    if text[0] in "\"'":
        return text[1:-1]
    if not text.startswith("$"):
        raise CiError(f"rules: if: the stand-in does not understand {text}")
    return known.get(text[1:])


def expand(text: str, known: Mapping[str, str]) -> str:
    """Put variables into a text."""
    return NAMED.sub(lambda found: known.get(found[1] or found[2], ""), text)

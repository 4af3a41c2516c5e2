"""Adds entries to the text of a `platform.yml`: comments, order and layout stay as they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import yaml

from dap.errors import InputError
from dap.settings.models import Project

_SECTION = "projects"


def add_project(text: str, name: str, members: Sequence[str], present: Sequence[Project]) -> str:
    """The text of the settings with one more project, and not changed in any other way.

    Args:
        text: the settings, known to be valid.
        name: the project's name.
        members: its members; none: everybody.
        present: the projects that there are, for a text that leaves them to the default.

    Raises:
        InputError: the section is written in a way that is not understood, as with anchors.
    """
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    entry = _entry(name, members)
    section = _section(node)
    if section is None:
        edited = _appended(text, [_entry(each.name, each.members) for each in present] + [entry])
    elif section.flow_style:
        edited = _in_brackets(text, section, entry)
    else:
        edited = _in_lines(text, section, entry)
    wanted = yaml.safe_load(text) or {}
    before = wanted.get(_SECTION, [each.model_dump() for each in present])
    wanted[_SECTION] = [*before, {"name": name, "members": list(members)}]
    if _parsed(edited) != wanted:
        raise InputError(
            f"{_SECTION} is written in a way that can't be added to",
            f"add it by hand: - {entry}",
        )
    return edited


def _parsed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _section(node: Any) -> yaml.SequenceNode | None:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value == _SECTION and isinstance(value, yaml.SequenceNode):
            return value
    return None


def _entry(name: str, members: Sequence[str]) -> str:
    listed = ", ".join(_word(member) for member in members)
    return f"{{name: {_word(name)}, members: [{listed}]}}"


def _word(text: str) -> str:
    """A name as YAML text: in quotes where it would be read as a number or the like."""
    return text if yaml.safe_load(text) == text else json.dumps(text)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _appended(text: str, entries: Sequence[str]) -> str:
    end = _newline(text)
    start = text if not text or text.endswith("\n") else text + end
    return start + f"{end}{_SECTION}:{end}" + "".join(f"  - {entry}{end}" for entry in entries)


def _in_brackets(text: str, section: yaml.SequenceNode, entry: str) -> str:
    if not section.value:
        at = section.start_mark.index + 1
        return f"{text[:at]}{entry}{text[at:]}"
    at = section.value[-1].end_mark.index
    return f"{text[:at]}, {entry}{text[at:]}"


def _in_lines(text: str, section: yaml.SequenceNode, entry: str) -> str:
    """After the last entry; comments before the next section belong to that."""
    indent = section.start_mark.column
    lines = text.splitlines(keepends=True)
    first = section.value[-1].start_mark.line + 1
    line = section.value[-1].end_mark.line
    if line < first or section.value[-1].end_mark.column:
        line = max(first, line + 1)
    while line > first and _apart(lines[line - 1], indent):
        line -= 1
    before = "".join(lines[:line])
    end = _newline(text)
    if not before.endswith("\n"):
        before += end
    return f"{before}{' ' * indent}- {entry}{end}{''.join(lines[line:])}"


def _apart(line: str, indent: int) -> bool:
    """Whether a line is empty, or a comment that stands no deeper than the entries."""
    words = line.lstrip()
    return not words or (words.startswith("#") and len(line) - len(words) <= indent)

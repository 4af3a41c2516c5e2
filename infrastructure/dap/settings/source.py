"""Reads a YAML file and remembers the line of each value."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import yaml

from dap.errors import InputError
from dap.settings.problem import NOTHING, Path, Problem, shown

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Source:
    """The text of a settings file as plain data, with a line for each path.

    Args:
        file: the file's path, as messages are to name it by its last part.

    Raises:
        InputError: the file can't be read or is no YAML.
    """

    def __init__(self, file: FilePath) -> None:
        self.file = file.name
        self.problems: list[Problem] = []
        self._lines: dict[Path, int] = {(): 1}
        try:
            text = file.read_bytes().decode("utf-8")
        except FileNotFoundError:
            raise InputError(
                f"{file}: no such file", "run inside a project, or name one with --project"
            ) from None
        except OSError as error:
            raise InputError(f"{file}: can't be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise InputError(f"{file}: is no UTF-8 text (byte {error.start})") from None
        self.data = self._parse(text)

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest place above it that the file has."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def problem(self, path: Path, what: str, allowed: str = "", found: object = NOTHING) -> Problem:
        """A problem at `path`; `found` is the value that is refused, left out if secret."""
        return Problem(self.file, self.line(path), path, what, allowed, shown(found))

    def _parse(self, text: str) -> dict[str, Any]:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return {}
            self._walk(node, (), ())
            if self.problems:
                return {}
            data = loader.construct_document(node)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            self.problems.append(
                Problem(self.file, line, (), f"is no valid YAML: {error.problem or error.context}")
            )
            return {}
        except yaml.YAMLError as error:
            what = f"is no valid YAML: {getattr(error, 'reason', 'unreadable')}"
            self.problems.append(Problem(self.file, 1, (), what))
            return {}
        finally:
            loader.dispose()
        if not isinstance(data, dict):
            self.problems.append(
                Problem(self.file, 1, (), "must hold keys and values", "key: value", shown(data))
            )
            return {}
        return data

    def _walk(self, node: yaml.Node, path: Path, above: tuple[int, ...]) -> None:
        if id(node) in above:
            line = node.start_mark.line + 1
            self.problems.append(Problem(self.file, line, path, "contains itself"))
            return
        above = (*above, id(node))
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                here = (*path, index)
                self._lines[here] = item.start_mark.line + 1
                self._walk(item, here, above)
        elif isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                self._walk_entry(key, value, path, seen, above)

    def _walk_entry(
        self,
        key: yaml.Node,
        value: yaml.Node,
        path: Path,
        seen: dict[str, int],
        above: tuple[int, ...],
    ) -> None:
        line = key.start_mark.line + 1
        merge = key.tag == "tag:yaml.org,2002:merge"
        if key.tag != "tag:yaml.org,2002:str" and not merge:
            found = key.value if isinstance(key, yaml.ScalarNode) else "a list or mapping"
            self.problems.append(
                Problem(
                    self.file, line, path, "a key must be text", "a name, or a quoted one", found
                )
            )
            return
        here = (*path, key.value)
        if key.value in seen:
            what = f"stands here twice, first on line {seen[key.value]}"
            self.problems.append(Problem(self.file, line, here, what, "each key once"))
            return
        seen[key.value] = line
        self._lines[here] = line
        self._walk(value, path if merge else here, above)

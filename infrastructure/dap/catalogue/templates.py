"""Strict Jinja: whatever goes wrong in a template is an error that names its file and line."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from jinja2 import Environment, StrictUndefined, Template, TemplateError, TemplateSyntaxError

from dap.errors import DapError, InputError


class Templates:
    """Renders templates, each compiled once."""

    def __init__(self) -> None:
        self._environment = Environment(
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            autoescape=_is_html,  # noqa: S701  most of what is rendered is no HTML
        )
        self._environment.filters["b64encode"] = _base64
        self._compiled: dict[str, Template] = {}

    def render(self, where: str, text: str, context: Mapping[str, Any]) -> str:
        """Return the rendered text.

        `where` is the path of the file as an error shows it; `text` must be the same each time.

        Raises:
            InputError: the template is broken or uses a name that is not there.
        """
        try:
            template = self._compiled.get(where)
            if template is None:
                template = self._compiled[where] = self._compile(where, text)
            return template.render(context)
        except TemplateSyntaxError as error:
            raise InputError(f"{where}:{error.lineno}: {error.message}") from error
        except (
            TemplateError,
            DapError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            line = _line(where, error.__traceback__)
            place = where if line is None else f"{where}:{line}"
            raise InputError(f"{place}: {error}") from error

    def _compile(self, where: str, text: str) -> Template:
        code = self._environment.compile(text, name=where, filename=where)
        return Template.from_code(self._environment, code, self._environment.make_globals(None))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _is_html(name: str | None) -> bool:
    return name is not None and name.endswith(".html.j2")


def _line(where: str, traceback: TracebackType | None) -> int | None:
    """Return the line of the template that the innermost frame of it stands at."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == where:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line

"""The command line. A verb is a module here with a function `register(app)`.

Modules whose names start with an underscore are no verbs. A verb's module is imported only when
it is called or listed, and imports what takes long inside its functions.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dap.cli._project import choose
from dap.errors import DapError

INTERRUPTED = 130


def verbs() -> list[str]:
    """Names of all verbs, as on the command line."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name.replace("_", "-") for name in modules if not name.startswith("_"))


def build(arguments: Sequence[str]) -> typer.Typer:
    """The application with the verb that `arguments` call, or with all if they call none."""
    app = typer.Typer(
        name="dap",
        help="Deploys and looks after a data analysis platform.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_start)
    known = verbs()
    called = _called(arguments)
    for verb in [called] if called in known else known:
        importlib.import_module(f"{__name__}.{verb.replace('-', '_')}").register(app)
    return app


def main() -> int:
    """Run the command line; the exit status is 0, 1 (failed), 2 (refused) or 130 (interrupted)."""
    try:
        build(sys.argv[1:])(prog_name="dap")
    except DapError as error:
        _tell(error)
        return error.status
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _start(
    project: Annotated[
        Path | None,
        typer.Option(help="Folder of the project; default: the nearest with a platform.yml."),
    ] = None,
) -> None:
    choose(project)


def _called(arguments: Sequence[str]) -> str:
    """The first word that is no option nor an option's value."""
    words = iter(arguments)
    for word in words:
        if word == "--project":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def _tell(error: DapError) -> None:
    from rich.console import Console  # loads slowly
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text("error: ", "bold red") + Text(error.message, "default"))
    if error.hint:
        console.print(Text(error.hint, "dim"))

"""What the pages tell their readers to type works, and prints what the pages show."""

import base64
import re
import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from dap.errors import DapError

from demo.access import await_result
from demo.flow import PIPELINE_ENDS
from demo.project import REPOSITORY
from tests.demo.conftest import Platform
from tests.demo.docs.places import Places
from tests.demo.docs.session import Session
from tests.paths import relative
from tests.tools.markdown import Block, Use, difference
from tests.tools.pages import PAGES, has_acts, page_blocks

STARTED = re.compile(r"pipeline #\d+: https://[^/]+/-/pipelines/([a-z0-9-]+)/(\d+)")
PIPELINE_LIMIT_S = 120
# Pages whose readers push to a repository that is still empty.
EMPTY = {"doc/quickstart.md": REPOSITORY, "doc/extend.md": "churn"}


class Reader:
    """Goes through a page as its reader does: block after block, each place in one session."""

    def __init__(self, places: Places, stack: ExitStack) -> None:
        self._places = places
        self._stack = stack
        self._sessions: dict[str, Session] = {}
        self._printed = ""
        self._new = ""

    def take(self, block: Block) -> None:
        """Do what the block says.

        Raises:
            AssertionError: it fails, or prints something else than the page shows.
        """
        text = self._places.here(block.text)
        match block.use:
            case Use.RUN if block.language == "python":
                self._run(block.place, f"python - <<'PYTHON'\n{text}PYTHON")
            case Use.RUN:
                self._run(block.place, text)
            case Use.FILE:
                path = shlex.quote(block.value)
                encoded = base64.b64encode(text.encode()).decode()
                self._run(block.place, f'mkdir -p "$(dirname {path})"')
                self._run(block.place, f"echo {encoded} | base64 -d >{path}")
            case Use.SETTINGS:
                self._places.set(text, keep=block.value != "valid")
            case Use.OUTPUT:
                problem = difference(text, self._printed)
                assert not problem, f"{problem}; all it printed:\n{self._printed}"

    def printed_anew(self) -> str:
        """Return what was printed since this was asked last."""
        new, self._new = self._new, ""
        return new

    def _run(self, place: str, text: str) -> None:
        if place not in self._sessions:
            self._sessions[place] = self._stack.enter_context(self._places.open(place))
        self._printed = self._sessions[place].run(text)
        self._new += self._printed


@pytest.mark.parametrize("page", [page for page in PAGES if has_acts(page)], ids=relative)
def test_the_blocks_of_a_page_work(places: Places, platform: Platform, page: Path) -> None:
    places.reset()
    if relative(page) in EMPTY:
        places.empty(EMPTY[relative(page)])
    with ExitStack() as stack:
        reader = Reader(places, stack)
        for block in page_blocks(page):
            try:
                reader.take(block)
            except (AssertionError, DapError) as error:
                pytest.fail(f"{block.where}: {places.hidden(str(error))}", pytrace=False)
            # Before the next block: a deploy of it could end what is still under way.
            for project, number in STARTED.findall(reader.printed_anew()):
                end = pipeline_end(platform, project, int(number))
                assert end == "success", f"{project} {number}"


def pipeline_end(platform: Platform, project: str, number: int) -> str:
    """Status of a pipeline once it has ended."""

    def ended() -> Any:
        status = platform.admin.pipeline(project, number).json()["status"]
        return status if status in PIPELINE_ENDS else None

    return str(await_result(f"pipeline {number} of {project}", ended, PIPELINE_LIMIT_S))

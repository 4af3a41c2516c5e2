"""The documentation's pages, wherever they stand in the repository."""

from pathlib import Path

from tests.paths import ROOT, relative, repository_files
from tests.tools.markdown import Block, MarkdownError, Use, blocks

# What is rendered for each project is read as it stands: its blocks hold no expressions.
RENDERED = ROOT / "template" / "README.md.jinja"
PAGES = [path for path in repository_files() if path.suffix == ".md" and not path.is_symlink()]
PAGES.append(RENDERED)
ACTS = {Use.RUN, Use.FILE, Use.SETTINGS}


def page_blocks(page: Path) -> list[Block]:
    """Blocks of a page.

    Raises:
        MarkdownError: one does not say what it is for.
    """
    return blocks(page, relative(page))


def has_acts(page: Path) -> bool:
    """Whether a page has blocks to act on, or is wrong, which acting on it tells."""
    try:
        return any(block.use in ACTS for block in page_blocks(page))
    except MarkdownError:
        return True

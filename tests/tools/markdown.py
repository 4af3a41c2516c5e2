"""Markdown pages as their readers use them: blocks to copy, links to follow, headings to land on.

What a fenced block is for stands in its info string after the language; renderers do not show it:

    ```sh project              run in that place (PLACES), in one session a page
    ```text output             what the block run before prints; `…` stands for anything
    ```yaml laptop file=PATH   written there, where the page's session in that place is
    ```yaml settings           merged into platform.yml; `settings=valid`: only checked
    ```sh elsewhere=PATH       run by that test
    ```sh not run: REASON
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

PLACES = ("host", "project", "workspace", "laptop")
LANGUAGES = ("sh", "python")  # of blocks that run
USES = f"PLACE, PLACE file=PATH, output, settings, elsewhere=PATH, not run: REASON; PLACE: {PLACES}"


class Use(Enum):
    """What a block is for."""

    RUN = "run"
    OUTPUT = "output"
    FILE = "file"
    SETTINGS = "settings"
    ELSEWHERE = "elsewhere"
    NOT_RUN = "not run"


class MarkdownError(ValueError):
    """A page breaks a rule; the message names file and line."""


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        where: FILE:LINE of its fence.
        language: first word of the info string.
        use: what it is for.
        place: where, if it is to be run or written.
        value: path or reason, as the use needs it.
        text: what it holds.
    """

    where: str
    language: str
    use: Use
    place: str
    value: str
    text: str


def blocks(path: Path, name: str) -> list[Block]:
    """Blocks of the page at `path`, in order; messages call it `name`.

    Raises:
        MarkdownError: a block says neither where it runs nor why not, or output has nothing before.
    """
    found: list[Block] = []
    for token in MarkdownIt().parse(path.read_text(encoding="utf-8")):
        if token.type == "code_block":
            raise MarkdownError(f"{name}:{_line(token)}: an indented block; allowed: fenced ones")
        if token.type == "fence":
            block = _block(f"{name}:{_line(token)}", token.info.strip(), token.content)
            if block.use is Use.OUTPUT and (not found or found[-1].use is not Use.RUN):
                raise MarkdownError(f"{block.where}: output of what? No block runs before it")
            found.append(block)
    return found


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


def _block(where: str, info: str, text: str) -> Block:
    language, _, words = info.partition(" ")
    place, _, rest = words.partition(" ")
    key, _, value = words.partition("=")

    def block(use: Use, value: str = "", place: str = "") -> Block:
        return Block(where, language, use, place, value, text)

    if words in PLACES and language in LANGUAGES:
        return block(Use.RUN, place=words)
    if place in PLACES and rest.startswith("file=") and rest != "file=":
        return block(Use.FILE, rest.removeprefix("file="), place)
    if words == "output":
        return block(Use.OUTPUT)
    if words in ("settings", "settings=valid"):
        return block(Use.SETTINGS, value)
    if key == "elsewhere" and value:
        return block(Use.ELSEWHERE, value)
    if words.startswith("not run: "):
        return block(Use.NOT_RUN, words.removeprefix("not run: "))
    raise MarkdownError(f"{where}: '{info}' does not say what the block is for; allowed: {USES}")


@dataclass(frozen=True)
class Link:
    """A link or an image: where it stands (FILE:LINE) and where it leads."""

    where: str
    target: str


def links(path: Path, name: str) -> list[Link]:
    """Links and images of a page."""
    found = []
    for token in MarkdownIt().enable("table").parse(path.read_text(encoding="utf-8")):
        for child in token.children or []:
            target = child.attrGet("href") or child.attrGet("src")
            if target is not None:
                found.append(Link(f"{name}:{_line(token)}", str(target)))
    return found


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them: repeated ones get -1, -2 …"""
    seen: Counter[str] = Counter()
    found = set()
    for text in headings(path):
        anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


def headings(path: Path) -> list[str]:
    """Texts of a page's headings, in order, without marks."""
    tokens = MarkdownIt().parse(path.read_text(encoding="utf-8"))
    return [_plain(tokens[i + 1]) for i, t in enumerate(tokens) if t.type == "heading_open"]


def _plain(inline: Token) -> str:
    return "".join(c.content for c in inline.children or [] if c.type in ("text", "code_inline"))


def paragraphs(path: Path) -> list[str]:
    """Texts of a page's paragraphs, in order, without marks."""
    tokens = MarkdownIt().parse(path.read_text(encoding="utf-8"))
    return [_plain(tokens[i + 1]) for i, t in enumerate(tokens) if t.type == "paragraph_open"]


def inline_code(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of each `word` that stands in a sentence or a table."""
    for token in MarkdownIt().enable("table").parse(path.read_text(encoding="utf-8")):
        for child in token.children or []:
            if child.type == "code_inline":
                yield _line(token), child.content


def difference(expected: str, found: str) -> str:
    """Where what was printed departs from what a page shows; empty if it does not.

    In `expected`, `…` stands for any text in a line, and a line of `…` alone for any number of
    lines. Blanks at line ends and empty lines at both ends do not count.
    """
    lines = [line.rstrip() for line in found.strip("\n").splitlines()]
    patterns = [_pattern(line.rstrip()) for line in expected.strip("\n").splitlines()]
    # reached: how many lines of `found` may be used up by the patterns so far.
    reached = {0}
    for pattern in patterns:
        if pattern is None:
            reached = set(range(min(reached), len(lines) + 1))
            continue
        after = {n + 1 for n in reached if n < len(lines) and pattern.fullmatch(lines[n])}
        if not after:
            at = max(reached)
            got = repr(lines[at]) if at < len(lines) else "the end"
            return f"expected {pattern.pattern!r}, found {got}"
        reached = after
    return "" if len(lines) in reached else f"expected the end, found {lines[max(reached)]!r}"


def _pattern(line: str) -> re.Pattern[str] | None:
    if line.strip() == "…":
        return None
    return re.compile(".*".join(re.escape(part) for part in line.split("…")))

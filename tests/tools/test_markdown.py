"""The reader of pages: what a block is for, where links lead, what output matches."""

from pathlib import Path

import pytest

from tests.tools.markdown import (
    Block,
    MarkdownError,
    Use,
    anchors,
    blocks,
    difference,
    inline_code,
    links,
)


def page(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "page.md"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("info", "use", "place", "value"),
    [
        ("sh project", Use.RUN, "project", ""),
        ("python workspace", Use.RUN, "workspace", ""),
        ("yaml laptop file=src/x y.yml", Use.FILE, "laptop", "src/x y.yml"),
        ("yaml settings", Use.SETTINGS, "", ""),
        ("yaml settings=valid", Use.SETTINGS, "", "valid"),
        ("sh elsewhere=tests/a.py", Use.ELSEWHERE, "", "tests/a.py"),
        ("sh not run: needs a second machine", Use.NOT_RUN, "", "needs a second machine"),
    ],
)
def test_the_info_string_says_what_a_block_is_for(
    tmp_path: Path, info: str, use: Use, place: str, value: str
) -> None:
    [block] = blocks(page(tmp_path, f"# Title\n\n```{info}\nmake\n```\n"), "doc/x.md")
    assert block == Block("doc/x.md:3", info.split()[0], use, place, value, "make\n")


@pytest.mark.parametrize(
    "info",
    ["", "sh", "sh nowhere", "yaml project", "sh not run:", "sh project file=", "sh settings=x"],
)
def test_a_block_that_says_nothing_is_refused(tmp_path: Path, info: str) -> None:
    with pytest.raises(MarkdownError, match=r"^doc/x\.md:1: .*allowed: PLACE"):
        blocks(page(tmp_path, f"```{info}\nmake\n```\n"), "doc/x.md")


def test_an_indented_block_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MarkdownError, match=r"^doc/x\.md:3: an indented block"):
        blocks(page(tmp_path, "Text\n\n    make\n"), "doc/x.md")


def test_output_belongs_to_the_block_before(tmp_path: Path) -> None:
    fence = "```text output\nok\n```\n"
    run, output = blocks(page(tmp_path, f"```sh project\nmake\n```\n\n{fence}"), "x.md")
    assert (run.use, output.use) == (Use.RUN, Use.OUTPUT)
    with pytest.raises(MarkdownError, match="output of what"):
        blocks(page(tmp_path, fence), "x.md")


def test_blocks_in_lists_lose_their_indent(tmp_path: Path) -> None:
    [block] = blocks(page(tmp_path, "1. Do:\n\n   ```sh project\n   make\n   ```\n"), "x.md")
    assert block.text == "make\n"


def test_links_are_those_of_text_tables_and_images(tmp_path: Path) -> None:
    text = "[a](b.md#c) `[no](code)`\n\n| x |\n|---|\n| [d](e) |\n\n![f](g.png)\n"
    found = links(page(tmp_path, f"{text}\n```sh project\n[no](code)\n```\n"), "x.md")
    assert [(link.where, link.target) for link in found] == [
        ("x.md:1", "b.md#c"),
        ("x.md:5", "e"),
        ("x.md:7", "g.png"),
    ]


def test_anchors_are_those_of_the_headings(tmp_path: Path) -> None:
    text = "# A `b-c` d.\n\n## A (b)\n\n## A (b)\n\n```sh project\n# no heading\n```\n"
    assert anchors(page(tmp_path, text)) == {"a-b-c-d", "a-b", "a-b-1"}


def test_inline_code_has_its_line(tmp_path: Path) -> None:
    found = inline_code(page(tmp_path, "Say `make x`.\n\n| a |\n|---|\n| `b` |\n"))
    assert list(found) == [(1, "make x"), (5, "b")]


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("a\nb", "a\nb"),
        ("a", "\na  \n\n"),
        ("a … c", "a b b c"),
        ("…", ""),
        ("…", "a\nb"),
        ("a\n…\nz", "a\nz"),
        ("a\n…\nz", "a\nz\nm\nz"),
        ("…\nz", "z\ny\nz"),
        ("a.c", "a.c"),
    ],
)
def test_output_matches(expected: str, found: str) -> None:
    assert difference(expected, found) == ""


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("a", "b"),
        ("a.c", "abc"),
        ("a\nb", "a"),
        ("a", "a\nb"),
        ("a", "xa"),
        ("a\n…\nz", "a\nz\nm"),
        ("…\nz", "y"),
        ("a …", "b a c"),
    ],
)
def test_output_differs(expected: str, found: str) -> None:
    assert difference(expected, found)

"""Pages are current, their links lead somewhere, and each block says what it is for."""

import json
import re
from pathlib import Path

import pytest
from copier import run_copy

from tests.paths import ROOT, relative, text_files
from tests.template.conftest import snapshot
from tests.tools import baseline_page, cluster_page
from tests.tools.markdown import Use, anchors, inline_code, links, paragraphs
from tests.tools.pages import PAGES, RENDERED, page_blocks
from tests.tools.settings_page import PAGE, page, reference

DOC = sorted((ROOT / "doc").glob("*.md"))
REPORTS = {"benchmarks.md", "reliability.md"}  # made of figures


def test_the_settings_page_is_current() -> None:
    assert PAGE.read_text() == page(), f"{relative(PAGE)} is stale: make docs"


def test_the_page_of_the_baseline_is_current() -> None:
    shown, made = baseline_page.PAGE, baseline_page.page()
    assert shown.read_text() == made, f"{relative(shown)} is stale: make docs"


def test_the_page_of_kubernetes_is_current() -> None:
    shown, made = cluster_page.PAGE, cluster_page.page()
    assert shown.read_text() == made, f"{relative(shown)} is stale: make docs"


def test_every_setting_is_described() -> None:
    schema = json.loads((ROOT / "infrastructure" / "platform.schema.json").read_text())
    models = {"platform.yml": schema, **schema["$defs"]}
    bare = [
        f"{name}.{key}"
        for name, model in models.items()
        for key, value in model.get("properties", {}).items()
        if not value.get("description") and not reference(value)
    ]
    assert bare == []


SECTIONS = ("services", "environments")


@pytest.mark.parametrize("place", SECTIONS)
def test_every_folder_of_the_catalogue_has_a_page(place: str) -> None:
    folder = ROOT / ("infrastructure/services" if place == "services" else place)
    mark = "compose.yml" if place == "services" else "Dockerfile"
    bare = [
        p.name for p in folder.iterdir() if (p / mark).exists() and not (p / "README.md").exists()
    ]
    assert bare == []


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_every_block_says_what_it_is_for(path: Path) -> None:
    for block in page_blocks(path):
        if block.use is Use.ELSEWHERE:
            assert (ROOT / block.value).is_file(), f"{block.where}: there is no {block.value}"


@pytest.mark.parametrize("path", [p for p in DOC if p.name not in REPORTS], ids=relative)
def test_a_page_says_first_whom_it_is_for(path: Path) -> None:
    assert re.match(r"For [^.:]+[.:] .*[Aa]fter (reading )?it you ", paragraphs(path)[0])


def reached(start: Path) -> set[Path]:
    """Pages that links lead to from a page, over any number of steps."""
    found, left = {start}, [start]
    while left:
        page = left.pop()
        targets = {link.target.partition("#")[0] for link in links(page, page.name)}
        # The rendered README stands in a project where the repository's root is.
        folder = ROOT if page == RENDERED else page.parent
        pages = {(folder / target).resolve() for target in targets if target.endswith(".md")}
        new = {page for page in pages - found if page.is_file()}
        found |= new
        left += new
    return found


@pytest.mark.parametrize("start", [ROOT / "README.md", RENDERED], ids=relative)
def test_every_page_is_found_from_the_readme(start: Path) -> None:
    assert [relative(path) for path in DOC if path not in reached(start)] == []


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as copier makes it of the working tree."""
    source, target = (tmp_path_factory.mktemp(name) for name in ("distribution", "project"))
    snapshot(source)
    run_copy(str(source), target, defaults=True, quiet=True)
    return target


def dangling(pages: list[Path], root: Path) -> list[str]:
    """Links of pages below `root` that lead nowhere, to no heading or out of it."""
    found = []
    for path in pages:
        for link in links(path, str(path.relative_to(root))):
            if re.match(r"[a-z]+:", link.target):
                continue
            name, _, anchor = link.target.partition("#")
            file = (path.parent / name).resolve() if name else path
            if not (file.exists() and file.is_relative_to(root)) or (
                anchor and anchor not in anchors(file)
            ):
                found.append(f"{link.where}: {link.target}")
    return found


def test_links_lead_somewhere() -> None:
    assert dangling([path for path in PAGES if path.suffix == ".md"], ROOT) == []


def test_links_lead_somewhere_in_a_project(project: Path) -> None:
    pages = list(project.rglob("*.md"))
    assert len(pages) > 20
    assert dangling(pages, project.resolve()) == []


WORD = re.compile(r"(?P<tool>make|dap) (?P<word>[a-z][a-z-]*)")


def targets(makefile: Path) -> set[str]:
    """Targets that a Makefile lists."""
    found = re.search(r"^\.PHONY: (.*)$", makefile.read_text(), flags=re.MULTILINE)
    assert found
    return set(found[1].split())


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_commands_that_are_named_are_there(path: Path) -> None:
    known = {
        "make": targets(ROOT / "Makefile") | targets(ROOT / "template" / "Makefile"),
        "dap": {
            p.stem.replace("_", "-")
            for p in (ROOT / "infrastructure" / "dap" / "cli").glob("[!_]*.py")
        },
    }
    for line, text in inline_code(path):
        match = WORD.match(text.removeprefix(".venv/bin/"))
        if match:
            assert match["word"] in known[match["tool"]], f"{relative(path)}:{line}: {text}"


# Messages of other programs that the page explains.
OTHERS = {
    "CERTIFICATE_VERIFY_FAILED",
    "Could not resolve host",
    "self-signed certificate in certificate chain",
    "Permission denied (publickey)",
    "REMOTE HOST IDENTIFICATION HAS CHANGED",
    "FATAL: W any … DENIED",
    "No space left on device",
    "/tmp",
    'pods "…" is forbidden: exceeded quota',
    "x509: certificate signed by unknown authority",
}


def test_messages_that_are_explained_are_there() -> None:
    troubles = ROOT / "doc" / "troubleshooting.md"
    sources = "\n".join(
        text
        for path, text in text_files()
        if relative(path).startswith(("infrastructure/", "environments/")) and path.suffix != ".md"
    )
    messages = [
        code
        for heading in re.findall(r"^### (.*)$", troubles.read_text(), flags=re.MULTILINE)
        for code in re.findall(r"`([^`]+)`", heading)
    ]
    assert len(messages) > 20
    gone = [
        message
        for message in set(messages) - OTHERS
        for part in message.split("…")
        if part.strip(" :") and part.strip(" :") not in sources
    ]
    assert gone == []

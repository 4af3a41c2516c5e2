"""The linters of the languages that are in use here, each over every file of its kind."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT, relative, repository_files

BIN = Path(sys.executable).parent

HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")


def run(*command: str, stdin: str | None = None) -> None:
    """Run a linter; what it says is the failure."""
    name, *rest = command
    done = subprocess.run(
        [str(BIN / name), *rest], cwd=ROOT, input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (
        f"{name}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    )


def python_files() -> list[str]:
    return [relative(p) for p in repository_files() if p.suffix == ".py" and not p.is_symlink()]


def dockerfiles() -> list[str]:
    return [
        relative(p)
        for p in repository_files()
        if p.name == "Dockerfile" or p.name.startswith("Dockerfile.") or p.suffix == ".Dockerfile"
    ]


def shell_scripts() -> list[str]:
    found = []
    for path in repository_files():
        if path.is_symlink() or path.suffix in {".md", ".j2", ".jinja"}:
            continue
        with path.open("rb") as file:
            first = file.readline(100)
        if path.suffix == ".sh" or re.match(rb"#!.*\b(ba|da)?sh\b", first):
            found.append(relative(path))
    return found


def with_blank_line_after_heredocs(text: str) -> str:
    """The same Dockerfile in the form that hadolint's parser needs."""
    lines: list[str] = []
    ends: list[str] = []
    for line in text.splitlines():
        lines.append(line)
        if ends:
            if line.strip() == ends[0]:
                ends.pop(0)
                if not ends:
                    lines.append("")
        elif not line.lstrip().startswith("#"):
            ends = [match[2] for match in HEREDOC.finditer(line)]
    return "\n".join(lines) + "\n"


def test_ruff_check() -> None:
    run("ruff", "check", "--no-cache", "--output-format=concise")


def test_ruff_format() -> None:
    run("ruff", "format", "--check", "--no-cache")


@pytest.mark.slow
def test_mypy_strict() -> None:
    run("mypy", *[name for name in python_files() if not name.startswith("src/")])


@pytest.mark.slow
def test_ansible_lint_production_profile() -> None:
    assert [p for p in repository_files() if "infrastructure/ansible" in relative(p)], (
        "no playbooks found"
    )
    run(
        "ansible-lint",
        "--profile",
        "production",
        "--strict",
        "--offline",
        "-q",
        "infrastructure/ansible",
    )


def test_yamllint() -> None:
    names = [
        relative(p)
        for p in repository_files()
        if p.suffix in {".yml", ".yaml"} and not p.is_symlink() and not is_template(p)
    ]
    run("yamllint", "--strict", *names)


def is_template(path: Path) -> bool:
    """Jinja that is YAML only once rendered: the Compose files of the catalogue."""
    return path.name == "compose.yml" and path.parent.parent == ROOT / "infrastructure" / "services"


def test_shellcheck() -> None:
    names = shell_scripts()
    assert "infrastructure/bootstrap" in names
    run("shellcheck", "--severity=style", *names)


@pytest.mark.parametrize("name", dockerfiles())
def test_hadolint(name: str) -> None:
    run(
        "hadolint",
        "--no-color",
        "-",
        stdin=with_blank_line_after_heredocs((ROOT / name).read_text()),
    )


@pytest.mark.parametrize(
    ("linter", "content"),
    [
        (
            "hadolint",
            "FROM base\nRUN cd /tmp; sudo apt-get install x\nRUN <<EOT\ntrue\nEOT\nUSER x\n",
        ),
        ("shellcheck", "#!/bin/sh\necho $1\n"),
        ("yamllint", "a: 1\na: 2\n"),
    ],
)
def test_linters_do_find_faults(linter: str, content: str) -> None:
    content = with_blank_line_after_heredocs(content) if linter == "hadolint" else content
    with pytest.raises(AssertionError, match="exit status 1"):
        run(linter, "-", stdin=content)

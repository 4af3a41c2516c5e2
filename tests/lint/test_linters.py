"""The linters of the languages that are in use here, each over every file of its kind."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT, relative, repository_files

BIN = Path(sys.executable).parent

HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")


def run(
    *command: str,
    stdin: str | None = None,
    cwd: Path = ROOT,
    environment: dict[str, str] | None = None,
) -> None:
    """Run a linter; what it says is the failure."""
    name, *rest = command
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [BIN / name, *rest],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path, "NO_COLOR": "1", **(environment or {})},
    )
    if done.returncode:
        pytest.fail(f"{name}: exit status {done.returncode}\n{done.stdout}{done.stderr}", False)


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


# Programs of their own, which run elsewhere with libraries of their own: checked one by one.
APART = {
    "infrastructure/services": 3,
    "environments": 1,
    "src": 2,
    "infrastructure/ansible": 3,
    "infrastructure/tests": 2,
}


def programs() -> dict[str, list[str]]:
    """Python files by the program that they belong to."""
    found: dict[str, list[str]] = {}
    for name in python_files():
        program = "dap, demo and tests"
        for place, depth in APART.items():
            if name.startswith(f"{place}/"):
                program = "/".join(name.split("/")[:depth])
        found.setdefault(program, []).append(name)
    return found


SHARED = ROOT / "infrastructure" / "ansible" / "module_utils"


def source_roots(names: list[str]) -> list[str]:
    """Folders that the files' modules are imported from."""
    found = set()
    for name in names:
        folder = (ROOT / name).parent
        while (folder / "__init__.py").exists():
            folder = folder.parent
        # Ansible puts what modules share into its own package, and they import it from there.
        found.add(str(ROOT / "infrastructure" if folder == SHARED else folder))
    return sorted(found)


@pytest.mark.slow
@pytest.mark.parametrize("program", programs())
def test_mypy_strict(program: str) -> None:
    names = programs()[program]
    if program == "dap, demo and tests":
        # Their unit tests import what services and acceptance tests are made of.
        places = re.compile(r"/(services|tests/acceptance)/(.*/)?__init__\.py$")
        packages = [n for n in python_files() if places.search(n)]
        run("mypy", *names, environment={"MYPYPATH": os.pathsep.join(source_roots(packages))})
        return
    # The libraries are those of its own image; here most are not installed.
    missing = ["--ignore-missing-imports"]
    if program.startswith("infrastructure/services/"):
        missing.append("--allow-subclassing-any")
    # Acceptance tests, wherever they are, share a package.
    roots = [*source_roots(names), str(ROOT / "infrastructure" / "tests")]
    run("mypy", *missing, *names, environment={"MYPYPATH": os.pathsep.join(dict.fromkeys(roots))})


@pytest.mark.slow
def test_ansible_lint_production_profile() -> None:
    place = ROOT / "infrastructure" / "ansible"
    assert list(place.glob("*.yml")), "no playbooks found"
    run(
        *("ansible-lint", "--profile", "production", "--strict", "--offline", "--nocolor", "-q"),
        *("--config-file", str(ROOT / ".ansible-lint"), "--project-dir", "."),
        cwd=place,
        environment={"ANSIBLE_CONFIG": str(place / "ansible.cfg")},
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


PIPELINES = ("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", "--data-transform")


def pipelines() -> list[str]:
    return [relative(p) for p in repository_files() if p.name == ".gitlab-ci.yml"]


@pytest.mark.parametrize("name", pipelines())
def test_pipelines_are_as_gitlabs_schema_has_them(name: str) -> None:
    run(*PIPELINES, "gitlab-ci", name)


def test_the_schema_does_find_faults(tmp_path: Path) -> None:
    assert len(pipelines()) > 3
    wrong = tmp_path / ".gitlab-ci.yml"
    wrong.write_text("job: {script: [make], artefacts: {paths: [a]}}\n")
    with pytest.raises(pytest.fail.Exception, match="exit status 1"):
        run(*PIPELINES, "gitlab-ci", str(wrong))


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
    with pytest.raises(pytest.fail.Exception, match="exit status 1"):
        run(linter, "-", stdin=content)

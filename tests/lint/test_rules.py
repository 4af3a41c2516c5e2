"""The project's own rules, over every text file of the repository."""

import os
import re
from pathlib import Path

import pytest

from tests.paths import ROOT, relative, repository_files, text_files

# Written in two parts, so that this file keeps its own rule.
REGISTRIES = re.compile(
    "|".join(
        re.escape(host).replace("~", r"\.")
        for host in (
            "pypi~org",
            "files~pythonhosted~org",
            "pythonhosted~org",
            "registry~npmjs~org",
            "npmjs~com",
            "registry~yarnpkg~com",
            "proxy~golang~org",
            "sum~golang~org",
            "goproxy~io",
            "deb~debian~org",
            "security~debian~org",
            "ftp~debian~org",
            "archive~ubuntu~com",
            "docker~io",
            "ghcr~io",
            "quay~io",
            "gcr~io",
            "mcr~microsoft~com",
            "crates~io",
            "repo1~maven~org",
            "repo~maven~apache~org",
            "conda~anaconda~org",
        )
    )
)
# Debian's package of the Docker engine bears the name of a registry.
NO_HOST = re.compile(r"(?<![\w./-])docker\.io(?![\w./:-]*/)")

SERVICES = sorted(
    p.name
    for p in (ROOT / "infrastructure" / "services").iterdir()
    if (p / "compose.yml").is_file()
)


def hits(pattern: re.Pattern[str]) -> list[str]:
    """FILE:LINE of every match."""
    return [
        f"{relative(path)}:{number}: {line.strip()[:100]}"
        for path, text in text_files()
        if path != Path(__file__)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def report(found: list[str]) -> str:
    """Put each on a line of its own."""
    return "\n".join(["", *found])


def test_no_registry_is_named() -> None:
    found = [
        f"{relative(path)}:{number}: {line.strip()[:100]}"
        for path, text in text_files()
        if path != Path(__file__)
        for number, line in enumerate(text.splitlines(), 1)
        if REGISTRIES.search(NO_HOST.sub("", line))
    ]
    assert not found, report(found)


def test_no_fault_is_swallowed() -> None:
    found = hits(re.compile(r"ignore_errors\s*:\s*(true|yes)|\|\|\s*(true|:)(\s|$|\))"))
    assert not found, report(found)


def test_no_path_of_a_machine() -> None:
    found = hits(
        re.compile(r"/(home|Users)/(?!(analyst|git|ada)\b)[a-z][\w.-]*/|/root/(?!\.|go\b)|/work/")
    )
    assert not found, report(found)


def test_no_sleep_where_a_condition_can_be_awaited() -> None:
    pattern = re.compile(r"(?<![\w.])time\.sleep\(|ansible\.builtin\.pause|wait_for_timeout")
    tests = [hit for hit in hits(pattern) if re.search(r"(^|/)(tests|demo|ansible/roles)/", hit)]
    assert not tests, report(tests)


@pytest.mark.parametrize("name", ["infrastructure", "environments", "src", "doc"])
def test_template_links(name: str) -> None:
    link = ROOT / "template" / name
    assert link.is_symlink()
    target = os.readlink(link)
    assert target == f"../{name}"
    assert link.resolve() == ROOT / name


def test_every_link_is_relative_inside_and_without_a_cycle() -> None:
    for path in repository_files():
        if not path.is_symlink():
            continue
        target = os.readlink(path)
        assert not os.path.isabs(target), f"{relative(path)} -> {target}: absolute"
        resolved = path.resolve(strict=True)
        assert resolved.is_relative_to(ROOT), f"{relative(path)} leads out of the repository"
        assert not path.absolute().is_relative_to(resolved), f"{relative(path)} is a cycle"


def test_only_the_template_holds_files_that_copier_renders() -> None:
    names = [relative(p) for p in repository_files() if p.suffix == ".jinja"]
    assert [name for name in names if not name.startswith("template/")] == []
    assert "template/platform.yml.jinja" in names


def test_scripts_with_a_shebang_are_executable() -> None:
    for path, text in text_files():
        # Ansible runs its modules by their interpreter; the line is its sanity rule.
        if text.startswith("#!") and "infrastructure/ansible/library" not in str(path):
            assert os.access(path, os.X_OK), f"{relative(path)} has a shebang and is not executable"


# Words of the contracts in doc/architecture.md, beside being names of folders.
FIELDS = {"portal", "registry", "content", "workspace", "engine", "jump", "gitlab", "nameserver"}


@pytest.mark.parametrize("service", sorted(set(SERVICES) - FIELDS))
def test_a_service_is_named_in_its_folder_alone(service: str) -> None:
    """Neither `dap` nor the engine knows a service: as a word in quotes or as a YAML value."""
    pattern = re.compile(rf"""['"/]{re.escape(service)}['"/]|:\s+{re.escape(service)}\s*$""")
    found = [
        hit
        for hit in hits(pattern)
        if hit.startswith(("infrastructure/dap/", "infrastructure/ansible/"))
    ]
    assert not found, report(found)


def test_one_place_knows_where_the_pages_of_pipelines_have_their_data() -> None:
    found = [hit for hit in hits(re.compile("/-/data")) if re.match(r"(demo|tests)/.*\.py:", hit)]
    assert [hit.split(":")[0] for hit in found] == ["demo/access.py"], report(found)

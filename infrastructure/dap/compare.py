"""What two commits would bring to the hosts, side by side: rendered without secrets or hosts."""

from __future__ import annotations

import difflib
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from dap.errors import InputError
from dap.render import Tree

# What images and content are made of, and what repeats the rest: told of by number alone.
_MADE_OF = ("base/", "content/", "environments/", "services/", "docker-bake.json", "plan.json")
_COMPOSE = "compose.yml"
_CONTEXT = 2


@dataclass
class Difference:
    """What is new, other or gone: compose services as HOST/SERVICE, and files with their lines.

    `said`: why there is none.
    """

    create: list[str] = field(default_factory=list)
    update: list[str] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)
    diffs: dict[str, str] = field(default_factory=dict)
    made_of: int = 0
    said: str = ""

    @property
    def report(self) -> dict[str, int]:
        """Numbers of services, as GitLab shows them in a merge request (its report `terraform`)."""
        kinds = {"create": self.create, "update": self.update, "delete": self.delete}
        return {name: len(services) for name, services in kinds.items()}

    @property
    def is_empty(self) -> bool:
        """Whether a deploy of either would bring the same."""
        return not (self.diffs or self.made_of or any(self.report.values()))

    def lines(self) -> Iterator[str]:
        """Yield it as Markdown."""
        if self.said:
            yield self.said
            return
        if self.is_empty:
            yield "No change: a deploy would bring the same to all hosts."
            return
        for title, services in (
            ("New", self.create),
            ("Other", self.update),
            ("Gone", self.delete),
        ):
            if services:
                yield f"- {title}: {', '.join(services)}"
        if self.made_of:
            yield f"- {self.made_of} files that images and content are made of"
        for name, diff in self.diffs.items():
            yield f"\n### {name}\n\n```diff\n{diff}\n```"


def compare(old: Iterable[Tree], new: Iterable[Tree]) -> Difference:
    """Return what is different in the second trees; both are rendered without secrets."""
    found = Difference()
    before = {tree.host: tree for tree in old}
    after = {tree.host: tree for tree in new}
    for host in sorted(before.keys() | after.keys()):
        here, there = _files(before.get(host)), _files(after.get(host))
        _compare_services(host, _services(here), _services(there), found)
        for path in sorted(here.keys() | there.keys()):
            texts = here.get(path, b""), there.get(path, b"")
            if texts[0] == texts[1]:
                continue
            if path.startswith(_MADE_OF):
                found.made_of += 1
            else:
                found.diffs[f"{host}: {path}"] = _diff(*texts)
    return found


def _files(tree: Tree | None) -> dict[str, bytes]:
    return {file.path: file.content for file in tree.files} if tree else {}


def _services(files: Mapping[str, bytes]) -> dict[str, object]:
    text = files.get(_COMPOSE)
    data = yaml.load(text, Loader=yaml.CSafeLoader) if text else {}
    return dict(data.get("services", {}))


def _compare_services(
    host: str, old: Mapping[str, object], new: Mapping[str, object], found: Difference
) -> None:
    found.create += [f"{host}/{name}" for name in sorted(new.keys() - old.keys())]
    found.delete += [f"{host}/{name}" for name in sorted(old.keys() - new.keys())]
    both = sorted(old.keys() & new.keys())
    found.update += [f"{host}/{name}" for name in both if old[name] != new[name]]


def _diff(old: bytes, new: bytes) -> str:
    one, other = (each.decode(errors="replace").splitlines() for each in (old, new))
    return "\n".join(list(difflib.unified_diff(one, other, lineterm="", n=_CONTEXT))[2:])


@contextmanager
def checked_out(root: Path, commit: str) -> Iterator[Path]:
    """Give a folder with the project as it is in a commit.

    Raises:
        InputError: git does not know the commit.
    """
    with TemporaryDirectory() as place:
        try:
            archive = subprocess.run(
                ["git", "-C", str(root), "archive", "--format=tar", f"{commit}^{{commit}}", "."],
                check=True,
                capture_output=True,
            ).stdout
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()
            raise InputError(f"{commit}: {said}", "git fetch, then try again") from error
        subprocess.run(["tar", "-x", "-C", place], check=True, input=archive)
        yield Path(place)

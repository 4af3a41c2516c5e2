"""Makes an analysis project: a folder with a repository, and its entry in the settings."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from dap.errors import DapError, InputError
from dap.plan import Plan
from dap.replace import replace_file
from dap.settings import choice, load
from dap.settings.edit import add_project
from dap.settings.types import ProjectName

PATTERN = Path("infrastructure", "pattern")
SETTINGS = "platform.yml"
BRANCH = "main"


@dataclass(frozen=True)
class NewProject:
    """A project that is being made.

    Attributes:
        name: its name.
        members: users who may use it; none: everybody.
        directory: folder of its repository.
    """

    name: str
    members: tuple[str, ...]
    directory: Path


class Making:
    """The steps from a name to a project that can be deployed; each is done once.

    What was asked for is kept in `.dap` until the end, so that a run that failed can go on.
    """

    def __init__(self, root: Path, plan: Plan) -> None:
        self._root = root
        self._plan = plan
        self._settings = plan.settings

    def begin(self, name: str, members: Sequence[str], directory: Path | None) -> NewProject:
        """Check what is asked for, or find it half done.

        Args:
            name: the project's name.
            members: users who may use it; none: everybody.
            directory: folder of its repository; None: beside the platform's folder.

        Raises:
            InputError: the name, a member or the folder is refused; nothing was changed.
        """
        self._check_label(name)
        place = (directory or self._root.parent / name).absolute()
        begun = self._begun(name)
        if begun is not None:
            self._same(begun, members, directory and place)
            return begun
        project = NewProject(name, tuple(members), place)
        self._check_free(name)
        self._check_members(members)
        self._check_place(place)
        self._edited(project)
        return project

    def write(self, project: NewProject) -> None:
        """Make the folder and add the entry to the settings, as far as they are not there.

        Raises:
            DapError: git or copier failed; the settings are as they were.
        """
        note = self._note(project.name)
        note.parent.mkdir(parents=True, exist_ok=True)
        data = {**asdict(project), "directory": str(project.directory)}
        note.write_text(json.dumps(data), encoding="utf-8")
        if not project.directory.exists():
            self._make_folder(project)
        if project.name not in (each.name for each in self._settings.projects):
            file = self._root / SETTINGS
            mode = stat.S_IMODE(file.stat().st_mode)
            replace_file(file, self._edited(project).encode(), mode)

    def end(self, project: NewProject) -> None:
        """Say that nothing is left to be done."""
        self._note(project.name).unlink(missing_ok=True)

    def stands(self, project: NewProject) -> list[str]:
        """What is there of a project that is not finished."""
        found = []
        if project.directory.exists():
            found.append(f"the folder {project.directory}")
        if project.name in (each.name for each in load(self._root / SETTINGS).projects):
            found.append(f"its entry in {SETTINGS}")
        return found

    def _note(self, name: str) -> Path:
        return self._root / ".dap" / "new-project" / f"{name}.json"

    def _begun(self, name: str) -> NewProject | None:
        try:
            data = json.loads(self._note(name).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return NewProject(data["name"], tuple(data["members"]), Path(data["directory"]))

    def _same(self, begun: NewProject, members: Sequence[str], place: Path | None) -> None:
        hint = "leave it out to go on"
        if place is not None and place != begun.directory:
            raise InputError(f"--dir: {begun.name} was begun in {begun.directory}", hint)
        if members and tuple(members) != begun.members:
            was = ",".join(begun.members) or "everybody"
            raise InputError(f"--members: {begun.name} was begun for {was}", hint)

    def _check_label(self, name: str) -> None:
        try:
            TypeAdapter(ProjectName).validate_python(name)
        except ValidationError as error:
            context = error.errors()[0].get("ctx", {})
            told = f"{context.get('what')}; allowed: {context.get('allowed')}"
            raise InputError(f"the name of a project {told}; found: {json.dumps(name)}") from None

    def _check_free(self, name: str) -> None:
        taken = {each.name: "project" for each in self._settings.projects}
        taken |= {each.name: "user" for each in self._settings.users}
        if name in taken:
            raise InputError(
                f"{name}: is already the name of a {taken[name]}",
                "users and projects share accounts; choose another name",
            )

    def _check_members(self, members: Sequence[str]) -> None:
        names = [user.name for user in self._settings.users]
        for number, member in enumerate(members):
            if member not in names:
                allowed = choice(member, names)
                raise InputError(f"--members: is no user; allowed: {allowed}; found: {member}")
            if member in members[:number]:
                raise InputError(f"--members: {member} is named twice")

    def _check_place(self, place: Path) -> None:
        if place.exists() or place.is_symlink():
            raise InputError(f"{place}: is there already", "name another folder with DIR=…")
        if not place.parent.is_dir():
            raise InputError(f"{place.parent}: no such folder", "make it, or name another: DIR=…")
        if not os.access(place.parent, os.W_OK | os.X_OK):
            raise InputError(f"{place.parent}: may not be written to", "name another with DIR=…")
        if place.is_relative_to(self._root):
            raise InputError(
                f"{place}: lies in the platform's own repository", "name another with DIR=…"
            )

    def _edited(self, project: NewProject) -> str:
        """The settings' text with the project, known to be valid."""
        file = self._root / SETTINGS
        text = add_project(
            file.read_bytes().decode(), project.name, project.members, self._settings.projects
        )
        # Beside the real one, for files that it names are relative to its folder.
        with tempfile.NamedTemporaryFile(dir=self._root, prefix=".", suffix=f".{SETTINGS}") as new:
            new.write(text.encode())
            new.flush()
            try:
                load(Path(new.name))
            except InputError as error:
                told = error.message.replace(Path(new.name).name, SETTINGS)
                raise InputError(told, error.hint) from None
        return text

    def _make_folder(self, project: NewProject) -> None:
        """Made whole under another name first: a folder is there with its commit, or not at all."""
        url = self._plan.repository_url(project.name)
        scratch = Path(tempfile.mkdtemp(prefix=f".{project.name}-", dir=project.directory.parent))
        try:
            made = scratch / project.name
            copy_pattern(self._root / PATTERN, made, project.name, url)
            _git(made, "init", "--quiet", "--initial-branch", BRANCH)
            _git(made, "remote", "add", "origin", url)
            _git(made, "add", "--all")
            command = ["commit", "--quiet", "--message", f"{project.name}, from the pattern"]
            _git(made, *self._author(made), *command)
            made.rename(project.directory)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _author(self, folder: Path) -> list[str]:
        """Options that name who commits where git knows nobody: the platform's first user."""
        known = subprocess.run(["git", "config", "user.email"], cwd=folder, capture_output=True)
        if known.returncode == 0:
            return []
        user = self._settings.users[0]
        name = user.full_name or user.name
        return ["-c", f"user.name={name}", "-c", f"user.email={user.email}"]


def copy_pattern(pattern: Path, target: Path, name: str, url: str) -> None:
    """Render the pattern of an analysis project with copier.

    Raises:
        DapError: the pattern is missing or broken.
    """
    from copier import run_copy  # load slowly
    from copier.errors import CopierError
    from jinja2 import TemplateError

    try:
        with tempfile.TemporaryDirectory() as place:
            # In the distribution it has links to the example, which copier does not follow.
            plain = shutil.copytree(pattern, Path(place, "pattern"))
            run_copy(str(plain), target, data={"name": name, "url": url}, quiet=True)
    except (CopierError, TemplateError, OSError, ValueError) as error:
        raise DapError(f"{pattern}: can't be copied: {error}") from error


def _git(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise DapError(f"git {arguments[0]} in {folder} failed: {said}")

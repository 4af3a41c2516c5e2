"""The distribution's own files."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@cache
def repository_files() -> tuple[Path, ...]:
    """Files of the repository as git would commit them now, or of a plain copy of it.

    Links are listed as links; what they lead to is not followed.
    """
    if (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        names = sorted({name for name in listed.split("\0") if name})
        return tuple(
            ROOT / name for name in names if (ROOT / name).is_symlink() or (ROOT / name).is_file()
        )
    skipped = {
        ".venv",
        ".dap",
        "build",
        "__pycache__",
        "node_modules",
        ".pytest_cache",
        ".mypy_cache",
        ".ruff_cache",
    }
    return tuple(
        sorted(
            path
            for path in ROOT.rglob("*")
            if (path.is_symlink() or path.is_file())
            and not skipped.intersection(path.relative_to(ROOT).parts)
        )
    )


def text_files() -> list[tuple[Path, str]]:
    """Those of them that hold text, with it."""
    found = []
    for path in repository_files():
        if path.is_symlink():
            continue
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def relative(path: Path) -> str:
    """The path as a reader of a message knows it."""
    return str(path.relative_to(ROOT))

"""Environments that a default deploy does not build, built as a deploy would."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from demo.project import Project, clean_environment
from tests.unit.engine.modules import load

DEFAULT = ("base", "python")
COMMIT = "0" * 39 + "1"  # what their label says, which is no part of their tags


def build(project: Project, names: Iterable[str], place: Path) -> dict[str, str]:
    """Build environments upon the images of a deployed platform; references by environment.

    Args:
        project: what it was deployed from.
        names: folders of `environments/`.
        place: an empty folder, for a copy of the project and what it renders.
    """
    root, trees = place / "project", place / "trees"
    unwanted = shutil.ignore_patterns(".git", ".venv", ".dap", "vault.yml")
    shutil.copytree(project.path, root, ignore=unwanted)
    settings = root / "platform.yml"
    wanted = sorted({*DEFAULT, *names})
    settings.write_text(f"environments: [{', '.join(wanted)}]\n{settings.read_text()}")
    dap = project.path / ".venv" / "bin" / "dap"
    subprocess.run(
        [str(dap), "--project", str(root), "render", "--out", str(trees)],
        check=True,
        capture_output=True,
        env=clean_environment(),
    )
    (tree,) = trees.iterdir()
    described = json.loads((tree / "docker-bake.json").read_text())["target"]
    targets = {name: target["tags"] for name, target in described.items()}
    module = load("dap_images")
    given = {
        "targets": targets,
        "upstream": [],
        "base": "",
        "packages": {},
        "extra_ca": {},
        "revision": COMMIT,
        "locked": {},
        "shipped": [],
    }
    module.build(tree, given, module.needed(given))
    return {name: targets[f"environment-{name}"][0] for name in wanted}

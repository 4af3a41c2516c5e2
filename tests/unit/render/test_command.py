from __future__ import annotations

import stat
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.unit.conftest import Project


def dap(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from dap.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=project.root,
        capture_output=True,
        text=True,
        check=False,
    )


def test_trees_are_written_without_secrets(project: Project, tmp_path: Path) -> None:
    project.write("platform.yml", "name: lab\n")
    done = dap(project, "render", "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (0, f"local: {tmp_path}/out/local\n")
    assert (tmp_path / "out/local/compose.yml").is_file()
    assert not (tmp_path / "out/local/secrets").exists()
    assert not (project.root / "infrastructure/secrets").exists()


def test_secrets_are_written_when_asked(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAP_VAULT_KEY_FILE", str(tmp_path / "key"))
    project.write("platform.yml", "name: lab\n")
    done = dap(project, "render", "--with-secrets", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "holds secrets in plain text" in done.stderr
    secret = tmp_path / "out/local/secrets/store/store/admin"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o400
    assert len(secret.read_text()) == 32
    assert secret.read_text() not in done.stdout + done.stderr


def test_a_wrong_folder_ends_with_status_2(project: Project, tmp_path: Path) -> None:
    project.write("platform.yml", "name: lab\n")
    project.write("infrastructure/services/app/config/app.ini.j2", "{{ nothing }}")
    done = dap(project, "render", "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "app.ini.j2:1: 'nothing' is undefined" in done.stderr
    assert not (tmp_path / "out").exists()

from collections.abc import Callable
from pathlib import Path

import pytest
from dap.secrets import Vault, open_vault

OpenVault = Callable[[], Vault]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of its own, so that no test touches a real key."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("DAP_VAULT_KEY_FILE", raising=False)
    return home


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    return root


@pytest.fixture
def opened(root: Path) -> OpenVault:
    return lambda: open_vault(root, "dap")

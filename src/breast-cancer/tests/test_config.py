from pathlib import Path

import pytest

from analysis.config import read_config

SHIPPED = Path(__file__).parent.parent / "config.toml"


def test_shipped_configuration_is_read() -> None:
    config = read_config(SHIPPED)
    assert 0 < config.split.test_share < 1
    assert config.model["n_estimators"] > 0


def test_unknown_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    text = SHIPPED.read_text(encoding="utf-8")
    file.write_text(text.replace("test_share", "test_shar"), encoding="utf-8")
    with pytest.raises(TypeError, match="test_shar"):
        read_config(file)

"""What can be set in config.toml."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Split:
    """Shares of the rows (0 to 1) that are held back, and the seed of the draw."""

    validation_share: float
    test_share: float
    seed: int


@dataclass(frozen=True)
class Config:
    """`model` are the arguments of scikit-learn's GradientBoostingClassifier."""

    name: str
    split: Split
    model: dict[str, Any]


def read_config(path: Path) -> Config:
    """Return the configuration in a TOML file.

    Raises:
        KeyError, TypeError: a key is missing or unknown.
    """
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    return Config(name=data["name"], split=Split(**data["split"]), model=data["model"])

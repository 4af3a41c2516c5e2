"""Step 1: writes the data set to the database, as a version named by its content."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import psycopg
from sklearn.datasets import load_breast_cancer

from analysis.config import Config
from analysis.database import store, table_name

TARGET = "malignant"


def content_version(columns: Sequence[str], rows: Sequence[Sequence[float]]) -> str:
    """Return twelve hex digits of the SHA-256 over column names and values."""
    digest = hashlib.sha256(repr(list(columns)).encode())
    for row in rows:
        digest.update(repr([float(value) for value in row]).encode())
    return digest.hexdigest()[:12]


def read_source() -> tuple[list[str], list[list[float]]]:
    """Return column names and rows of the Wisconsin diagnostic data, malignant as 1, benign as 0.

    Source: W. Street, W. Wolberg, O. Mangasarian, "Nuclear feature extraction for breast tumor
    diagnosis", 1993; 569 rows, 30 features, shipped with scikit-learn.
    """
    source = load_breast_cancer()
    columns = [name.replace(" ", "_") for name in source.feature_names]
    # scikit-learn has malignant as 0.
    rows = [
        [*row, 1.0 - target]
        for row, target in zip(source.data.tolist(), source.target, strict=True)
    ]
    return [*columns, TARGET], rows


def main(config: Config) -> None:
    """Load the data and tell the next job its version."""
    columns, rows = read_source()
    version = content_version(columns, rows)
    table = table_name(config.name, version)
    with psycopg.connect() as connection:
        written = store(connection, table, columns, rows)
    print(f"{table}: {len(rows)} rows {'written' if written else 'were there already'}")
    Path("load.env").write_text(f"DATA_VERSION={version}\n", encoding="utf-8")

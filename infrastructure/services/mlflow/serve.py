"""Start the MLflow server: wait for its database, upgrade its schema if needed, become the server.

Secrets stay in files: libpq reads PGPASSFILE, botocore AWS_SHARED_CREDENTIALS_FILE and MLflow
MLFLOW_AUTH_CONFIG_PATH. Only the key that signs sessions has to be in the server's environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg2

SESSION_KEY = Path("/run/secrets/session-key")
SCHEMA_REVISION = Path("/opt/mlflow/schema-revision")
POLL_S = 1.0
REPORT_S = 30.0


def database_revision(uri: str) -> str | None:
    """Wait until the database lets us in; return its schema revision, None if it is empty."""
    reported = -REPORT_S
    while True:
        try:
            connection = psycopg2.connect(uri.replace("+psycopg2", "", 1), connect_timeout=5)
            break
        except psycopg2.OperationalError as error:
            if time.monotonic() - reported >= REPORT_S:
                reported = time.monotonic()
                print(f"waiting for the database: {str(error).strip()}", flush=True)
            time.sleep(POLL_S)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('alembic_version')")
            if cursor.fetchone() == (None,):
                return None
            cursor.execute("SELECT version_num FROM alembic_version")
            row = cursor.fetchone()
            return row[0] if row else None
    finally:
        connection.close()


def clear(scratch: Path) -> None:
    """Remove what a transfer that was cut off left behind."""
    for entry in scratch.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def private(passwords: Path) -> Path:
    """Return a copy that its owner alone may read: libpq passes over any other.

    In a cluster, files of secrets are root's and of the service's group.
    """
    copy = Path(tempfile.gettempdir(), passwords.name)
    with open(copy, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(passwords.read_text())
    return copy


def main() -> None:
    """Become the server; raises CalledProcessError where the schema can't be upgraded."""
    uri = os.environ["MLFLOW_BACKEND_STORE_URI"]
    clear(Path(os.environ["TMPDIR"]))
    os.environ["PGPASSFILE"] = str(private(Path(os.environ["PGPASSFILE"])))
    revision = database_revision(uri)
    if revision not in (None, SCHEMA_REVISION.read_text().strip()):
        print(f"upgrading the schema from revision {revision}", flush=True)
        subprocess.run(["mlflow", "db", "upgrade", uri], check=True)
    os.environ["MLFLOW_FLASK_SERVER_SECRET_KEY"] = SESSION_KEY.read_text().strip()
    os.execvp("mlflow", ["mlflow", "server", *sys.argv[1:]])  # noqa: S606  becoming it is the point


if __name__ == "__main__":
    main()

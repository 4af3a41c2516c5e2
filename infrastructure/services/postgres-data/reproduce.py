"""Data in tables as `dap reproduce` needs it: `table:NAME`, in the project's database."""

from __future__ import annotations

import os
from collections.abc import Mapping

import psycopg
from dap.errors import DapError
from dap.reproduce.model import Account

KIND = "table:"


def has(account: Account, data: str) -> bool | None:
    """Tell if a table is there."""
    if not data.startswith(KIND):
        return None
    values, files = account.environment, account.files
    # libpq takes no file that others may read for a password.
    os.chmod(files["PGPASSFILE"], 0o600)
    try:
        with psycopg.connect(
            host=values["PGHOST"],
            port=values["PGPORT"],
            user=values["PGUSER"],
            dbname=values["PGDATABASE"],
            passfile=str(files["PGPASSFILE"]),
            sslmode=values["PGSSLMODE"],
            sslrootcert=str(files["DAP_CA_CERTIFICATE"]),
            connect_timeout=30,
        ) as connection:
            name = data.removeprefix(KIND)
            found = connection.execute("SELECT to_regclass(quote_ident(%s)) IS NOT NULL", [name])
            return found.fetchone() == (True,)
    except psycopg.Error as error:
        raise DapError(
            f"Postgres does not say if {data} is there: {error}", "make status says more"
        ) from error


def variables(run: str) -> Mapping[str, str]:  # noqa: ARG001  the same for all runs
    """Return what keeps a job that runs again from changing a table."""
    return {"PGOPTIONS": "-c default_transaction_read_only=on"}

"""Versions of a data set in PostgreSQL; PGHOST, PGPASSFILE and the like say where it is."""

import io
from collections.abc import Iterable, Sequence

import pandas as pd
import psycopg
from psycopg.sql import SQL, Identifier

# PostgreSQL cuts longer names off, and with the end the version.
LONGEST_NAME = 63


def table_name(name: str, version: str) -> str:
    """Return the table that holds a version of an analysis' data."""
    start = name.replace("-", "_")[: LONGEST_NAME - 1 - len(version)]
    return f"{start}_{version}"


def store(
    connection: psycopg.Connection,
    table: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[float]],
) -> bool:
    """Write a table of numbers whose key `id` counts the rows from 0.

    Returns whether it was written; a table that is there already is left alone. All of it is one
    transaction: a table is there as a whole or not at all.
    """
    name = Identifier(table)
    with connection.transaction(), connection.cursor() as cursor:
        # Two pipelines at once: the second waits here, then finds the table.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [table])
        cursor.execute("SELECT to_regclass(quote_ident(%s)) IS NOT NULL", [table])
        if cursor.fetchone() == (True,):
            return False
        definitions = SQL(", ").join(
            SQL("{} double precision NOT NULL").format(Identifier(column)) for column in columns
        )
        cursor.execute(
            SQL("CREATE TABLE {} (id integer PRIMARY KEY, {})").format(name, definitions)
        )
        with cursor.copy(SQL("COPY {} FROM STDIN").format(name)) as copy:
            for number, row in enumerate(rows):
                copy.write_row([number, *row])
        cursor.execute(SQL("ANALYZE {}").format(name))
    return True


def fetch(connection: psycopg.Connection, table: str) -> pd.DataFrame:
    """Return the rows of a table by ascending `id`, which becomes the index.

    Raises:
        psycopg.errors.UndefinedTable: there is no such table.
    """
    query = SQL("COPY (SELECT * FROM {} ORDER BY id) TO STDOUT (FORMAT csv, HEADER)")
    with connection.cursor() as cursor, cursor.copy(query.format(Identifier(table))) as copy:
        text = b"".join(copy)
    return pd.read_csv(io.BytesIO(text), index_col="id", float_precision="round_trip")

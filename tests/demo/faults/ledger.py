"""A client that remembers which of its commits were acknowledged."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from demo.access import SYSTEM_CA, await_result
from demo.project import ADMIN, REPOSITORY
from tests.demo.conftest import Platform

Connection = psycopg.Connection[tuple[int, int]]
TABLES = ("entries", "copies")


def connect(
    platform: Platform, *, user: str, password: str, database: str, hostaddr: str = ""
) -> Connection:
    """Connect by the name that the certificate has: through the proxy, or past it to an address."""
    return psycopg.connect(
        host=f"postgres.{platform.domain}",
        hostaddr=hostaddr or platform.project.address,
        user=user,
        password=password,
        dbname=database,
        sslmode="verify-full",
        sslrootcert=str(SYSTEM_CA),
        connect_timeout=5,
        autocommit=True,
    )


@dataclass(frozen=True)
class Commit:
    """An acknowledged commit: who made it, its number, when, and when its connection was made."""

    writer: int
    number: int
    moment: float
    connected: float


class Ledger:
    """Writers that commit without pause; each transaction writes a row of two tables.

    Args:
        open_connection: makes a connection.
        schema: schema for the tables; made and removed with all it holds.
        writers: how many write at once.
        payload: text of each row.
    """

    def __init__(
        self,
        open_connection: Callable[[], Connection],
        schema: str,
        writers: int = 2,
        payload: Callable[[], bytes] = lambda: b"x" * 200,
    ) -> None:
        self._open, self._schema, self._payload = open_connection, schema, payload
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(writers)]
        self.acknowledged: list[Commit] = []
        self.asked: set[tuple[int, int]] = set()
        self.errors: list[psycopg.Error] = []

    def __enter__(self) -> "Ledger":
        with self._open() as connection:
            connection.execute(f"CREATE SCHEMA {self._schema}")
            for table in TABLES:
                connection.execute(
                    f"CREATE TABLE {self._schema}.{table} "
                    "(writer int, number int, payload bytea, PRIMARY KEY (writer, number))"
                )
                # The payload is to take the space that it has.
                connection.execute(
                    f"ALTER TABLE {self._schema}.{table} ALTER payload SET STORAGE EXTERNAL"
                )
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        with self._open() as connection:
            connection.execute(f"DROP SCHEMA {self._schema} CASCADE")

    def stop(self) -> None:
        """Let the writers end."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _write(self, writer: int) -> None:
        number = 0
        while not self._stop.is_set():
            try:
                with self._open() as connection:
                    connected = time.monotonic()
                    while not self._stop.is_set():
                        number += 1
                        self.asked.add((writer, number))
                        self._commit(connection, writer, number)
                        commit = Commit(writer, number, time.monotonic(), connected)
                        self.acknowledged.append(commit)
            except psycopg.Error as error:
                self.errors.append(error)
                self._stop.wait(0.05)

    def _commit(self, connection: Connection, writer: int, number: int) -> None:
        payload = self._payload()
        with connection.transaction():
            for table in TABLES:
                connection.execute(
                    f"INSERT INTO {self._schema}.{table} VALUES (%s, %s, %s)",
                    (writer, number, payload),
                )

    def wait_for(self, commits: int, timeout_s: float = 30) -> None:
        """Wait for this many more acknowledged commits."""
        goal = len(self.acknowledged) + commits
        what = f"{commits} commits"
        await_result(what, lambda: len(self.acknowledged) >= goal or None, timeout_s, 0.02)

    def go_on(self, seconds: float) -> None:
        """Let the writers go on for a time."""
        assert not self._stop.wait(seconds)

    def recovery(self, moment: float, timeout_s: float) -> float:
        """Wait until a connection that was made after `moment` commits; the seconds from then."""

        def look() -> float | None:
            # Only the newest can be of interest, and there are many.
            newest = [c for c in self.acknowledged[-100:] if c.connected > moment]
            return min((c.moment for c in newest), default=None)

        return await_result("a commit after the fault", look, timeout_s, 0.02) - moment

    def lost(self) -> set[tuple[int, int]]:
        """Find what was acknowledged and is not there; call it after stop().

        Raises:
            AssertionError: there is what nobody wrote, or half of a transaction.
        """
        with self._open() as connection:
            rows = [
                set(connection.execute(f"SELECT writer, number FROM {self._schema}.{table}"))
                for table in TABLES
            ]
        assert rows[0] == rows[1], "half of a transaction is there"
        assert rows[0] <= self.asked, "there is what nobody wrote"
        return {(c.writer, c.number) for c in self.acknowledged} - rows[0]


def project_connection(platform: Platform) -> Callable[[], Connection]:
    """How the platform's first user reaches the project's database, through the proxy."""
    password = platform.admin.password
    return lambda: connect(platform, user=ADMIN, password=password, database=REPOSITORY)


Execute = Callable[..., str]
LOCAL = ("-h", "/tmp", "-U", "postgres")


def query(execute: Execute, text: str, database: str = "postgres") -> list[list[str]]:
    """Ask a Postgres as its superuser; `execute` runs a command in its container."""
    said = execute("psql", *LOCAL, "-XAtqd", database, "-F", "\t", "-c", text)
    return [line.split("\t") for line in said.splitlines()]


def check_files(execute: Execute) -> int:
    """Let pg_amcheck look at every table and index of a server; how many databases it looked at.

    Raises:
        AssertionError: it found one damaged; what it said.
    """
    databases = query(execute, "SELECT datname FROM pg_database WHERE datallowconn")
    execute(
        "pg_amcheck", *LOCAL, "--all", "--install-missing", "--heapallindexed", "--parent-check",
        "--checkunique",
    )  # fmt: skip
    for [database] in databases:
        query(execute, "DROP EXTENSION IF EXISTS amcheck", database)
    return len(databases)

"""Roles and databases of a PostgreSQL server, for the content of the folders that run one."""

from __future__ import annotations

from types import TracebackType
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from dap.content.context import ContentError, Context

ADMIN = "platform_admin"
RESERVED = frozenset({"postgres", "public", "none", ADMIN})
WAIT_S = 60
REFUSED = ("password authentication failed", "no password supplied", "not permitted to log in")


class Server:
    """A server, seen as its `platform_admin`: a role that may make roles and databases and no more.

    `context.check` makes every method tell what it would do and do nothing.
    """

    def __init__(self, context: Context, host: str, password: str, *, sslmode: str) -> None:
        self._context = context
        self._host = host
        self._sslmode = sslmode
        self._password = password
        self._connections: dict[str, psycopg.Connection[Any]] = {}

    def __enter__(self) -> Server:
        self._context.wait(lambda: self._connection("postgres"), WAIT_S, retry_on=_can_pass)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for connection in self._connections.values():
            connection.close()

    def role(self, name: str, password: str) -> None:
        """Make a role that may log in with `password` and nothing more.

        Raises:
            ContentError: the name is one that the server keeps for itself.
        """
        if name in RESERVED or name.startswith("pg_"):
            raise ContentError(f"'{name}' can't be a role of {self._host}: choose another name")
        exists = self._value("SELECT true FROM pg_roles WHERE rolname = %s", name)
        changed = not exists or not self._logs_in(name, password)
        if changed:
            self._execute(
                "ALTER ROLE {} LOGIN PASSWORD {}" if exists else "CREATE ROLE {} LOGIN PASSWORD {}",
                sql.Identifier(name),
                sql.Literal(password),
            )
        self._context.step(f"role {name}", changed)

    def database(self, name: str, owner: str) -> None:
        """Make a database that belongs to the role `owner` and that no one else can enter."""
        found = self._value(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", name
        )
        changed = found != owner
        if changed:
            self._execute(
                "ALTER DATABASE {} OWNER TO {}" if found else "CREATE DATABASE {} OWNER {}",
                sql.Identifier(name),
                sql.Identifier(owner),
            )
        open_to_all = (
            "SELECT true FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))"
            " WHERE datname = %s AND grantee = 0"
        )
        if not (changed and self._context.check) and self._value(open_to_all, name):
            self._execute("REVOKE ALL ON DATABASE {} FROM PUBLIC", sql.Identifier(name))
            changed = True
        self._context.step(f"database {name}", changed)

    def members(self, role: str, members: set[str], database: str) -> None:
        """Make exactly `members` members of `role`; what they make in `database` belongs to it."""
        found = self._column(
            "SELECT DISTINCT u.rolname FROM pg_auth_members m"
            " JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member"
            " WHERE r.rolname = %s AND u.rolname <> %s",
            role,
            ADMIN,
        )
        for name in sorted(members - found):
            self._execute("GRANT {} TO {}", sql.Identifier(role), sql.Identifier(name))
        for name in sorted(found - members):
            self._execute("REVOKE {} FROM {}", sql.Identifier(role), sql.Identifier(name))
        acting = self._column(
            "SELECT r.rolname FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole"
            " JOIN pg_database d ON d.oid = s.setdatabase"
            " WHERE d.datname = %s AND %s = ANY (s.setconfig)",
            database,
            f"role={role}",
        )
        for name in sorted(members - acting):
            self._execute(
                "ALTER ROLE {} IN DATABASE {} SET role = {}",
                sql.Identifier(name),
                sql.Identifier(database),
                sql.Literal(role),
            )
        for name in sorted(acting - members):
            self._execute(
                "ALTER ROLE {} IN DATABASE {} RESET role",
                sql.Identifier(name),
                sql.Identifier(database),
            )
        self._context.step(f"members of {role}", found != members or acting != members)

    def only(self, roles: set[str]) -> None:
        """Keep every role but `roles` from logging in; what belongs to it stays."""
        found = self._column("SELECT rolname FROM pg_roles WHERE rolcanlogin") - RESERVED
        for name in sorted(found - roles):
            self._execute("ALTER ROLE {} NOLOGIN", sql.Identifier(name))
            self._context.step(f"role {name} may no longer log in", True)

    def _connection(self, database: str) -> psycopg.Connection[Any]:
        if database not in self._connections:
            self._connections[database] = self._connect(ADMIN, self._password, database)
        return self._connections[database]

    def _connect(self, user: str, password: str, database: str) -> psycopg.Connection[Any]:
        # SCRAM with channel binding proves to each side that the other knows the password, and that
        # nobody sits between: no certificate is needed for that.
        return psycopg.connect(
            host=self._host,
            user=user,
            password=password,
            dbname=database,
            sslmode=self._sslmode,
            channel_binding="require" if self._sslmode == "require" else "prefer",
            connect_timeout=5,
            autocommit=True,
            application_name="dap.content",
        )

    def _logs_in(self, name: str, password: str) -> bool:
        try:
            self._connect(name, password, "postgres").close()
        except psycopg.OperationalError as error:
            if any(reason in str(error) for reason in REFUSED):
                return False
            # The password was right; that the role may not enter this database is as it should be.
            if "permission denied for database" in str(error):
                return True
            raise
        return True

    def _column(self, query: LiteralString, *values: str) -> set[str]:
        return {row[0] for row in self._connection("postgres").execute(query, values)}

    def _value(self, query: LiteralString, *values: str) -> Any:
        row = self._connection("postgres").execute(query, values).fetchone()
        return row[0] if row else None

    def _execute(self, statement: LiteralString, *parts: sql.Composable) -> None:
        if not self._context.check:
            self._connection("postgres").execute(sql.SQL(statement).format(*parts))


def _can_pass(error: BaseException) -> bool:
    """Whether waiting can help: the server is not up yet, or it is still starting."""
    return isinstance(error, psycopg.OperationalError) and not any(
        reason in str(error) for reason in REFUSED
    )

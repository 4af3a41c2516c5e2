"""Databases that the platform's services asked for."""

from dap.content import Context
from dap.content.postgresql import Server


def apply(context: Context) -> None:
    """Make role and database of each resource of the kind `database`: `name`, `owner`, `secret`."""
    password = context.secret("postgres-service/admin-password")
    with Server(context, "postgres-service", password, sslmode="disable") as server:
        databases = context.resources("database")
        for owner, secret in dict.fromkeys((d["owner"], d["secret"]) for d in databases):
            server.role(owner, context.secret(secret))
        for database in databases:
            server.database(database["name"], database["owner"])
        server.only({database["owner"] for database in databases})

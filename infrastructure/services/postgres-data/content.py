"""Databases of the projects, and a role for everybody who works with them."""

from dap.content import Context
from dap.content.postgresql import Server


def apply(context: Context) -> None:
    """Make a role and a database per project, and a role per user, member of its projects."""
    password = context.secret("postgres-data/admin-password")
    everybody = {user["name"] for user in context.users}
    with Server(context, "postgres-data", password, sslmode="require") as server:
        for user in context.users:
            server.role(user["name"], context.secret(f"users/{user['name']}/password"))
        for project in context.projects:
            name = project["name"]
            server.role(name, context.secret(f"projects/{name}/password"))
            server.database(name, name)
            server.members(name, set(project["members"]), database=name)
        server.only(everybody | {project["name"] for project in context.projects})

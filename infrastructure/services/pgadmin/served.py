"""pgAdmin as gunicorn serves it; at the start, its users are made with their list of servers.

Runs in the folder of the package pgadmin4, whose modules are imported from there.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

PEOPLE = Path("/etc/pgadmin/people.json")
SOURCE = "webserver"
# Who administers the platform does so in platform.yml: here all are alike.
ROLE = 2

# A new database gets a first user, whom nobody can log in as: passwords are the proxy's to ask for.
os.environ.setdefault("PGADMIN_SETUP_EMAIL", "nobody@example.org")
os.environ.setdefault("PGADMIN_SETUP_PASSWORD", secrets.token_hex())

from pgAdmin4 import app  # noqa: E402  it makes the database as it is imported, before all others

# isort: split
from pgadmin.model import Server, ServerGroup, User, db  # noqa: E402
from pgadmin.tools.user_management import create_user  # noqa: E402


def prepare(people: list[dict[str, Any]]) -> None:
    """Make users and servers as the settings have them; who is gone there may not log in.

    Raises:
        RuntimeError: pgAdmin refuses one.
    """
    with app.test_request_context():
        for person in people:
            _server(_user(person["name"]), person["server"])
        names = {person["name"] for person in people}
        for user in User.query.filter_by(auth_source=SOURCE):
            user.active = user.username in names
        db.session.commit()


def _user(name: str) -> Any:
    found = {"username": name, "auth_source": SOURCE}
    user = User.query.filter_by(**found).first()
    if user is None:
        done, why = create_user({**found, "role": ROLE, "active": True})
        if not done:
            raise RuntimeError(f"user {name}: {why}")
        user = User.query.filter_by(**found).first()
    return user


def _server(user: Any, fields: dict[str, Any]) -> None:
    """Where the user already has a server of that name, what else was set of it stays."""
    server = Server.query.filter_by(user_id=user.id, name=fields["name"]).first()
    if server is None:
        group = ServerGroup.query.filter_by(user_id=user.id).order_by(ServerGroup.id).first()
        server = Server(user_id=user.id, servergroup_id=group.id, shared=False)
        db.session.add(server)
    for name, value in fields.items():
        setattr(server, name, value)


prepare(json.loads(PEOPLE.read_text(encoding="utf-8")))

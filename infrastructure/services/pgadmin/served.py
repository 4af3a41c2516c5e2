"""pgAdmin as gunicorn serves it; at the start, its users are made with their list of servers.

Runs in the folder of the package pgadmin4, whose modules are imported from there.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

PEOPLE = Path("/etc/pgadmin/people.json")
ADMINISTRATOR, USER = 1, 2
SOURCE = "webserver"

# A new database gets a first user, whom nobody can log in as: passwords are the proxy's to ask for.
os.environ.setdefault("PGADMIN_SETUP_EMAIL", "nobody@example.org")
os.environ.setdefault("PGADMIN_SETUP_PASSWORD", secrets.token_hex())

from pgAdmin4 import app  # noqa: E402  it makes the database as it is imported, before all others

# isort: split
from pgadmin.model import Server, User, db  # noqa: E402
from pgadmin.tools.user_management import create_user  # noqa: E402
from pgadmin.utils import load_database_servers  # noqa: E402


def prepare(people: list[dict[str, Any]]) -> None:
    """Make users and servers that are missing; who is gone from the settings may not log in.

    Raises:
        RuntimeError: pgAdmin refuses one.
    """
    with app.test_request_context():
        for person in people:
            _person(person)
        names = {person["name"] for person in people}
        for user in User.query.filter_by(auth_source=SOURCE):
            user.active = user.username in names
        db.session.commit()


def _person(person: dict[str, Any]) -> None:
    name = person["name"]
    user = User.query.filter_by(username=name, auth_source=SOURCE).first()
    if user is None:
        role = ADMINISTRATOR if person["admin"] else USER
        given = {"username": name, "role": role, "active": True, "auth_source": SOURCE}
        done, why = create_user(given)
        if not done:
            raise RuntimeError(f"user {name}: {why}")
        user = User.query.filter_by(username=name, auth_source=SOURCE).first()
    server = person["server"]
    if Server.query.filter_by(user_id=user.id, name=server["Name"]).first() is None:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({"Servers": {"1": server}}, file)
            file.flush()
            load_database_servers(file.name, None, name, from_setup=True, auth_source=SOURCE)


prepare(json.loads(PEOPLE.read_text(encoding="utf-8")))

"""Users and their SSH keys."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any

import gitlab
from dap.content import ContentError, Context

ROOT = "root"
# Keys of this title are the platform's to take away; those of others are their owner's.
OURS = "platform: "
MAGIC = b"openssh-key-v1\0"
# First parts of GitLab's own addresses, which no account can have (in its docs: reserved names).
RESERVED = frozenset(
    [
        *(
            "admin",
            "api",
            "assets",
            "dashboard",
            "explore",
            "files",
            "groups",
            "health_check",
            "help",
        ),
        *("import", "jwt", "login", "oauth", "profile", "projects", "public", "s", "search"),
        *("sitemap", "snippets", "unsubscribes", "uploads", "users", "v2"),
    ]
)


def login(context: Context, name: str) -> str:
    """Return what a user of the platform is called in GitLab, which keeps some names for itself."""
    return f"{name}-{context.settings['name']}" if name in RESERVED else name


def apply(context: Context, client: gitlab.Gitlab) -> dict[str, int]:
    """Make the users with their keys and block all others; return name of the platform → id.

    In a dry run, users who would be made are left out.
    """
    found: dict[str, Any] = {
        user.username: user for user in client.users.list(iterator=True, humans=True)
    }
    made = {}
    keys = []
    for user in context.users:
        account = _user(context, client, found.get(login(context, user["name"])), user)
        if account is not None:
            made[user["name"]] = account.id
            keys.append(Keys(account, _wanted_keys(context, user)))
    if not context.check:
        # First those that go: another account may have got one of them, and GitLab has each once.
        for each in keys:
            each.remove()
        for each in keys:
            each.add()
    for each in keys:
        context.step(f"SSH keys of {each.account.username}", each.changed)
    wanted = {ROOT, *(login(context, user["name"]) for user in context.users)}
    for name in sorted(found.keys() - wanted):
        if found[name].state == "active":
            if not context.check:
                found[name].block()
            context.step(f"user {name} may no longer log in", True)
    return made


def _user(context: Context, client: gitlab.Gitlab, found: Any, user: Mapping[str, Any]) -> Any:
    name = login(context, user["name"])
    wanted = {
        "name": user.get("full_name") or user["name"],
        "email": user["email"],
        "admin": bool(user.get("admin")),
    }
    if found is None:
        if not context.check:
            password = context.secret(f"users/{user['name']}/password")
            found = client.users.create(
                {
                    **wanted,
                    "username": name,
                    "password": password,
                    "skip_confirmation": True,
                    "can_create_group": False,
                }
            )
        context.step(f"user {name}", True)
        return found
    have = {"name": found.name, "email": found.email, "admin": found.is_admin}
    differing = {key: value for key, value in wanted.items() if have[key] != value}
    blocked = found.state == "blocked"
    if not context.check:
        if differing:
            if "email" in differing:
                differing["skip_reconfirmation"] = True
            client.users.update(found.id, differing)
        if blocked:
            found.unblock()
    context.step(f"user {name}", bool(differing) or blocked)
    return found


def _wanted_keys(context: Context, user: Mapping[str, Any]) -> dict[str, str]:
    """Return key (type and material) → title."""
    keys = {_key(key): f"{OURS}key {number}" for number, key in enumerate(user["ssh_keys"], 1)}
    keys[public_key(context.secret(f"gitlab/user-{user['name']}"))] = f"{OURS}workspaces"
    return keys


class Keys:
    """The SSH keys of an account, and those that it should have: key → title."""

    def __init__(self, account: Any, wanted: Mapping[str, str]) -> None:
        self.account = account
        found = {_key(key.key): key for key in account.keys.list(iterator=True)}
        self._missing = {key: title for key, title in wanted.items() if key not in found}
        self._left = [
            key for text, key in found.items() if text not in wanted and key.title.startswith(OURS)
        ]

    @property
    def changed(self) -> bool:
        """Whether any is to be added or removed."""
        return bool(self._missing or self._left)

    def remove(self) -> None:
        """Remove those that the platform made and nobody wants."""
        for key in self._left:
            key.delete()

    def add(self) -> None:
        """Add those that are missing."""
        for text, title in self._missing.items():
            self.account.keys.create({"title": title, "key": text})


def _key(text: str) -> str:
    return " ".join(text.split()[:2])


def public_key(private: str) -> str:
    """Return the public half of a private key in OpenSSH's format, as one line.

    The format is described in PROTOCOL.key of OpenSSH: the public key stands in it in plain.

    Raises:
        ContentError: it is no such key.
    """
    try:
        raw = base64.b64decode("".join(private.split("-----")[2].split()))
        rest = raw[raw.index(MAGIC) + len(MAGIC) :]
        for _ in ("cipher", "key derivation", "its options"):
            _, rest = _text(rest)
        blob, _ = _text(rest[4:])
        kind, _ = _text(blob)
    except (IndexError, ValueError, struct.error) as error:
        raise ContentError("a secret of the kind ssh-key is none") from error
    return f"{kind.decode()} {base64.b64encode(blob).decode()}"


def _text(data: bytes) -> tuple[bytes, bytes]:
    """Return the text that `data` starts with (its length, 4 bytes, comes first), and the rest."""
    (length,) = struct.unpack_from(">I", data)
    return data[4 : 4 + length], data[4 + length :]

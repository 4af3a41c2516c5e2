"""What the stand-in knows; on disk after each change, so that a restart loses nothing."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

Row = dict[str, Any]

# Those of GitLab that content looks at or sets, as they are on a new one.
SETTINGS: Row = {
    "signup_enabled": True,
    "can_create_group": True,
    "allow_runner_registration_token": True,
    "default_branch_name": "",
    "default_group_visibility": "private",
    "default_project_visibility": "private",
    "default_snippet_visibility": "private",
    "restricted_visibility_levels": [],
    "auto_devops_enabled": True,
    "gravatar_enabled": True,
    "hide_third_party_offers": False,
    "usage_ping_enabled": False,
    "version_check_enabled": True,
    "password_authentication_enabled_for_web": True,
}
ROOT = {
    "id": 1,
    "username": "root",
    "name": "Administrator",
    "email": "root@example.invalid",
    "is_admin": True,
    "state": "active",
    "bot": False,
    "can_create_group": True,
}
GHOST = {**ROOT, "id": 2, "username": "ghost", "name": "Ghost User", "is_admin": False, "bot": True}


def token(prefix: str) -> str:
    """Return a new token of GitLab's form."""
    return prefix + secrets.token_urlsafe(15)[:20]


def days_from_now(days: int) -> str:
    """Return a date as GitLab writes it."""
    return (datetime.now(UTC).date() + timedelta(days=days)).isoformat()


@dataclass
class State:
    """Tables; rows are by id, written as a text since that is what JSON keeps."""

    settings: Row = field(default_factory=lambda: dict(SETTINGS))
    tokens: dict[str, Row] = field(default_factory=dict)
    project_tokens: dict[str, Row] = field(default_factory=dict)
    users: dict[str, Row] = field(default_factory=lambda: {"1": dict(ROOT), "2": dict(GHOST)})
    passwords: dict[str, str] = field(default_factory=dict)
    keys: dict[str, Row] = field(default_factory=dict)
    groups: dict[str, Row] = field(default_factory=dict)
    projects: dict[str, Row] = field(default_factory=dict)
    members: dict[str, Row] = field(default_factory=dict)
    branches: dict[str, Row] = field(default_factory=dict)
    variables: dict[str, Row] = field(default_factory=dict)
    schedules: dict[str, Row] = field(default_factory=dict)
    runners: dict[str, Row] = field(default_factory=dict)
    merge_requests: dict[str, Row] = field(default_factory=dict)
    pipelines: dict[str, Row] = field(default_factory=dict)
    jobs: dict[str, Row] = field(default_factory=dict)
    last: int = 100

    @classmethod
    def load(cls, file: Path, value: str = "") -> State:
        """Read the state; root has the access token `value`, if one is given."""
        state = cls(**json.loads(file.read_text())) if file.exists() else cls()
        if value in state.tokens:
            state.tokens[value]["revoked"] = False
        elif value:
            state.take_over(value)
        return state

    def take_over(self, value: str) -> None:
        """Give root the access token `value` for a year, as `token.rb` of the platform does.

        One that was revoked is good again; with a new one those end that root had before.
        """
        if value not in self.tokens:
            for row in self.tokens.values():
                row["revoked"] = True
        found = self.tokens.setdefault(value, {"id": self.new_id(), "name": "platform"})
        found |= {"revoked": False, "expires_at": days_from_now(364)}

    def is_good(self, value: str) -> bool:
        """Tell whether an access token is one that may be used."""
        row = self.tokens.get(value)
        today = datetime.now(UTC).date()
        return (
            row is not None and not row["revoked"] and today < date.fromisoformat(row["expires_at"])
        )

    def save(self, file: Path) -> None:
        """Write the state, whole at all times."""
        new = file.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(asdict(self), indent=1))
        new.replace(file)

    def new_id(self) -> int:
        """Return a number that nothing has yet."""
        self.last += 1
        return self.last

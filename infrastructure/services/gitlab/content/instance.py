"""The settings of the whole GitLab."""

from __future__ import annotations

from typing import Any

import gitlab
from dap.content import Context

SETTINGS: dict[str, Any] = {
    # Everybody who has an account is in platform.yml.
    "signup_enabled": False,
    "can_create_group": False,
    # Runners are made with tokens of their own; the old way, one token for all, is off.
    "allow_runner_registration_token": False,
    "default_branch_name": "main",
    "default_group_visibility": "private",
    "default_project_visibility": "private",
    "default_snippet_visibility": "private",
    "restricted_visibility_levels": ["public"],
    # A project says what its pipelines do.
    "auto_devops_enabled": False,
    # Nothing of the platform is told to others.
    "gravatar_enabled": False,
    "hide_third_party_offers": True,
    "usage_ping_enabled": False,
    "version_check_enabled": False,
}


def apply(context: Context, client: gitlab.Gitlab) -> None:
    """Set what differs."""
    found = client.settings.get()
    differing = {
        name: value for name, value in SETTINGS.items() if getattr(found, name, None) != value
    }
    if differing and not context.check:
        client.settings.update(None, differing)
    context.step("settings", bool(differing))

"""The platform's group, the projects in it, their members and what protects them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gitlab
from dap.content import Context
from gitlab.const import AccessLevel
from gitlab.exceptions import GitlabGetError

from . import gitops, repositories, variables
from .images import Images

NOT_FOUND = 404
PROTECTED = "main"
# As with any forge of the platform: members push to main, and nobody rewrites or deletes it.
PROTECTION = {
    "push_access_level": int(AccessLevel.DEVELOPER),
    "merge_access_level": int(AccessLevel.DEVELOPER),
    "allow_force_push": False,
}
# What comes to main of the platform's repository is deployed, and a deploy is root on all hosts.
DEPLOYED = {
    "push_access_level": int(AccessLevel.MAINTAINER),
    "merge_access_level": int(AccessLevel.MAINTAINER),
    "allow_force_push": False,
}
# Of the images of a project the last ten of each name stay, and main's and those of versions.
CLEANUP = {
    "enabled": True,
    "cadence": "1d",
    "keep_n": 10,
    "older_than": "30d",
    "name_regex": ".*",
    "name_regex_keep": "(main|latest|v.+)",
}


def apply(context: Context, client: gitlab.Gitlab, users: Mapping[str, int]) -> Any:
    """Make the group and the projects; a project that is gone from the settings is left alone.

    Returns the platform's own repository; None in a dry run before there is one.
    """
    platform = None
    images = Images(context)
    environments = images.environments()
    everywhere = variables.of_platform(context, environments)
    variables.apply(context, client.variables, everywhere, "all projects")
    group = _group(context, client)
    levels = {
        user["name"]: AccessLevel.MAINTAINER if user.get("admin") else AccessLevel.DEVELOPER
        for user in context.users
    }
    for number, project in enumerate(context.projects):
        # The first one's repository is the platform's own.
        own = number == 0
        found = _project(context, client, group, project["name"], own=own)
        if found is None:
            context.step(f"all of project {project['name']}", True)
            continue
        # Before anybody may push.
        repositories.apply(context, found)
        members = {users[n]: int(levels[n]) for n in project["members"] if n in users}
        _members(context, found, members, set(users.values()))
        deployed = own and context.settings["gitops"]["apply"]
        _protection(context, found, DEPLOYED if deployed else PROTECTION)
        wanted = variables.of_project(context, project["name"])
        if own:
            wanted |= variables.of_own_project(context, images.registry, environments)
        variables.apply(context, found.variables, wanted, f"project {project['name']}")
        if own:
            platform = found
            gitops.apply(context, found)
    repositories.unclaimed(context)
    return platform


def _or_none(get: Callable[[], Any]) -> Any:
    """Return what GitLab has; None where it has no such thing."""
    try:
        return get()
    except GitlabGetError as error:
        if error.response_code == NOT_FOUND:
            return None
        raise


def _group(context: Context, client: gitlab.Gitlab) -> Any:
    name = context.settings["name"]
    group = _or_none(lambda: client.groups.get(name, with_projects=False))
    missing = group is None
    if missing and not context.check:
        group = client.groups.create({"name": name, "path": name, "visibility": "private"})
    context.step(f"group {name}", missing)
    return group


def _project(context: Context, client: gitlab.Gitlab, group: Any, name: str, *, own: bool) -> Any:
    wanted = {
        "visibility": "private",
        "auto_devops_enabled": False,
        "container_registry_access_level": "enabled" if context.options["registry"] else "disabled",
        # Logs of jobs are for members, like the code.
        "public_jobs": False,
    }
    # Its pipelines lock images that they built; such a push starts no pipeline.
    later = {"ci_push_repository_for_job_token_allowed": own}
    found = _or_none(lambda: client.projects.get(f"{context.settings['name']}/{name}"))
    missing = found is None
    if missing and not context.check:
        found = client.projects.create(
            {"name": name, "path": name, "namespace_id": group.id, **wanted}
        )
    context.step(f"project {name}", missing)
    if found is None:
        return None
    differing: dict[str, Any] = {
        key: value
        for key, value in {**wanted, **later}.items()
        if getattr(found, key, None) != value
    }
    policy = found.attributes.get("container_expiration_policy") or {}
    if context.options["registry"] and {key: policy.get(key) for key in CLEANUP} != CLEANUP:
        differing["container_expiration_policy_attributes"] = CLEANUP
    if differing and not context.check:
        client.projects.update(found.id, differing)
    context.step(f"settings of project {name}", bool(differing))
    return found


def _members(context: Context, project: Any, wanted: Mapping[int, int], people: set[int]) -> None:
    """Make exactly `wanted` (id → access level) members; accounts that are no people stay."""
    found = {member.id: member for member in project.members.list(iterator=True)}
    changed = False
    for user, level in wanted.items():
        member = found.get(user)
        if member is not None and member.access_level == level:
            continue
        changed = True
        if context.check:
            continue
        if member is None:
            project.members.create({"user_id": user, "access_level": level})
        else:
            project.members.update(user, {"access_level": level})
    for user in sorted((found.keys() & people) - wanted.keys()):
        changed = True
        if not context.check:
            project.members.delete(user)
    context.step(f"members of {project.path}", changed)


def _protection(context: Context, project: Any, wanted: Mapping[str, Any]) -> None:
    found = _or_none(lambda: project.protectedbranches.get(PROTECTED))
    have = found and {
        "push_access_level": _level(found.push_access_levels),
        "merge_access_level": _level(found.merge_access_levels),
        "allow_force_push": found.allow_force_push,
    }
    changed = have != wanted
    if changed and not context.check:
        # Access levels can't be changed in the free edition.
        if found is not None:
            found.delete()
        project.protectedbranches.create({"name": PROTECTED, **wanted})
    context.step(f"protection of {project.path}'s {PROTECTED}", changed)


def _level(levels: list[dict[str, Any]]) -> int | None:
    """Return the one access level of a list; None where it says something else."""
    return levels[0].get("access_level") if len(levels) == 1 else None

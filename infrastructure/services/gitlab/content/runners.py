"""The runners that folders ask for as resources of the kind `runner`, and their tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gitlab
from dap.content import Context
from gitlab.exceptions import GitlabAuthenticationError, GitlabHttpError

FOR_ALL, FOR_ONE = "instance_type", "project_type"
FORBIDDEN = 403


def apply(context: Context, client: gitlab.Gitlab, own: Any) -> None:
    """Make the runners with a token that is kept at once; remove those that nobody asks for.

    A token that GitLab does not take is replaced. Runners whose description does not begin with
    the platform's name were made by others and stay. `own` is the platform's repository, which has
    runners that no other project gets; None: it is not there yet.
    """
    asked = context.resources("runner")
    everywhere = [resource for resource in asked if not resource.get("own")]
    found = client.runners_all.list(iterator=True, type=FOR_ALL)
    _those(context, client, found, everywhere, {"runner_type": FOR_ALL})
    if own is not None:
        apart = [resource for resource in asked if resource.get("own")]
        found = own.runners.list(iterator=True, type=FOR_ONE)
        _those(context, client, found, apart, {"runner_type": FOR_ONE, "project_id": own.id})


def _those(
    context: Context,
    client: gitlab.Gitlab,
    there: Iterable[Any],
    asked: Sequence[Mapping[str, Any]],
    place: Mapping[str, Any],
) -> None:
    """Make exactly the runners of one place that are `asked` for."""
    prefix = f"{context.settings['name']}/"
    found: dict[str, list[int]] = {}
    for runner in there:
        if (runner.description or "").startswith(prefix):
            found.setdefault(runner.description, []).append(runner.id)
    for resource in asked:
        description = f"{prefix}{resource['name']}"
        _runner(context, client, description, found.pop(description, []), resource, place)
    for description, left in sorted(found.items()):
        for number in left:
            _remove(context, client, description, number)


def _runner(
    context: Context,
    client: gitlab.Gitlab,
    description: str,
    found: list[int],
    resource: Mapping[str, Any],
    place: Mapping[str, Any],
) -> None:
    wanted = {
        "tag_list": sorted(resource["tags"]),
        "run_untagged": resource["untagged"],
        "access_level": "ref_protected" if resource.get("protected") else "not_protected",
        "maximum_timeout": resource["timeout"],
        # Else who maintains another project, too, can enable it there.
        "locked": bool(resource.get("own")),
        "paused": False,
    }
    token = context.kept(resource["secret"])
    owner = _owner(client, token) if token and found else None
    keep = owner if owner in found else (found[0] if found else None)
    for runner in found:
        if runner != keep:
            _remove(context, client, description, runner)
    if keep is None:
        if not context.check:
            made: Any = client.http_post(
                "/user/runners",
                post_data={**place, "description": description, **wanted},
            )
            context.keep(resource["secret"], made["token"])
        context.step(f"runner {description}", True)
        return
    have = client.runners.get(keep)
    have_tags = sorted(have.tag_list)
    differing = {
        key: value
        for key, value in wanted.items()
        if (have_tags if key == "tag_list" else getattr(have, key, None)) != value
    }
    if differing and not context.check:
        client.runners.update(keep, differing)
    context.step(f"runner {description}", bool(differing))
    if owner != keep and not context.check:
        new: Any = client.http_post(f"/runners/{keep}/reset_authentication_token")
        context.keep(resource["secret"], new["token"])
    context.step(f"token of runner {description}", owner != keep)


def _owner(client: gitlab.Gitlab, token: str) -> int | None:
    """Return the id of the runner that a token is of; None: GitLab does not take it."""
    try:
        answer: Any = client.http_post("/runners/verify", post_data={"token": token})
    except (GitlabAuthenticationError, GitlabHttpError) as error:
        if error.response_code in (FORBIDDEN, 401):
            return None
        raise
    return int(answer["id"])


def _remove(context: Context, client: gitlab.Gitlab, description: str, runner: int) -> None:
    if not context.check:
        client.runners.delete(runner)
    context.step(f"runner {description} ({runner}) is removed", True)

"""Pipelines of the platform's own repository, as far as `gitops` of the settings wants them."""

from __future__ import annotations

from typing import Any

from dap.content import Context

# Jobs of the schedule know themselves by it (infrastructure/.gitlab-ci.yml).
DRIFT = "platform drift"
# Put there by the operator, who alone has them (doc/gitops.md).
OPERATORS = ("DAP_VAULT_KEY", "DAP_SSH_KEY")


def apply(context: Context, project: Any) -> None:
    """Make the schedule, and see that what the operator put there is for protected branches alone.

    `project` is the platform's repository, as python-gitlab has it.
    """
    _schedule(context, project, context.settings["gitops"]["drift"])
    found = {each.key: each for each in project.variables.list(iterator=True)}
    bare = [key for key in OPERATORS if key in found and not found[key].protected]
    for key in bare:
        if not context.check:
            project.variables.update(key, {"value": found[key].value, "protected": True})
        context.step(f"variable {key} is for protected branches alone", True)


def _schedule(context: Context, project: Any, cron: str) -> None:
    wanted = {"ref": "refs/heads/main", "cron": cron, "cron_timezone": "UTC", "active": True}
    every = project.pipelineschedules.list(iterator=True)
    found = [each for each in every if each.description == DRIFT]
    for schedule in found[1:] if cron else found:
        if not context.check:
            schedule.delete()
        context.step(f"schedule {schedule.id} of {project.path} is removed", True)
    if not cron:
        return
    if not found:
        project.refresh()
        if project.empty_repo:
            # GitLab has no schedule for a branch that is not there: a later deploy makes it.
            context.step(f"schedule of {project.path} waits for the first push", False)
            return
        if not context.check:
            project.pipelineschedules.create({"description": DRIFT, **wanted})
        context.step(f"schedule of {project.path}", True)
        return
    differing = {
        key: value for key, value in wanted.items() if getattr(found[0], key, None) != value
    }
    if differing and not context.check:
        project.pipelineschedules.update(found[0].id, differing)
    context.step(f"schedule of {project.path}", bool(differing))

"""What lives inside GitLab, as platform.yml has it: settings, people, projects and runners."""

from __future__ import annotations

from dap.content import ContentError, Context
from gitlab.exceptions import GitlabError

from . import instance, people, projects, runners, server


def apply(context: Context) -> None:
    """Wait until GitLab is up, then make what is missing and mend what differs."""
    try:
        client = server.renew(context, server.connect(context))
        instance.apply(context, client)
        users = people.apply(context, client)
        own = projects.apply(context, client, users)
        runners.apply(context, client, own)
    except GitlabError as error:
        raise ContentError(f"GitLab refuses: {error}; mend what it names, then deploy again") from (
            error
        )

"""The connection to GitLab's API."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import gitlab
import requests
from dap.content import ContentError, Context
from gitlab.exceptions import GitlabAuthenticationError, GitlabHttpError

TOKEN = "gitlab/token"  # noqa: S105  the name of the secret
# The first start makes the database; on a machine of two cores that takes ten minutes.
START_S = 1500
# GitLab answers before its start is over, which ends with the token.
TOKEN_S = 300
RENEWED_BEFORE = timedelta(days=30)
# GitLab allows a year at most.
LIFETIME = timedelta(days=364)
PAGE = 100
NOT_UP = (500, 502, 503, 504)


class _StartingError(Exception):
    """GitLab does not answer yet, or only its proxy does."""


def connect(context: Context) -> gitlab.Gitlab:
    """Return a client that is logged in, as soon as GitLab is up.

    Raises:
        ContentError: GitLab is not up in time, or knows the platform's token not.
    """
    client = _client(context)
    context.wait(
        lambda: _answers(client), START_S, retry_on=lambda e: isinstance(e, _StartingError)
    )
    try:
        context.wait(
            lambda: client.http_get("/personal_access_tokens/self"),
            TOKEN_S,
            retry_on=lambda error: isinstance(error, GitlabAuthenticationError),
        )
    except ContentError as error:
        raise ContentError(
            "GitLab knows the platform's token not, which its start makes: look at the log of the "
            "compose service gitlab, restart it, then deploy again"
        ) from error
    return client


def _client(context: Context) -> gitlab.Gitlab:
    route = context.routes["git"]
    return gitlab.Gitlab(
        f"http://{route['service']}:{route['port']}",
        private_token=context.secret(TOKEN),
        timeout=60,
        per_page=PAGE,
        retry_transient_errors=True,
        # GitLab names itself as browsers know it, which is not the way from here.
        keep_base_url=True,
    )


def _answers(client: gitlab.Gitlab) -> None:
    try:
        client.http_get("/version", max_retries=0, retry_transient_errors=False)
    except GitlabAuthenticationError:
        return
    except (GitlabHttpError, requests.RequestException) as error:
        code = getattr(error, "response_code", None)
        if code in NOT_UP or isinstance(error, requests.RequestException):
            raise _StartingError(str(error)) from error
        raise


def renew(context: Context, client: gitlab.Gitlab) -> gitlab.Gitlab:
    """Put a new token in the place of the platform's own where that ends soon.

    Returns the client that is logged in with the one that is good now.
    """
    mine: Any = client.http_get("/personal_access_tokens/self")
    today = datetime.now(UTC).date()
    due = date.fromisoformat(mine["expires_at"]) - today <= RENEWED_BEFORE
    if due and not context.check:
        new: Any = client.http_post(
            "/personal_access_tokens/self/rotate",
            post_data={"expires_at": (today + LIFETIME).isoformat()},
        )
        context.keep(TOKEN, new["token"])
        client = _client(context)
    context.step("token of the platform", due)
    return client

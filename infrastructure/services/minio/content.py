"""Buckets, and who may use which."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from dap.content import ContentError, Context
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider
from minio.error import S3Error

ADMIN = "platform_admin"
SERVER = "minio:9000"
REGION = "us-east-1"
WAIT_S = 60
ACCOUNTS = 8  # at the same time
WRONG_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch"}


@dataclass(frozen=True)
class Account:
    """An access key, its secret key and the buckets it may use."""

    name: str
    password: str
    buckets: tuple[str, ...]

    def policy(self) -> dict[str, Any]:
        """Return the policy that opens the buckets, all of each and nothing else."""
        places = [f"arn:aws:s3:::{bucket}{end}" for bucket in self.buckets for end in ("", "/*")]
        statement = {"Effect": "Allow", "Action": ["s3:*"], "Resource": places}
        return {"Version": "2012-10-17", "Statement": [statement]}


def apply(context: Context) -> None:
    """Make a bucket for each project and each resource of the kind `bucket`, and the accounts."""
    buckets = [project["name"] for project in context.projects]
    buckets += [resource["name"] for resource in context.resources("bucket")]
    twice = sorted({name for name in buckets if buckets.count(name) > 1})
    if twice:
        raise ContentError(f"bucket '{twice[0]}' is asked for twice: give the project another name")
    default = context.settings["storage"]["default"]
    if default != "builtin":
        _buckets(context, _external(context, default), buckets)
        return
    context.wait(f"http://{SERVER}/minio/health/live", WAIT_S)
    password = context.secret("minio/root-password")
    _buckets(context, Minio(SERVER, ADMIN, password, region=REGION, secure=False), buckets)
    admin = MinioAdmin(endpoint=SERVER, credentials=StaticProvider(ADMIN, password), secure=False)
    _accounts(context, admin, _wanted(context))


def _external(context: Context, name: str) -> Minio:
    store = next(store for store in context.settings["storage"]["stores"] if store["name"] == name)
    url = urlsplit(store["endpoint"])
    return Minio(
        url.netloc,
        context.secret(f"storage/{name}/access-key"),
        context.secret(f"storage/{name}/secret-key"),
        region=store.get("region") or REGION,
        secure=url.scheme == "https",
    )


def _buckets(context: Context, client: Minio, names: list[str]) -> None:
    for name in names:
        missing = not client.bucket_exists(bucket_name=name)
        if missing and not context.check:
            client.make_bucket(bucket_name=name)
        context.step(f"bucket {name}", missing)


def _wanted(context: Context) -> list[Account]:
    accounts = [
        Account(u["name"], context.secret(f"users/{u['name']}/password"), tuple(u["projects"]))
        for u in context.users
    ]
    accounts += [
        Account(p["name"], context.secret(f"projects/{p['name']}/password"), (p["name"],))
        for p in context.projects
    ]
    asked: dict[tuple[str, str], list[str]] = {}
    for resource in context.resources("bucket"):
        asked.setdefault((resource["owner"], resource["secret"]), []).append(resource["name"])
    accounts += [
        Account(owner, context.secret(secret), tuple(names))
        for (owner, secret), names in asked.items()
    ]
    names = [account.name for account in accounts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ContentError(f"account '{twice[0]}' is asked for twice: rename the user or project")
    return accounts


def _accounts(context: Context, admin: MinioAdmin, accounts: list[Account]) -> None:
    found = json.loads(admin.user_list())
    policies = json.loads(admin.policy_list())

    def bring(account: Account) -> tuple[bool, bool]:
        name = account.name
        user = found.get(name, {})
        changed = user.get("status") != "enabled" or not _logs_in(account)
        if changed and not context.check:
            admin.user_add(name, account.password)
        rights = _Rights.of(account, policies.get(name), user.get("policyName", ""))
        if not context.check:
            rights.bring(admin)
        return changed, rights.changed

    # Each of MinIO's answers to an administrator is encrypted by a key that is slow to derive.
    with ThreadPoolExecutor(ACCOUNTS) as pool:
        for account, (changed, rights) in zip(accounts, pool.map(bring, accounts), strict=True):
            context.step(f"account {account.name}", changed)
            context.step(f"rights of {account.name}", rights)
    for name in sorted(found.keys() - {account.name for account in accounts}):
        if found[name]["status"] == "enabled":
            if not context.check:
                admin.user_disable(name)
            context.step(f"account {name} may no longer log in", True)


@dataclass(frozen=True)
class _Rights:
    """What an account's rights lack: its own policy, of its name, and no other attached."""

    account: Account
    wrong: bool
    lacking: list[str]
    spare: list[str]

    @classmethod
    def of(cls, account: Account, policy: object, attached: str) -> _Rights:
        have = {name for name in attached.split(",") if name}
        wanted = {account.name} if account.buckets else set()
        wrong = bool(account.buckets) and _sorted(policy) != _sorted(account.policy())
        return cls(account, wrong, sorted(wanted - have), sorted(have - wanted))

    @property
    def changed(self) -> bool:
        return self.wrong or bool(self.lacking or self.spare)

    def bring(self, admin: MinioAdmin) -> None:
        if self.wrong:
            admin.policy_add(self.account.name, policy=self.account.policy())
        if self.lacking:
            admin.attach_policy(self.lacking, user=self.account.name)
        if self.spare:
            admin.detach_policy(self.spare, user=self.account.name)


def _sorted(policy: object) -> str:
    """Return a policy in a form in which the order of its resources makes no difference."""
    if not isinstance(policy, dict):
        return ""
    statements = [
        {**s, "Resource": sorted(s.get("Resource", [])), "Action": sorted(s.get("Action", []))}
        for s in policy.get("Statement", [])
    ]
    return json.dumps({**policy, "Statement": statements}, sort_keys=True)


def _logs_in(account: Account) -> bool:
    try:
        Minio(SERVER, account.name, account.password, region=REGION, secure=False).list_buckets()
    except S3Error as error:
        if error.code in WRONG_KEYS:
            return False
        if error.code != "AccessDenied":
            raise
    return True

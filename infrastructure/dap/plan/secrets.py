"""Which secrets a plan needs."""

from __future__ import annotations

from dap.catalogue.model import SecretKind
from dap.plan.model import Plan

DIGEST_KEY = "dap/digest-key"
"""Keys the digests of secrets that stand in labels."""
REGISTRY_PASSWORD = "cluster/registry-password"  # noqa: S105  the name of one
"""What a cluster's nodes pull images with."""
PUSH_PASSWORD = "cluster/registry-push-password"  # noqa: S105  the name of one
"""What images are pushed with to the registry of a cluster."""
STATE_PASSPHRASE = "cluster/state-passphrase"  # noqa: S105  the name of one
"""What the secrets in the state of a cluster's stack are encrypted with."""
ENGINE_SECRETS = frozenset({REGISTRY_PASSWORD, PUSH_PASSWORD, STATE_PASSPHRASE})
"""Those that no service is told, content neither."""


def secret_specs(plan: Plan) -> dict[str, SecretKind]:
    """Return name → kind of every secret that must exist, but for `tls/*`."""
    settings = plan.settings
    specs: dict[str, SecretKind] = {DIGEST_KEY: "token"}
    for user in settings.users:
        specs[f"users/{user.name}/password"] = "password"
    for project in settings.projects:
        specs[f"projects/{project.name}/password"] = "password"
    for store in settings.storage.stores:
        specs[f"storage/{store.name}/access-key"] = "user"
        specs[f"storage/{store.name}/secret-key"] = "user"
    if settings.cluster is not None:
        specs[STATE_PASSPHRASE] = "token"
    if settings.cluster is not None and settings.cluster.registry.user:
        specs[REGISTRY_PASSWORD] = "user"
    if settings.cluster is not None and settings.cluster.registry.push_user:
        specs[PUSH_PASSWORD] = "user"
    if settings.mail.user:
        specs["mail/password"] = "user"
    for host in plan.hosts:
        for folder in host.folders:
            for name, kind in folder.options.secrets.items():
                specs[f"{folder.name}/{name}"] = kind
    return specs

"""Which secrets a plan needs."""

from __future__ import annotations

from dap.catalogue.model import SecretKind
from dap.plan.model import Plan
from dap.settings import Settings

DIGEST_KEY = "dap/digest-key"
"""Keys the digests of secrets that stand in labels."""
REGISTRY_PASSWORD = "cluster/registry-password"  # noqa: S105  the name of one
"""What a cluster's nodes pull images with."""
PUSH_PASSWORD = "cluster/registry-push-password"  # noqa: S105  the name of one
"""What images are pushed with to the registry of a cluster."""
STATE_PASSPHRASE = "cluster/state-passphrase"  # noqa: S105  the name of one
"""What the secrets in the state of a cluster's stack are encrypted with."""


def kubeconfig(cluster: str) -> str:
    """Return the name of the secret by which one of `clusters` is reached."""
    return f"clusters/{cluster}/kubeconfig"


def engine_secrets(settings: Settings) -> frozenset[str]:
    """Return the names of those that no service is told, content neither."""
    own = (REGISTRY_PASSWORD, PUSH_PASSWORD, STATE_PASSPHRASE)
    return frozenset([*own, *(kubeconfig(each.name) for each in settings.clusters)])


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
    for cluster in settings.clusters:
        specs[kubeconfig(cluster.name)] = "user"
    if settings.cluster is not None or settings.clusters:
        specs[STATE_PASSPHRASE] = "token"
    if settings.cluster is not None and settings.cluster.registry.user:
        specs[REGISTRY_PASSWORD] = "user"
    if settings.cluster is not None and settings.cluster.registry.push_user:
        specs[PUSH_PASSWORD] = "user"
    if settings.mail.user:
        specs["mail/password"] = "user"
    for host in (*plan.hosts, *plan.clusters):
        for folder in host.folders:
            for name, kind in folder.options.secrets.items():
                specs[f"{folder.name}/{name}"] = kind
    return specs

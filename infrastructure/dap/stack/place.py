"""Where a stack is: in which namespace of which cluster, and how that is reached."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dap.engine import Prepared
from dap.plan import HostView, kubeconfig
from dap.secrets.kubeconfig import contexts
from dap.settings import ClusterRegistry, Settings, choice, refusal
from dap.stack.kubeconfig import find


@dataclass(frozen=True)
class Place:
    """A stack's name, the platform's, and where its objects are.

    `files` are the kubeconfig; none: from inside, as the pod that this is. `context` is empty where
    the state alone knows it. Nodes pull the platform's images from `registry`.
    """

    stack: str
    platform: str
    namespace: str
    context: str
    files: tuple[Path, ...]
    registry: ClusterRegistry = field(default_factory=ClusterRegistry)


def of_platform(settings: Settings, root: Path) -> Place:
    """Return the place of a platform whose target is kubernetes.

    Raises:
        SettingsError: the kubeconfig does not fit.
    """
    return placed(settings, find(settings, root))


def placed(settings: Settings, files: tuple[Path, ...]) -> Place:
    """Return the place of a platform whose target is kubernetes, with this kubeconfig."""
    if settings.cluster is None:
        raise ValueError("the platform's target is no cluster")
    name, cluster = settings.name, settings.cluster
    return Place(name, name, settings.namespace, cluster.context, files, cluster.registry)


def stack_of(platform: str, cluster: str) -> str:
    """Return the name of the stack of a cluster that runs jobs; no platform is called so."""
    return f"{platform}.{cluster}"


@contextmanager
def of_cluster(prepared: Prepared, host: HostView) -> Iterator[Place]:
    """Yield the place of a cluster that runs jobs, whose kubeconfig is a file meanwhile.

    Raises:
        SettingsError: the kubeconfig lacks the context.
    """
    settings = prepared.plan.settings
    if host.place is None or host.jobs is None:
        raise ValueError(f"{host.name} is no cluster that runs jobs")
    stack, context = stack_of(settings.name, host.name), host.place.cluster.context
    if host.place.where == ("cluster",):
        files = find(settings, prepared.root)
        yield Place(stack, settings.name, host.place.namespace, context, files)
        return
    secret = kubeconfig(host.name)
    there = contexts(prepared.vault.get(secret))
    if context not in there:
        what = f"is no context of the secret {secret}"
        path = (*host.place.where, "context")
        raise refusal([settings.problem(path, what, choice(context, there), context)])
    with written(prepared.vault.get(secret)) as file:
        yield Place(stack, settings.name, host.place.namespace, context, (file,))


@contextmanager
def written(text: str) -> Iterator[Path]:
    """Yield a file with a kubeconfig, which only this account can read."""
    with tempfile.TemporaryDirectory(prefix="dap-") as folder:
        file = Path(folder, "kubeconfig")
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
        yield file

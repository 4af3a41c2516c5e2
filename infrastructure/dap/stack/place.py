"""Where a stack is: in which namespace of which cluster, and how that is reached."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dap.engine import Prepared
from dap.plan import ClusterPlace, HostView, kubeconfig
from dap.secrets.kubeconfig import contexts
from dap.settings import ClusterRegistry, Settings
from dap.stack.kubeconfig import find, require


@dataclass(frozen=True)
class Place:
    """A stack's name, the platform's, and where its objects are.

    `files` are the kubeconfig; none: from inside, as the pod that this is. `at` is None where the
    state alone knows it.
    """

    stack: str
    platform: str
    files: tuple[Path, ...]
    at: ClusterPlace | None

    @property
    def namespace(self) -> str:
        """The namespace; empty where the state alone knows it."""
        return self.at.namespace if self.at else ""

    @property
    def context(self) -> str:
        """The context of the kubeconfig; empty where the state alone knows it."""
        return self.at.cluster.context if self.at else ""

    @property
    def registry(self) -> ClusterRegistry:
        """What nodes pull the platform's images from."""
        return self.at.cluster.registry if self.at else ClusterRegistry()


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
    at = ClusterPlace(settings.cluster, settings.namespace, ("cluster",))
    return Place(settings.name, settings.name, files, at)


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
    stack, at = stack_of(settings.name, host.name), host.place
    if at.where == ("cluster",):
        yield Place(stack, settings.name, find(settings, prepared.root), at)
        return
    secret = kubeconfig(host.name)
    text = prepared.vault.get(secret)
    require(settings, at.where, at.cluster.context, contexts(text), f"the secret {secret}")
    with written(text) as file:
        yield Place(stack, settings.name, (file,), at)


@contextmanager
def written(text: str) -> Iterator[Path]:
    """Yield a file with a kubeconfig, which only this account can read."""
    with tempfile.TemporaryDirectory(prefix="dap-") as folder:
        file = Path(folder, "kubeconfig")
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
        yield file

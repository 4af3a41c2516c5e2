"""The kubeconfig: which file it is, and whether it has the context of the settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dap.secrets.kubeconfig import contexts
from dap.settings import Problem, Settings, choice, refusal
from dap.settings.problem import Path as Where

PLACE = "~/.kube/config"


def find(settings: Settings, root: Path) -> tuple[Path, ...]:
    """Return the kubeconfig files, as kubectl looks for them where the settings name none.

    Args:
        settings: of a platform on a cluster.
        root: folder that relative paths start from.

    Raises:
        SettingsError: there is none, it is no kubeconfig, or it lacks the context.
    """
    cluster = settings.cluster
    if cluster is None:
        raise ValueError("the platform's target is no cluster")
    given = cluster.kubeconfig
    files: tuple[Path, ...]
    if given:
        files = (root / Path(given).expanduser(),)
    else:
        listed = os.environ.get("KUBECONFIG") or PLACE
        files = tuple(Path(each).expanduser() for each in listed.split(os.pathsep) if each)
    key = "kubeconfig" if given else "context"

    def problem(what: str, allowed: str, found: object) -> Problem:
        return settings.problem(("cluster", key), what, allowed, found)

    there: list[str] = []
    for file in files:
        try:
            there += contexts(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if given or len(files) == 1:
                what = f"there is no kubeconfig {file}"
                given_as = given or cluster.context
                raise refusal([problem(what, "cluster.kubeconfig: FILE", given_as)]) from None
        except (OSError, ValueError) as error:
            what = "the file is no kubeconfig that can be read"
            raise refusal([problem(what, "as kubectl reads it", str(file))]) from error
    named = ", ".join(str(file) for file in files)
    require(settings, ("cluster",), cluster.context, there, named)
    return files


def require(
    settings: Settings, where: Where, context: str, there: Sequence[str], file: str
) -> None:
    """Refuse settings whose context is not in a kubeconfig.

    Args:
        settings: of the platform.
        where: leads to what they say of the cluster.
        context: what they name.
        there: the contexts that the kubeconfig has.
        file: what to call it.

    Raises:
        SettingsError: it is not.
    """
    if context not in there:
        path, what = (*where, "context"), f"is no context of {file}"
        raise refusal([settings.problem(path, what, choice(context, there), context)])

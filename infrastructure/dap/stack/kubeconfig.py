"""The kubeconfig: which file it is, and whether it has the context of the settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from dap.settings import Problem, Settings, choice, refusal

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

    contexts: list[str] = []
    for file in files:
        try:
            data: Any = yaml.safe_load(file.read_bytes())
            contexts += [str(each["name"]) for each in data.get("contexts") or ()]
        except FileNotFoundError:
            if given or len(files) == 1:
                what = f"there is no kubeconfig {file}"
                given_as = given or cluster.context
                raise refusal([problem(what, "cluster.kubeconfig: FILE", given_as)]) from None
        except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
            what = "the file is no kubeconfig that can be read"
            raise refusal([problem(what, "as kubectl reads it", str(file))]) from error
    if cluster.context not in contexts:
        what = f"is no context of {', '.join(str(file) for file in files)}"
        raise refusal(
            [
                settings.problem(
                    ("cluster", "context"), what, choice(cluster.context, contexts), cluster.context
                )
            ]
        )
    return files

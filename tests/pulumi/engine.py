"""Pulumi's engine on a scratch folder: state in files, secrets behind a passphrase, no account.

The real Kubernetes plugin can't be had where no release file can be downloaded. A stand-in takes
its place: in the test's process (`serve.served`), or as the executable that the engine looks for.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pulumi import automation as auto

from tests.cluster import image
from tests.paths import ROOT
from tests.pulumi.standin.servicer import VERSION

PROJECT = "test"
PASSPHRASE = "of the tests"
PLUGIN = """\
#!/bin/sh
cd {root} && exec env PYTHONPATH={root}:{root}/infrastructure {python} -m tests.pulumi.standin "$@"
"""


@dataclass
class Engine:
    """Stacks whose state lies in a folder.

    Attributes:
        place: the folder.
        environment: variables for the engine.
    """

    place: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """Where state, history and backups lie."""
        return self.place / "state"

    @property
    def plugins(self) -> Path:
        """Where the engine looks for plugins."""
        return self.place / "home" / "plugins"

    def install(self) -> None:
        """Put the stand-in where the real plugin would be."""
        name = "resource-kubernetes"
        path = self.plugins / f"{name}-v{VERSION}" / f"pulumi-{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = PLUGIN.format(root=shlex.quote(str(ROOT)), python=shlex.quote(sys.executable))
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    @property
    def variables(self) -> dict[str, str]:
        """The engine's whole configuration, as variables."""
        return {
            "PULUMI_BACKEND_URL": f"file://{self.state}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            **self.environment,
        }

    def stack(self, program: Callable[[], None], name: str = "one") -> auto.Stack:
        """A stack of the folder, made if it is not there; `program` says what it should have."""
        for folder in (self.state, self.place / "work"):
            folder.mkdir(parents=True, exist_ok=True)
        root = image.tool("pulumi").parent.parent
        options = auto.LocalWorkspaceOptions(
            work_dir=str(self.place / "work"),
            pulumi_home=str(self.place / "home"),
            env_vars=self.variables,
            project_settings=auto.ProjectSettings(PROJECT, "python"),
            pulumi_command=auto.PulumiCommand(str(root)),
        )
        return auto.create_or_select_stack(
            name, program=program, project_name=PROJECT, opts=options
        )

    def kept(self) -> str:
        """All that the engine has written: state, history, backups."""
        files = (path for path in self.place.rglob("*") if path.is_file())
        return "\n".join(path.read_text(errors="replace") for path in files)

    def resources(self, name: str = "one") -> dict[str, Any]:
        """What the state says there is of Kubernetes, by logical name."""
        path = self.state / ".pulumi" / "stacks" / PROJECT / f"{name}.json"
        latest = json.loads(path.read_text(encoding="utf-8"))["checkpoint"]["latest"] or {}
        return {
            each["urn"].rpartition("::")[2]: each
            for each in latest.get("resources", [])
            if each["type"].startswith("kubernetes:")
        }


def up(stack: auto.Stack, **options: Any) -> dict[str, int]:
    """Run `up`; how many resources it did what with (`same`, `create`, `update`, `replace` …)."""
    summary = stack.up(on_output=lambda _: None, suppress_progress=True, **options).summary
    return counted(summary.resource_changes)


def counted(changes: Mapping[Any, int] | None) -> dict[str, int]:
    """Operations with their numbers, less those of none, and less the stack itself."""
    found = {str(getattr(key, "value", key)): n for key, n in (changes or {}).items() if n}
    for own in ("same", "create", "delete"):
        if own in found:
            found[own] -= 1
            break
    return {key: n for key, n in found.items() if n}

"""Pulumi's engine over a platform's stack: what would change, change it, take it away."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pulumi import automation

from dap.cluster import Objects
from dap.errors import DapError, InputError
from dap.plan import STATE_PASSPHRASE
from dap.render import Secrets
from dap.replace import replace_file
from dap.settings import Settings
from dap.stack.model import shared_out
from dap.stack.place import Place, of_platform
from dap.stack.program import platform

PROJECT = "dap"
_PARALLEL = 16
_OURS = "kubernetes:"
_NOTHING = ("same", "refresh", "read")


@dataclass(frozen=True)
class Change:
    """What is, or would be, done to an object: `create`, `update`, `replace` or `delete`.

    `paths` are the places of it that differ, and nothing of their values.
    """

    operation: str
    thing: str
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f": {', '.join(self.paths)}" if self.paths else ""
        return f"{self.operation} {self.thing}{where}"


@dataclass(frozen=True)
class Result:
    """What a run did, or a preview found; `drift` is what somebody else had changed."""

    changes: tuple[Change, ...]
    drift: tuple[Change, ...] = ()


@dataclass
class _Events:
    """Collects changes from the engine's events."""

    tell: Callable[[str], None]
    changes: dict[Change, None] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def __call__(self, event: automation.EngineEvent) -> None:
        if event.diagnostic_event is not None and event.diagnostic_event.severity == "error":
            self.errors.append(event.diagnostic_event.message.strip())
        if event.resource_pre_event is None:
            return
        metadata = event.resource_pre_event.metadata
        operation = str(getattr(metadata.op, "value", metadata.op))
        if operation in _NOTHING or not metadata.type.startswith(_OURS):
            return
        paths: set[str] = set()
        if operation in ("update", "replace") and metadata.old and metadata.new:
            # Of a secret no value is told, so its whole key is what the engine says of it.
            found = set(_differing(metadata.old.inputs, metadata.new.inputs))
            paths = found or set(metadata.diffs or ())
        change = Change(operation, metadata.urn.rpartition("::")[2], tuple(sorted(paths)))
        if change not in self.changes:
            self.changes[change] = None
            self.tell(str(change))


class Engine:
    """The stack of one platform, or of a cluster that runs its jobs.

    Its state is in `.dap/state` of the project, encrypted where it is secret with a passphrase
    that the vault has. Checkpoints of each step are left out, which makes a run's time grow with
    the number of objects alone; a run that is killed leaves a mark, and the next one asks the
    cluster what there is (`--refresh`). One that ends well leaves a digest of what it was given.
    """

    def __init__(
        self,
        root: Path,
        settings: Settings,
        secrets: Secrets,
        tell: Callable[[str], None],
        *,
        place: Place | None = None,
        state: Path | None = None,
        variables: Mapping[str, str] | None = None,
        command: Path | None = None,
    ) -> None:
        """Check what a run needs.

        Args:
            root: of the project.
            settings: of the platform.
            secrets: the vault.
            tell: gets a line for each change.
            place: of the stack; by default the platform's own.
            state: folder of the state; by default the project's.
            variables: more environment for the engine.
            command: folder of Pulumi, with bin/; found in PATH by default.

        Raises:
            InputError: Pulumi is not there, or the kubeconfig does not fit.
        """
        self.place = place or of_platform(settings, root)
        self.state = state or root / ".dap" / "state"
        self._secrets = secrets
        self._tell = tell
        self._variables = variables or {}
        if command is None and shutil.which("pulumi") is None:
            raise InputError(
                "pulumi is not installed, which clusters need",
                "install it as https://www.pulumi.com/docs/install says, and run again",
            )
        self._command = automation.PulumiCommand(str(command) if command else None)

    @property
    def _file(self) -> Path:
        return self.state / ".pulumi" / "stacks" / PROJECT / f"{self.place.stack}.json"

    @property
    def _record(self) -> Path:
        return self.state / f"{self.place.stack}.current"

    @property
    def _mark(self) -> Path:
        return self.state / f"{self.place.stack}.running"

    def preview(self, objects: Objects) -> Result:
        """Return what a run would change, and what somebody else has changed since the last one.

        Raises:
            DapError: the engine failed.
        """
        with self._stack(objects) as stack:
            events = _Events(self._tell)
            self._run(lambda: stack.preview(refresh=True, **_options(events)), events)
        return Result(tuple(events.changes))

    def is_current(self, objects: Objects) -> bool:
        """Tell whether the last run ended well with the same objects, so that one would do nothing.

        What others did in the cluster since is not known here.
        """
        if self._mark.exists() or not (self._record.exists() and self._file.exists()):
            return False
        return self._record.read_text(encoding="utf-8") == self._digest(objects)

    def _digest(self, objects: Objects) -> str:
        """Return a digest of what a run is given: the objects, and the state that it goes on from.

        There is much in it that nobody guesses, so it tells nothing of the secrets.
        """
        given = json.dumps([objects.platform, self.place.context], sort_keys=True).encode()
        return hashlib.sha256(given + self._file.read_bytes()).hexdigest()

    def up(self, objects: Objects, *, repair: bool = False) -> Result:
        """Bring the cluster to the objects.

        Args:
            objects: of the platform.
            repair: ask the cluster what there is first, so that what others changed is put right.

        Raises:
            DapError: the engine failed; what it made by then it knows, and the next run goes on.
        """
        with self._stack(objects) as stack:
            if self._mark.exists():
                self._tell("the last run was cut off: asking the cluster what there is")
                stack.cancel()
                repair = True
            events = _Events(self._tell)
            self._mark.touch()
            self._run(
                lambda: stack.up(refresh=repair, parallel=_PARALLEL, **_options(events)), events
            )
            replace_file(self._record, self._digest(objects).encode(), 0o600)
            self._mark.unlink()
        return Result(tuple(events.changes))

    def destroy(self, *, data: bool, forget: bool = False) -> Result:
        """Take the platform off its cluster; without `data`, volumes and namespace stay.

        Args:
            data: these go, too.
            forget: nothing of the stack is kept.

        Raises:
            DapError: the engine failed.
        """
        with self._stack(None) as stack:
            events = _Events(self._tell)
            if data:
                stack.import_stack(_unprotected(stack.export_stack()))
            self._run(
                lambda: stack.destroy(
                    parallel=_PARALLEL, exclude_protected=not data, **_options(events)
                ),
                events,
            )
            if forget:
                stack.workspace.remove_stack(self.place.stack)
        return Result(tuple(events.changes))

    def _run(self, run: Callable[[], object], events: _Events) -> None:
        try:
            run()
        except automation.ConcurrentUpdateError as error:
            raise InputError(
                "another run is at work on this platform's state", "wait until it has ended"
            ) from error
        except automation.CommandError as error:
            reasons = "\n".join(dict.fromkeys(events.errors)) or str(error)
            raise DapError(f"Pulumi failed: {reasons}", "mend it, and deploy again") from error

    @contextmanager
    def _stack(self, objects: Objects | None) -> Iterator[automation.Stack]:
        """The stack, made if it is not there, with a folder of its own while it is used."""
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._mend()
        with tempfile.TemporaryDirectory(prefix="dap-") as folder:
            passphrase = Path(folder, "passphrase")
            passphrase.touch(mode=0o600)
            passphrase.write_text(self._secrets.get(STATE_PASSPHRASE), encoding="utf-8")
            work = Path(folder, "work")
            work.mkdir()
            stack = automation.create_or_select_stack(
                self.place.stack,
                program=lambda: None,
                project_name=PROJECT,
                opts=automation.LocalWorkspaceOptions(
                    work_dir=str(work),
                    env_vars=self._environment(passphrase),
                    project_settings=automation.ProjectSettings(PROJECT, "python"),
                    pulumi_command=self._command,
                ),
            )
            # The SDK asks for these after each run by three more commands; events have told all.
            stack.outputs = dict  # type: ignore[method-assign]
            stack.info = _summary  # type: ignore[method-assign]
            if objects is not None:
                args = shared_out(objects, _claims(self._file))
                stack.workspace.program = lambda: platform(args, self.place.context)
            yield stack

    def _mend(self) -> None:
        """Put in the place of a state that was cut off while it was written the one before it.

        Where there is none, the run takes over what is in the cluster.
        """
        file = self._file
        if not file.exists() or _whole(file):
            return
        self._mark.touch()
        backup = file.with_name(f"{file.name}.bak")
        if backup.exists() and _whole(backup):
            self._tell("the state was cut off while it was written: going on with the one before")
            replace_file(file, backup.read_bytes(), 0o600)
            return
        self._tell("the state was cut off while it was written: taking over what is in the cluster")
        file.replace(file.with_name(f"{file.name}.broken"))

    def _environment(self, passphrase: Path) -> dict[str, str]:
        return {
            "KUBECONFIG": os.pathsep.join(map(str, self.place.files)),
            "PULUMI_BACKEND_URL": f"file://{self.state}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_SKIP_CHECKPOINTS": "true",
            **self._variables,
        }


def _options(events: _Events) -> dict[str, Any]:
    return {"on_event": events, "on_output": _quiet, "suppress_progress": True}


def _whole(file: Path) -> bool:
    """Whether a file of the state was written to its end."""
    try:
        json.loads(file.read_bytes())
    except ValueError:
        return False
    return True


def _quiet(_: str) -> None:
    """Take the engine's own words, which events say better."""


def _resources(deployment: automation.Deployment) -> list[dict[str, Any]]:
    return list((deployment.deployment or {}).get("resources") or ())


def _claims(state: Path) -> list[dict[str, Any]]:
    """Return the claims that the state has, as they were asked for; nothing of them is secret."""
    latest = json.loads(state.read_bytes())["checkpoint"]["latest"] or {}
    return [
        each["inputs"]
        for each in latest.get("resources") or ()
        if each["type"].endswith(":PersistentVolumeClaim")
    ]


def _summary(show_secrets: bool = True) -> automation.UpdateSummary:  # noqa: ARG001  as the SDK has it
    return automation.UpdateSummary("", datetime.now(UTC), "", {}, {}, "")


def _unprotected(deployment: automation.Deployment) -> automation.Deployment:
    """Return a state in which nothing is protected any more."""
    for each in _resources(deployment):
        each.pop("protect", None)
    return deployment


def _differing(old: object, new: object, path: str = "") -> Iterator[str]:
    """Yield the places where two objects differ, as far down as both go."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _differing(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differing(one, other, f"{path}[{index}]")
    elif old != new:
        yield path

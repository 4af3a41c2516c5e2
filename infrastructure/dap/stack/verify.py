"""The acceptance tests as a Job in the platform's cluster, from a namespace of their own."""

from __future__ import annotations

import base64
import gzip
import io
import json
import signal
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from kubernetes.dynamic.exceptions import BadRequestError, NotFoundError
from urllib3.exceptions import HTTPError

from dap.cluster import Manifest
from dap.cluster.source import PLATFORM_LABEL
from dap.engine import Prepared
from dap.engine.lock import hold
from dap.errors import DapError, InputError
from dap.files import outside, read_files
from dap.plan import REGISTRY_PASSWORD
from dap.render.values import Values
from dap.stack.live import LOOKED_AT, Live, connected
from dap.stack.place import Place, of_platform
from dap.stack.plan import objects_of
from dap.stack.preflight import plural

RESULT = "result: "
"""What stands before the results in JSON, in one line of the Job's log."""
VERIFIES = "dap.verify"
"""Label of all that is there meanwhile: the platform that is verified."""
NAME = "tests"
_APART = "-verify"
_BUSY = "another run of the tests is at work: "
_SECRETS = "secrets.json"
# An object of the API has at most 1 MiB.
_PART = 700 * 1024
# What plan, rendered trees and tests are read from; secrets come by themselves.
_FOLDERS = ("infrastructure", "environments")
_NOT_GIVEN = outside({"secrets"})
_LOGIN = "kubernetes.io/dockerconfigjson"
_LIMIT_S = 3600
_END_S = 60.0
_GONE_S = 180.0
_INTERVAL_S = 0.5

Object = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """How the Job ended: exit status of the tests, and their results in JSON if these were asked.

    The status is 0 where all passed, 1 where some failed, 2 where they could not be run.
    """

    status: int
    results: str


def verify(prepared: Prepared, arguments: Sequence[str], say: Callable[[str], None]) -> Ended:
    """Run the acceptance tests inside the cluster, and take away all that is there for it.

    Args:
        prepared: a project that is deployed.
        arguments: of infrastructure/tests/run.py.
        say: gets each line that the tests print.

    Raises:
        DapError: they can't be run there; says why.
    """
    place = of_platform(prepared.plan.settings, prepared.root)
    if prepared.new_secrets:
        raise InputError(
            "platform.yml asks for what was never deployed: there is no "
            + ", ".join(prepared.new_secrets),
            "make deploy",
        )
    apart = of_checks(place)
    wanted = objects(prepared, arguments)
    with (
        hold(prepared.root / ".dap" / "tests.lock", say, _BUSY),
        connected(place) as live,
        connected(apart) as checks,
        _ended_by_signals(),
    ):
        if not live.own_pods():
            what = f"the platform {place.platform} is not deployed: {place.namespace} has no pod"
            raise InputError(what, "make deploy")
        _refuse_others(checks, place.platform)
        remove(live, checks)
        try:
            for each in wanted:
                (live if each["metadata"].get("namespace") == place.namespace else checks).create(
                    each
                )
            return _watched(checks, _container(wanted), say)
        finally:
            remove(live, checks)


def of_checks(place: Place) -> Place:
    """Return the place of the tests beside that of their platform."""
    at = place.at and replace(place.at, namespace=place.namespace + _APART)
    return replace(place, platform=place.platform + _APART, at=at)


def left(live: Live, checks: Live) -> list[str]:
    """Return what a run that was killed has left, for a person."""
    found = [f"namespace {checks.place}"] if _namespace(checks, live.platform) else []
    return found + [
        f"{kind} {each['metadata']['name']} of namespace {live.place}"
        for version, kind in _GIVEN
        for each in live.all(version, kind, f"{VERIFIES}={live.platform}")
    ]


def remove(live: Live, checks: Live) -> None:
    """Take away what is there for the tests: that of this run, or of one that was killed.

    Raises:
        DapError: the namespace does not go.
    """
    for version, kind in _GIVEN:
        for each in live.all(version, kind, f"{VERIFIES}={live.platform}"):
            live.delete(version, kind, each["metadata"]["name"])
    if _namespace(checks, live.platform) is None:
        return
    checks.delete("v1", "Namespace", checks.place)
    end = time.monotonic() + _GONE_S
    while _namespace(checks, live.platform):
        if time.monotonic() > end:
            raise DapError(
                f"namespace {checks.place} does not go within {_GONE_S:.0f} s",
                f"kubectl describe namespace {checks.place} says what it waits for",
            )
        time.sleep(_INTERVAL_S)


_GIVEN = tuple(("rbac.authorization.k8s.io/v1", kind) for kind in ("RoleBinding", "Role"))


def _namespace(checks: Live, platform: str) -> Object | None:
    found = checks.look(f"/api/v1/namespaces/{checks.place}")
    labels = (found or {}).get("metadata", {}).get("labels") or {}
    return found if labels.get(VERIFIES) == platform else None


def _refuse_others(checks: Live, platform: str) -> None:
    there = checks.look(f"/api/v1/namespaces/{checks.place}")
    if there and _namespace(checks, platform) is None:
        raise InputError(
            f"namespace {checks.place} is there and is not this platform's: the tests need it",
            "remove it, or verify from here: make verify",
        )


def objects(prepared: Prepared, arguments: Sequence[str]) -> list[Manifest]:
    """Return what the tests need in the cluster, in an order in which it can be made. Pure.

    Raises:
        InputError: the catalogue has nothing that they run in.
    """
    made = objects_of(prepared)
    if made.checks is None:
        raise InputError(
            "no service says x-dap.checks, so there is no image to run the tests in",
            "bring back its folder, or verify from here: make verify",
        )
    settings = prepared.plan.settings
    place, space = settings.namespace, settings.namespace + _APART
    labels = {
        PLATFORM_LABEL: settings.name + _APART,
        VERIFIES: settings.name,
        "app.kubernetes.io/managed-by": "dap",
    }
    platform = {each["kind"]: each for each in made.platform if each["kind"] == "Namespace"}
    kinds = [(version, kind) for version, kind in LOOKED_AT if kind != "Namespace"]
    pull = [each for each in made.platform if each.get("type") == _LOGIN]

    def thing(version: str, kind: str, name: str, where: str = space, **rest: Any) -> Manifest:
        head: Any = {
            "apiVersion": version,
            "kind": kind,
            "metadata": {"name": name, "labels": dict(labels)},
        }
        if kind != "Namespace":
            head["metadata"]["namespace"] = where
        return head | rest  # type: ignore[no-any-return]

    rbac = "rbac.authorization.k8s.io"
    namespace = thing("v1", "Namespace", space)
    standard = {
        key: "restricted"
        for key in platform["Namespace"]["metadata"]["labels"]
        if key.startswith("pod-security.kubernetes.io/")
    }
    namespace["metadata"]["labels"] |= standard
    parts = project_parts(prepared.root)
    return [
        namespace,
        # It is reached by nobody.
        thing(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            NAME,
            spec={"podSelector": {}, "policyTypes": ["Ingress"]},
        ),
        *(
            thing("v1", "Secret", each["metadata"]["name"], type=_LOGIN, data=each["data"])
            for each in pull
        ),
        thing(
            "v1",
            "ServiceAccount",
            NAME,
            automountServiceAccountToken=False,
            imagePullSecrets=[{"name": each["metadata"]["name"]} for each in pull],
        ),
        thing(f"{rbac}/v1", "Role", space, where=place, rules=_rules(place, kinds)),
        thing(
            f"{rbac}/v1",
            "RoleBinding",
            space,
            where=place,
            roleRef={"apiGroup": rbac, "kind": "Role", "name": space},
            subjects=[{"kind": "ServiceAccount", "name": NAME, "namespace": space}],
        ),
        *(
            thing("v1", "ConfigMap", name, binaryData={name: base64.b64encode(part).decode()})
            for name, part in parts.items()
        ),
        thing("v1", "Secret", NAME, stringData={_SECRETS: json.dumps(given(prepared))}),
        thing(
            "batch/v1",
            "Job",
            NAME,
            spec={
                "backoffLimit": 0,
                "activeDeadlineSeconds": _LIMIT_S,
                "template": {
                    "metadata": {"labels": dict(labels)},
                    "spec": _pod(made.checks, [*parts], arguments),
                },
            },
        ),
    ]


def _rules(place: str, kinds: Sequence[tuple[str, str]]) -> list[Object]:
    """Return what the tests may do in the platform's namespace: look, and ask inside pods."""
    resources: dict[str, list[str]] = {}
    for version, kind in kinds:
        resources.setdefault(version.rpartition("/")[0], []).append(plural(kind))
    verbs = ["get", "list"]
    return [
        {
            "apiGroups": [""],
            "resources": ["namespaces"],
            "resourceNames": [place],
            "verbs": ["get"],
        },
        *(
            {"apiGroups": [group], "resources": sorted(names), "verbs": verbs}
            for group, names in sorted(resources.items())
        ),
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {
            "apiGroups": [""],
            "resources": ["pods/exec", "pods/portforward"],
            "verbs": ["create", "get"],
        },
    ]


def _pod(planned: Mapping[str, Any], parts: Sequence[str], arguments: Sequence[str]) -> Object:
    """Return the pod of the Job: as the catalogue says, with an account, project and secrets."""
    (container,) = planned["containers"]
    spec = {key: value for key, value in planned.items() if key != "dnsConfig"}
    mounts = [
        {"name": "given-project", "mountPath": "/given/project", "readOnly": True},
        {"name": "given-secrets", "mountPath": "/given/secrets", "readOnly": True},
    ]
    return {
        **spec,
        "containers": [
            {
                **container,
                "args": [each.replace("$(", "$$(") for each in arguments],
                "volumeMounts": [*(container.get("volumeMounts") or ()), *mounts],
            }
        ],
        "serviceAccountName": NAME,
        "automountServiceAccountToken": True,
        "dnsPolicy": "ClusterFirst",
        "volumes": [
            *(planned.get("volumes") or ()),
            {
                "name": "given-project",
                "projected": {"sources": [{"configMap": {"name": name}} for name in parts]},
            },
            {"name": "given-secrets", "secret": {"secretName": NAME, "defaultMode": 0o440}},
        ],
    }


def given(prepared: Prepared) -> dict[str, str]:
    """Return the secrets that the tests get: what content has in the cluster, and what pulls.

    The key of the CA, kubeconfigs and the passphrase of the state stay here.
    """
    found = Values(prepared.plan, prepared.vault).vault()
    if REGISTRY_PASSWORD in prepared.secrets:
        found[REGISTRY_PASSWORD] = prepared.secrets[REGISTRY_PASSWORD]
    return found


def project_parts(root: Path) -> dict[str, bytes]:
    """Return a compressed archive of what the tests read of the project, in parts by name."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as archive,
    ):
        for file in (
            *(each for name in _FOLDERS for each in read_files(root, root / name, _NOT_GIVEN)),
        ):
            _add(archive, file.where, file.content, 0o755 if file.executable else 0o644)
        _add(archive, "platform.yml", (root / "platform.yml").read_bytes(), 0o644)
    content = packed.getvalue()
    return {
        f"project-{start // _PART:03}": content[start : start + _PART]
        for start in range(0, len(content), _PART)
    }


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def _container(wanted: Sequence[Manifest]) -> str:
    """Return the name of the container that the tests run in."""
    job: Any = next(each for each in wanted if each["kind"] == "Job")
    return str(job["spec"]["template"]["spec"]["containers"][0]["name"])


def _watched(checks: Live, container: str, say: Callable[[str], None]) -> Ended:
    """Pass on what the Job says until its end."""
    pod = checks.started(NAME)
    results = ""
    told = 0
    while True:
        try:
            for number, line in enumerate(checks.log(pod, container, {"follow": "true"})):
                if number < told:
                    continue
                told += 1
                text = line.decode(errors="replace").rstrip("\n")
                if text.startswith(RESULT):
                    results = text.removeprefix(RESULT)
                else:
                    say(text)
        except (HTTPError, BadRequestError):
            time.sleep(_INTERVAL_S)  # the connection broke, and it is read anew; or it has no log
        ended = _ended(checks, pod, container)
        if ended is not None:
            return Ended(ended, results)


def _ended(checks: Live, pod: str, container: str) -> int | None:
    """Return the exit status of the pod once it has ended; None where it has not yet.

    Raises:
        DapError: it was ended, and by whom.
    """
    end = time.monotonic() + _END_S
    while time.monotonic() < end:
        try:
            status = checks.get("v1", "Pod", pod)["status"]
        except NotFoundError:
            raise DapError(f"the pod {pod} of {checks.place} was removed by somebody") from None
        if status.get("phase") not in ("Succeeded", "Failed"):
            time.sleep(_INTERVAL_S)
            continue
        stopped: Object = next(
            (
                each["state"]["terminated"]
                for each in status.get("containerStatuses") or ()
                if "terminated" in each.get("state", {})
            ),
            {},
        )
        code, why = stopped.get("exitCode"), status.get("reason") or stopped.get("reason")
        if code in (0, 1, 2) and why in (None, "Completed", "Error"):
            return int(code)
        raise DapError(
            f"the tests were ended in the cluster: {why}, exit status {code}",
            f"give them more memory: resources.{container}.memory" if why == "OOMKilled" else "",
        )
    return None


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a signal that ends this program be told as what Control-C is, so that nothing stays."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)

"""What is in a platform's namespace now: whether it is well, and Jobs that run there once."""

from __future__ import annotations

import base64
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError, ForbiddenError, NotFoundError
from urllib3.exceptions import HTTPError

from dap.cluster import Manifest, Objects
from dap.cluster.source import PLATFORM_LABEL, SERVICE_LABEL
from dap.errors import DapError, InputError
from dap.settings import Settings
from dap.stack import pulls
from dap.stack.drift import differing
from dap.stack.model import SWEPT, WORKLOADS
from dap.stack.place import Place
from dap.stack.preflight import asking, problems, refuse, seen

Object = dict[str, Any]
_INTERVAL_S = 0.5
_READY_S = 900.0
_TASK_S = 3600.0
_READ_S = 300.0
_READ = '[ ! -e "$0" ] || base64 -w 0 "$0"'
# A container that waits for one of these waits for ever.
_STUCK = ("ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError")
LOOKED_AT = (
    *SWEPT,
    *(("v1", kind) for kind in ("Event", "LimitRange", "Namespace", "PersistentVolumeClaim")),
    *(("v1", kind) for kind in ("Pod", "ResourceQuota")),
    ("apps/v1", "ReplicaSet"),
)
"""Kinds that acceptance tests look at in the platform's namespace."""


class Live:
    """The namespace of one platform, asked by its label; `connected` makes one."""

    def __init__(self, place: Place, api: Any, dynamic: Any) -> None:
        self._whole = place
        self._namespace = place.namespace
        self.platform = place.platform
        self._label = f"{PLATFORM_LABEL}={place.platform}"
        self._registry = place.registry
        self._api = api
        self._dynamic = dynamic

    def refuse(self, settings: Settings, objects: Objects) -> None:
        """Look whether the cluster takes the objects.

        Raises:
            InputError: it does not; tells all reasons.
        """
        refuse(asking(self._dynamic), settings, self._whole, objects)

    def await_started(self, objects: Objects, tell: Callable[[str], None]) -> None:
        """Wait until each pod runs; it may wait for content that a task makes to be ready.

        Raises:
            DapError: some can't start; tells why of each.
        """
        self._await("start", lambda: self._lacking(objects, _not_started), tell)

    def await_ready(self, objects: Objects, tell: Callable[[str], None]) -> None:
        """Wait until each service is as its objects say, and ready.

        Raises:
            DapError: some do not become so; tells why of each.
        """
        self._await("become ready", lambda: self.missing(objects), tell)

    def missing(self, objects: Objects) -> dict[str, str]:
        """Return what is not ready, by service, and why."""
        return self._lacking(objects, _not_ready)

    def run(self, task: Manifest) -> str:
        """Run a Job anew, in place of what the last deploy left of it; return what it said.

        Raises:
            DapError: it failed, or its pod can't start.
        """
        name = task["metadata"]["name"]
        jobs = self._kind("batch/v1", "Job")
        self._remove(jobs, name)
        jobs.create(body=dict(task), namespace=self._namespace)
        end = time.monotonic() + _TASK_S
        while True:
            # The pod says it first; the Job, which counts pods, seconds later.
            pods = self._pods(f"batch.kubernetes.io/job-name={name}")
            ended = {pod["status"].get("phase") for pod in pods} & {"Succeeded", "Failed"}
            if ended:
                said = self._said(pods)
                if "Failed" in ended:
                    raise DapError(f"task {name} failed:\n{said.strip()}", "mend it, deploy again")
                return said
            stuck = [why for pod in pods for why in _waiting(pod) if self._stuck(why)]
            if stuck or time.monotonic() > end:
                why = "; ".join(stuck) or f"not within {_TASK_S:.0f} s"
                raise DapError(f"task {name} did not end: {why}", self._hint(why))
            time.sleep(_INTERVAL_S)

    def read(self, task: Manifest, volume: str, name: str) -> str:
        """Return the text of a file on a volume that a Job mounts; empty where there is none.

        A Job as that is there meanwhile, and the file comes by a command in its pod: what a pod
        prints by itself stays in logs.

        Args:
            task: the Job.
            volume: name of the claim.
            name: of the file, from the top of what is mounted.

        Raises:
            DapError: the pod can't start, or the command failed.
        """
        job = f"{task['metadata']['name']}-read"
        spec = task["spec"]
        template = spec["template"]
        (container,) = template["spec"]["containers"]
        mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        waiting = {**container, "command": ["sleep", str(int(_READ_S))], "args": []}
        pod_spec = {**template["spec"], "containers": [waiting]}
        body = {
            **task,
            "metadata": {**task["metadata"], "name": job},
            "spec": {**spec, "template": {**template, "spec": pod_spec}},
        }
        jobs = self._kind("batch/v1", "Job")
        self._remove(jobs, job)
        jobs.create(body=body, namespace=self._namespace)
        try:
            return self.output(self.started(job), ["sh", "-c", _READ, f"{mounts[volume]}/{name}"])
        finally:
            self._remove(jobs, job)

    def started(self, job: str) -> str:
        """Wait until a Job's pod runs, or has ended; return its name.

        Raises:
            DapError: it can't start; says why.
        """
        end = time.monotonic() + _READ_S
        while True:
            pods = self._pods(f"batch.kubernetes.io/job-name={job}")
            for pod in pods:
                if pod.get("status", {}).get("phase") in ("Running", "Succeeded", "Failed"):
                    return str(pod["metadata"]["name"])
            stuck = [why for pod in pods for why in _waiting(pod) if self._stuck(why)]
            if stuck or time.monotonic() > end:
                why = "; ".join(stuck) or _reasons(pods) or f"not within {_READ_S:.0f} s"
                raise DapError(f"the pod of {job} does not start: {why}", self._hint(why))
            time.sleep(_INTERVAL_S)

    def output(self, pod: str, command: list[str]) -> str:
        """Return what a command in a pod prints in base64, for the client changes what is JSON.

        Raises:
            DapError: it failed.
            ApiException: the account may not.
        """
        from kubernetes.stream import stream  # loads slowly

        run: Any = stream
        answer = run(
            self.client().connect_get_namespaced_pod_exec,
            pod,
            self._namespace,
            command=command,
            stdout=True,
            stderr=True,
            stdin=False,
            tty=False,
            _preload_content=False,
        )
        try:
            answer.run_forever(timeout=_READ_S)
            said, wrong = answer.read_stdout(), answer.read_stderr()
            if answer.is_open() or answer.returncode != 0:
                raise DapError(f"pod {pod}: what was to be read there was not: {wrong.strip()}")
        finally:
            answer.close()
        return base64.b64decode(said).decode()

    def sweep(self, objects: Objects | None, tell: Callable[[str], None]) -> None:
        """Remove what a lost state knows no more of: what has the platform's label and no object.

        Args:
            objects: of the platform; None: none is wanted any more. Volumes stay.
            tell: gets a line for each that goes.
        """
        wanted = {
            (each["kind"], each["metadata"]["name"])
            for each in ((*objects.platform, *objects.tasks) if objects else ())
        }
        for version, kind in SWEPT:
            resource = self._kind(version, kind)
            for each in self._list(resource, self._label):
                name = each["metadata"]["name"]
                if (kind, name) not in wanted and not each["metadata"].get("ownerReferences"):
                    tell(f"delete {kind}/{name}, which no state knows")
                    self._remove(resource, name)

    def drift(self, objects: Objects) -> list[str]:
        """Return a line for each object that is not as it was asked for, with the places."""
        found = []
        kinds: dict[tuple[str, str], dict[str, Object]] = {}
        for wanted in objects.platform:
            kind, name = (wanted["apiVersion"], wanted["kind"]), wanted["metadata"]["name"]
            if kind not in kinds:
                kinds[kind] = self.named(*kind)
            there = kinds[kind].get(name)
            places = ["is not there"] if there is None else list(differing(wanted, there))
            if places:
                found.append(f"{wanted['kind']}/{name}: {', '.join(places)}")
        return found

    def named(self, version: str, kind: str) -> dict[str, Object]:
        """Return the objects of a kind in the namespace by name, whoever's they are."""
        resource = self._kind(version, kind)
        if kind == "Namespace":
            # By its name: no account has to know all of them.
            try:
                listed = [resource.get(name=self._namespace).to_dict()]
            except NotFoundError:
                listed = []
        else:
            listed = self._list(resource, "")
        return {each["metadata"]["name"]: each for each in listed}

    def remove_tasks(self) -> None:
        """Remove what past deploys left of their Jobs, with their pods."""
        jobs = self._kind("batch/v1", "Job")
        for each in self._list(jobs, self._label):
            self._remove(jobs, each["metadata"]["name"])

    def address(self, name: str) -> str:
        """Return the address of a Service."""
        return str(self.get("v1", "Service", name)["spec"]["clusterIP"])

    def get(self, version: str, kind: str, name: str) -> Object:
        """Return an object of the namespace.

        Raises:
            NotFoundError: it is not there.
        """
        found = self._kind(version, kind).get(name=name, namespace=self._namespace)
        return dict(found.to_dict())

    def all(self, version: str, kind: str, selector: str = "") -> list[Object]:
        """Return the objects of a kind in the namespace, whoever's they are."""
        return self._list(self._kind(version, kind), selector)

    @property
    def place(self) -> str:
        """The namespace."""
        return self._namespace

    def client(self) -> client.CoreV1Api:
        """Return a client of its own for what can't be done by several at once: streams."""
        return client.CoreV1Api(client.ApiClient(self._api.configuration))

    def create(self, thing: Manifest) -> None:
        """Make an object.

        Raises:
            DapError: the account may not; says what.
        """
        body: Object = dict(thing)
        try:
            self._kind(body["apiVersion"], body["kind"]).create(
                body=body, namespace=body["metadata"].get("namespace")
            )
        except ForbiddenError as error:
            said = json.loads(error.body or "{}").get("message", error.reason)
            raise DapError(f"the cluster refuses: {said}") from error

    def delete(self, version: str, kind: str, name: str) -> None:
        """Have an object removed, if it is there; does not wait for its end."""
        with suppress(NotFoundError):
            self._kind(version, kind).delete(
                name=name, namespace=self._namespace, body={"propagationPolicy": "Background"}
            )

    def problems(self, settings: Settings, objects: Objects) -> list[str]:
        """Return what keeps the cluster from taking the objects of a platform."""
        return problems(asking(self._dynamic), settings, self._whole, objects)

    def look(self, path: str) -> Object | None:
        """Return what the API has at a path; None where nothing is, or it is refused."""
        found = seen(asking(self._dynamic), path)
        return None if found is None else dict(found)

    def own_pods(self) -> list[Object]:
        """Return the platform's pods, those of Jobs too."""
        return self._pods(self._label)

    def log(self, pod: str, container: str, query: Mapping[str, str]) -> Iterator[bytes]:
        """Return the lines of a container's log, as they come where `query` says follow.

        Raises:
            BadRequestError, NotFoundError: it has none.
        """
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod}/log"
        asked = [("container", container), *query.items()]
        found: Iterator[bytes] = self._dynamic.request(
            "get", path, query_params=asked, serialize=False
        )
        return found

    def claims(self) -> list[str]:
        """Return the names of the platform's volumes, sorted."""
        found = self._list(self._kind("v1", "PersistentVolumeClaim"), self._label)
        return sorted(each["metadata"]["name"] for each in found)

    def _kind(self, version: str, kind: str) -> Any:
        return self._dynamic.resources.get(api_version=version, kind=kind)

    def _list(self, resource: Any, selector: str) -> list[Object]:
        found = resource.get(namespace=self._namespace, label_selector=selector)
        return list(found.to_dict()["items"])

    def _pods(self, selector: str) -> list[Object]:
        return self._list(self._kind("v1", "Pod"), selector)

    def _said(self, pods: Iterable[Object]) -> str:
        # The client's typed interface, which would do this too, takes a second to load.
        logs = self._kind("v1", "Pod").subresources["log"]
        answers = (
            logs.get(name=pod["metadata"]["name"], namespace=self._namespace, serialize=False)
            for pod in pods
        )
        return "".join(each.data.decode(errors="replace") for each in answers)

    def _remove(self, resource: Any, name: str) -> None:
        try:
            resource.delete(
                name=name,
                namespace=self._namespace,
                body={"propagationPolicy": "Foreground"},
            )
            while True:
                resource.get(name=name, namespace=self._namespace)
                time.sleep(_INTERVAL_S)
        except NotFoundError:
            return

    def _lacking(
        self, objects: Objects, judge: Callable[[Object, list[Object]], str]
    ) -> dict[str, str]:
        there = {
            (kind, each["metadata"]["name"]): {**each, "kind": kind}
            for kind in WORKLOADS
            for each in self._list(self._kind("apps/v1", kind), self._label)
        }
        pods: dict[str, list[Object]] = {}
        for pod in self._pods(self._label):
            name = pod["metadata"].get("labels", {}).get(SERVICE_LABEL, "")
            pods.setdefault(name, []).append(pod)
        found: dict[str, str] = {}
        for each in objects.platform:
            name = each["metadata"]["name"]
            if each["kind"] not in WORKLOADS:
                continue
            live = there.get((each["kind"], name))
            own = pods.get(each["metadata"]["labels"].get(SERVICE_LABEL, ""), [])
            why = judge(live, own) if live else "is not there"
            if why:
                found[name] = why
        return found

    def _stuck(self, why: str) -> bool:
        """Whether what a container waits for does not come by itself."""
        return any(each in why for each in _STUCK) or bool(pulls.remedy(self._registry, why))

    def _hint(self, why: str) -> str:
        return pulls.remedy(self._registry, why) or "mend it, deploy again"

    def _await(
        self, what: str, lacking: Callable[[], Mapping[str, str]], tell: Callable[[str], None]
    ) -> None:
        end = time.monotonic() + _READY_S
        before: Mapping[str, str] | None = None
        while found := lacking():
            if before is None:
                tell(f"{len(found)} services have to {what} yet")
            for name in (before or {}).keys() - found.keys():
                tell(f"{name}: done")
            stuck = any(self._stuck(why) for why in found.values())
            if stuck or time.monotonic() > end:
                reasons = "\n".join(f"{name}: {why}" for name, why in sorted(found.items()))
                raise DapError(f"services did not {what}:\n{reasons}", self._hint(reasons))
            before = found
            time.sleep(_INTERVAL_S)


@contextmanager
def connected(place: Place) -> Iterator[Live]:
    """Yield the platform's namespace.

    Args:
        place: of its stack; without a kubeconfig this is a pod of the cluster, with its account.

    Raises:
        InputError: the cluster does not know the context's account.
        DapError: the cluster does not answer, or refuses.
    """
    context = place.context
    # The client's own types end here.
    loaded: Any = config.new_client_from_config
    dynamic: Any = DynamicClient
    try:
        with tempfile.TemporaryDirectory(prefix="dap-") as folder:
            if place.files:
                api = loaded(os.pathsep.join(map(str, place.files)), context, persist_config=False)
            else:
                api = _as_this_pod()
            yield Live(place, api, dynamic(api, cache_file=str(Path(folder, "api"))))
    except (DynamicApiError, client.ApiException) as error:
        if error.status == HTTPStatus.UNAUTHORIZED:
            raise InputError(
                f"the cluster of context {context} does not know its account",
                "its token or certificate has run out, or is another cluster's: get a new one",
            ) from error
        raise DapError(f"the cluster of context {context} refuses: {error.reason}") from error
    except (HTTPError, config.ConfigException) as error:
        raise DapError(
            f"the cluster of context {context} does not answer: {error}",
            f"try: kubectl --context {context} version",
        ) from error


def _as_this_pod() -> client.ApiClient:
    settings: Any = client.Configuration()
    load: Any = config.load_incluster_config
    load(settings)
    return client.ApiClient(settings)


def _not_started(live: Object, pods: list[Object]) -> str:
    running = [
        pod
        for pod in pods
        if any(
            "running" in each.get("state", {}) or each.get("restartCount")
            for each in pod.get("status", {}).get("containerStatuses") or ()
        )
    ]
    if len(running) >= live["spec"].get("replicas", 1):
        return ""
    return _reasons(pods) or "no pod yet"


def _not_ready(live: Object, pods: list[Object]) -> str:
    status, wanted = live.get("status", {}), live["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < live["metadata"].get("generation", 0):
        return "the change is not seen yet"
    if live["kind"] == "Deployment":
        # Old pods may be there beside the new ones until these are ready.
        counts = [status.get(key, 0) for key in ("updatedReplicas", "availableReplicas")]
        old = status.get("replicas", 0) > wanted
    else:
        counts = [status.get("readyReplicas", 0)]
        old = status.get("updateRevision") != status.get("currentRevision")
    if min(counts) >= wanted and not old:
        return ""
    return _reasons(pods) or f"{min(counts)} of {wanted} pods are ready"


def _reasons(pods: Iterable[Object]) -> str:
    return "; ".join(dict.fromkeys(why for pod in pods for why in _waiting(pod)))


def _waiting(pod: Object) -> Iterator[str]:
    """Yield why a pod's containers wait, or why it has no node."""
    status = pod.get("status", {})
    containers = [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]
    for each in containers:
        waiting = each.get("state", {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason:
            yield f"{each['name']}: {reason} {waiting.get('message', '')}".strip()
    for each in status.get("conditions") or ():
        if each["type"] == "PodScheduled" and each["status"] == "False":
            yield f"no node: {each.get('message', '')}"

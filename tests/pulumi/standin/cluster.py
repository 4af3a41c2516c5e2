"""A real API server as a provider's store: server-side apply, and awaiting what it makes ready."""

import json
import tempfile
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError, NotFoundError, ResourceNotFoundError

from demo.access import await_result
from tests.pulumi.standin.store import How, RefusedError, UnfinishedError
from tests.pulumi.standin.values import Object

DELETED_S = 120


class Cluster:
    """Objects of a real cluster.

    Args:
        configuration: of the provider: `kubeconfig`, its text or a path, and `context`.

    Raises:
        RefusedError: there is no such context, or no server answers.
    """

    def __init__(self, configuration: Object) -> None:
        given = configuration.get("kubeconfig")
        context = configuration.get("context")
        # The client's own types end here.
        load: Any = config.load_kube_config
        loaded_from: Any = config.new_client_from_config
        dynamic: Any = DynamicClient
        try:
            if given and "\n" in given:
                loaded = client.Configuration()
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder, "kubeconfig")
                    path.touch(mode=0o600)
                    path.write_text(given, encoding="utf-8")
                    load(str(path), context, loaded)
                    made = client.ApiClient(loaded)
                    self._client = dynamic(made, cache_file=str(Path(folder, "cache")))
            else:
                self._client = dynamic(loaded_from(given, context))
        except config.ConfigException as error:
            raise RefusedError(str(error)) from error

    def _resource(self, thing: Object) -> Any:
        try:
            return self._client.resources.get(api_version=thing["apiVersion"], kind=thing["kind"])
        except ResourceNotFoundError as error:
            raise RefusedError(f"no matches for {thing['apiVersion']} {thing['kind']}") from error

    def namespaced(self, thing: Object) -> bool:
        """Whether objects of its kind lie in namespaces."""
        return bool(self._resource(thing).namespaced)

    def get(self, thing: Object) -> Object | None:
        """The object as it is now."""
        names = thing["metadata"]
        try:
            found = self._resource(thing).get(name=names["name"], namespace=names.get("namespace"))
        except NotFoundError:
            return None
        return _live(found)

    def apply(self, thing: Object, how: How) -> Object:
        """Make or change an object by server-side apply, and await that it is ready."""
        names = thing["metadata"]
        if how.exclusive and self.get(thing):
            raise RefusedError(f"{names['name']} already exists")
        more = {"dry_run": "All"} if how.dry else {}
        try:
            applied = self._resource(thing).server_side_apply(
                body=thing,
                name=names["name"],
                namespace=names.get("namespace"),
                field_manager=how.manager,
                force_conflicts=how.force,
                **more,
            )
        except NotFoundError as error:
            # Its namespace is made in the same run, or a role that it names.
            if how.dry:
                return thing
            raise RefusedError(_message(error)) from None
        except (ApiException, DynamicApiError) as error:
            # What is replaced is there yet, when a preview asks.
            if how.dry and how.new and "field is immutable" in _message(error):
                return thing
            raise RefusedError(_message(error)) from error
        live = _live(applied)
        if how.dry or not how.awaited:
            return live
        missing = ["no answer"]

        def ready() -> Object | None:
            now = self.get(thing)
            if now is None:
                raise RefusedError(f"{names['name']} was removed meanwhile")
            missing[:] = self._missing(now)
            return None if missing else now

        try:
            return await_result(names["name"], ready, how.timeout_s, 0.2)
        except TimeoutError:
            raise UnfinishedError(self.get(thing) or live, missing) from None

    def delete(self, thing: Object) -> None:
        """Remove an object, and await that it is gone."""
        names = thing["metadata"]
        try:
            self._resource(thing).delete(
                name=names["name"],
                namespace=names.get("namespace"),
                body={"propagationPolicy": "Foreground"},
            )
        except NotFoundError:
            return
        except (ApiException, DynamicApiError) as error:
            raise RefusedError(_message(error)) from error
        await_result(
            f"removal of {names['name']}",
            lambda: self.get(thing) is None or None,
            DELETED_S,
            0.2,
        )

    def _missing(self, live: Object) -> list[str]:
        """What it lacks to be ready, as the real provider judges it; nothing: it is."""
        kind, status = live["kind"], live.get("status", {})
        wanted = live.get("spec", {}).get("replicas", 1)
        if status.get("observedGeneration", 0) < live["metadata"].get("generation", 0) and kind in {
            *("Deployment", "StatefulSet", "DaemonSet"),
        }:
            return ["the change is not seen yet"]
        if kind == "Deployment":
            ready = [status.get(key, 0) for key in ("updatedReplicas", "availableReplicas")]
            ready += [wanted] if status.get("replicas", 0) == wanted else []
            return _fewer(min(ready) if len(ready) == 3 else 0, wanted) if wanted else []
        if kind == "StatefulSet":
            new = status.get("updateRevision") == status.get("currentRevision")
            return _fewer(status.get("readyReplicas", 0) if new else 0, wanted)
        if kind == "DaemonSet":
            return _fewer(status.get("numberReady", 0), status.get("desiredNumberScheduled", 1))
        if kind == "Job":
            return self._job(live)
        if kind == "PersistentVolumeClaim":
            return [] if status.get("phase") == "Bound" or self._late(live) else ["not bound"]
        if kind == "Service":
            return self._service(live)
        return []

    def _job(self, live: Object) -> list[str]:
        conditions = live.get("status", {}).get("conditions", [])
        true = {each["type"]: each for each in conditions if each["status"] == "True"}
        if "Failed" in true:
            raise UnfinishedError(live, [true["Failed"].get("message", "failed")])
        return [] if "Complete" in true else ["not complete"]

    def _late(self, claim: Object) -> bool:
        """Whether a claim is bound when a pod wants it, and not before."""
        name = claim["spec"].get("storageClassName")
        names = {"name": name}
        found = self.get(
            {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": names}
        )
        return bool(found and found.get("volumeBindingMode") == "WaitForFirstConsumer")

    def _service(self, live: Object) -> list[str]:
        spec = live["spec"]
        given = live.get("status", {}).get("loadBalancer", {}).get("ingress")
        if spec.get("type") == "LoadBalancer" and not given:
            return ["no address"]
        if spec.get("clusterIP") == "None" or not spec.get("selector"):
            return []
        slices = self._client.resources.get(
            api_version="discovery.k8s.io/v1", kind="EndpointSlice"
        ).get(
            namespace=live["metadata"]["namespace"],
            label_selector=f"kubernetes.io/service-name={live['metadata']['name']}",
        )
        ready = [
            endpoint
            for each in slices.to_dict()["items"]
            for endpoint in each.get("endpoints") or []
            if endpoint.get("conditions", {}).get("ready")
        ]
        return [] if ready else ["no pod answers for it"]


def _fewer(have: int, wanted: int) -> list[str]:
    return [f"{have} of {wanted} pods are ready"] if have < wanted else []


def _live(found: Any) -> Object:
    thing = dict(found.to_dict())
    thing["metadata"].pop("managedFields", None)
    return thing


def _message(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error)

"""The part of Pulumi's Kubernetes provider that its engine talks to."""

import base64
import hashlib
import secrets
from collections.abc import Callable
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from tests.pulumi.standin.changes import changes
from tests.pulumi.standin.store import How, RefusedError, Store, UnfinishedError
from tests.pulumi.standin.values import (
    Object,
    cover_secret,
    pack,
    reveal,
    shaped,
    unknown,
    unpack,
)

VERSION = "4.30.0"
AUTONAMED = "pulumi.com/autonamed"
MANAGER = "pulumi.com/patchFieldManager"
FORCE = "pulumi.com/patchForce"
SKIP_AWAIT = "pulumi.com/skipAwait"
TIMEOUT = "pulumi.com/timeoutSeconds"
DEFAULT_TIMEOUT_S = 300.0
KEPT_MANAGER = "__fieldManager"
PREFIX = "pulumi-kubernetes-"
# The server writes these; nobody asks for them.
SERVERS = (
    *("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"),
)


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """One provider at a time.

    Args:
        connect: gives the store that a provider's configuration is about.
    """

    def __init__(self, connect: Callable[[Object], Store]) -> None:
        self._connect = connect
        self._store: Store
        self._configuration: Object = {}

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return plugin_pb2.PluginInfo(version=VERSION)

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        # Another cluster would make all objects anew; none of the tests moves.
        some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=none if request.olds == request.news else some)

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._configuration = reveal(unpack(request.args))
        try:
            self._store = self._connect(self._configuration)
        except RefusedError as error:
            _fail(context, str(error))
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        thing, olds = unpack(request.news), reveal(unpack(request.olds))
        names = thing.setdefault("metadata", {})
        if not reveal(names.get("name")):
            was = olds.get("metadata", {})
            if was.get("annotations", {}).get(AUTONAMED):
                names["name"] = was["name"]
            else:
                logical = request.urn.rpartition("::")[2]
                names["name"] = f"{logical}-{hashlib.sha256(request.randomSeed).hexdigest()[:8]}"
            names.setdefault("annotations", {})[AUTONAMED] = "true"
        if "namespace" not in names and self._store.namespaced(thing):
            names["namespace"] = self._configuration.get("namespace", "default")
        return provider_pb2.CheckResponse(inputs=pack(cover_secret(thing, thing)))

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        old, new = reveal(unpack(request.old_inputs)), reveal(unpack(request.news))
        found = changes(old, new, self._configuration)
        replaces = [change.path for change in found if change.replaces]
        kinds = provider_pb2.PropertyDiff.Kind
        detail = {}
        for change in found:
            kind = change.kind.upper() + ("_REPLACE" if change.replaces else "")
            detail[change.path] = provider_pb2.PropertyDiff(kind=kinds.Value(kind), inputDiff=True)
        some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
        # A name that is taken must be free first; one that was made up is made up anew.
        same = all(new["metadata"].get(k) == old["metadata"].get(k) for k in ("name", "namespace"))
        named = AUTONAMED not in new["metadata"].get("annotations", {})
        return provider_pb2.DiffResponse(
            changes=some if found else none,
            diffs=[change.path for change in found],
            replaces=replaces,
            deleteBeforeReplace=bool(replaces) and same and named,
            detailedDiff=detail,
            hasDetailedDiff=True,
        )

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        inputs = unpack(request.properties)
        live = self._apply(inputs, None, request, context)
        return provider_pb2.CreateResponse(
            id="" if request.preview else _id(live), properties=pack(live)
        )

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        inputs = unpack(request.news)
        if not request.preview and not self._store.get(reveal(inputs)):
            _fail(context, f"{_id(reveal(inputs))} not found")
        live = self._apply(inputs, unpack(request.olds), request, context)
        return provider_pb2.UpdateResponse(properties=pack(live))

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        inputs, state = unpack(request.inputs), unpack(request.properties)
        thing = reveal(inputs) or reveal(state) or _of_id(request.urn, request.id)
        namespace, _, name = request.id.rpartition("/")
        names = thing.setdefault("metadata", {})
        names["name"] = name
        if namespace:
            names["namespace"] = namespace
        live = self._store.get(thing)
        if live is None:
            return provider_pb2.ReadResponse()
        if KEPT_MANAGER in state:
            live[KEPT_MANAGER] = state[KEPT_MANAGER]
        asked = shaped(live, reveal(inputs)) if inputs else _without_servers(live)
        if inputs and "stringData" in inputs:
            asked["stringData"] = _plain(live, reveal(inputs)["stringData"])
        return provider_pb2.ReadResponse(
            id=request.id,
            properties=pack(cover_secret(live, inputs or state)),
            inputs=pack(cover_secret(asked, inputs or state)),
        )

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        thing = reveal(unpack(request.properties)) or reveal(unpack(request.old_inputs))
        try:
            self._store.delete(thing)
        except RefusedError as error:
            _fail(context, str(error))
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return empty_pb2.Empty()

    def _on(self, switch: str) -> bool:
        return str(self._configuration.get(switch)).lower() == "true"

    def _apply(self, inputs: Object, state: Object | None, request: Any, context: Any) -> Object:
        if request.preview and unknown(reveal(inputs)):
            return inputs
        thing = reveal(inputs)
        notes = thing["metadata"].get("annotations", {})
        # As the real one: without a name given, a manager for each object, that the state keeps.
        kept = (state or {}).get(KEPT_MANAGER)
        manager = notes.get(MANAGER) or kept or f"{PREFIX}{secrets.token_hex(4)}"
        how = How(
            manager=manager,
            force=notes.get(FORCE) == "true" or self._on("enablePatchForce"),
            new=state is None,
            upsert=self._on("upsertExistingObjects"),
            dry=request.preview,
            awaited=notes.get(SKIP_AWAIT) != "true",
            timeout_s=float(notes.get(TIMEOUT, request.timeout)) or DEFAULT_TIMEOUT_S,
        )
        try:
            live = self._store.apply(thing, how)
        except UnfinishedError as error:
            error.live[KEPT_MANAGER] = manager
            _unfinished(context, error, inputs)
        except RefusedError as error:
            _fail(context, str(error))
        return cover_secret({**live, KEPT_MANAGER: manager}, inputs)


def _id(thing: Object) -> str:
    names = thing["metadata"]
    parts = (reveal(names.get("namespace")), reveal(names["name"]))
    return "/".join(part for part in parts if part)


def _of_id(urn: str, known: str) -> Object:
    """What a URN's type says of an object that is to be imported."""
    kind = urn.split("::")[2].rpartition("$")[2]
    _, version, name = kind.split(":")
    namespace, _, own = known.rpartition("/")
    names = {"name": own} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": version.removeprefix("core/"), "kind": name, "metadata": names}


def _without_servers(live: Object) -> Object:
    names = {key: each for key, each in live["metadata"].items() if key not in SERVERS}
    of_others = {"status", KEPT_MANAGER}
    return {k: each for k, each in live.items() if k not in of_others} | {"metadata": names}


def _plain(live: Object, asked: Object) -> Object:
    data = live.get("data", {})
    return {key: base64.b64decode(data[key]).decode() for key in asked if key in data}


def _fail(context: Any, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError(message)


def _unfinished(context: Any, error: UnfinishedError, inputs: Object) -> NoReturn:
    """Say that the object was made and is to be kept in the state, though it is not well."""
    live = cover_secret(error.live, inputs)
    detail = provider_pb2.ErrorResourceInitFailed(
        id=_id(error.live), properties=pack(live), reasons=error.reasons, inputs=pack(inputs)
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error))
    status.details.add().Pack(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    _fail(context, str(error))

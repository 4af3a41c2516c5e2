"""Clusters that run jobs: each is a stack of its own, beside the platform's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from kubernetes.dynamic.exceptions import NotFoundError

from dap.cluster import Objects, objects
from dap.engine import Prepared
from dap.engine.lock import hold
from dap.errors import DapError, InputError
from dap.plan import STATE_PASSPHRASE, HostPlan, Plan, kubeconfig, make_plan
from dap.render import render_clusters
from dap.settings.cluster import OWN_JOBS
from dap.stack import entry
from dap.stack.drift import put_right
from dap.stack.engine import PROJECT, Change, Engine
from dap.stack.kubeconfig import find
from dap.stack.live import connected
from dap.stack.place import Place, of_cluster, of_platform, stack_of, written
from dap.stack.status import Row, rows

Tell = Callable[[str], None]


@dataclass(frozen=True)
class InCluster:
    """What a run changed, or would change, in a cluster that runs jobs."""

    cluster: str
    changes: tuple[Change, ...]


def check(prepared: Prepared, tell: Tell) -> None:
    """Look at clusters before anything is changed anywhere: whether each takes what is for it.

    One that does not answer is told; it fails by itself, and keeps nothing else from its deploy.

    Raises:
        InputError: names each cluster that refuses, or whose settings or kubeconfig do not fit.
    """

    def look(host: HostPlan, made: Objects) -> InCluster:
        with _engine(prepared, host, _silent) as engine:
            try:
                with connected(engine.place) as live:
                    live.refuse(prepared.plan.settings, made)
            except InputError:
                raise
            except DapError as error:
                tell(f"{host.host.name}: {error.message}; going on without")
        return InCluster(host.host.name, ())

    made = objects_of_all(prepared, asking=False)
    _each((host.host.name, _calls(look, host, objects)) for host, objects in made)


def deploy(prepared: Prepared, tell: Tell) -> list[InCluster]:
    """Bring each cluster to what the settings say, and take those off that they name no more.

    The vault has what content got by then, such as the runners' tokens.

    Raises:
        DapError: names each cluster that failed; the others are as they should be.
    """

    def up(host: HostPlan, made: Objects) -> InCluster:
        say = _prefixed(tell, host.host.name)
        with _engine(prepared, host, say) as engine:
            changes = () if engine.is_current(made) else engine.up(made).changes
            with connected(engine.place) as live:
                changes += put_right(engine, live, made, made, say)
                live.sweep(made, say)
                live.await_ready(made, say)
            return InCluster(host.host.name, changes)

    with hold(prepared.root / ".dap" / "lock", tell):
        there = {host.host.name for host in prepared.plan.clusters}
        gone = [name for name in stacks(prepared) if name not in there]
        return _each(
            [
                *(
                    (host.host.name, _calls(up, host, made))
                    for host, made in objects_of_all(prepared)
                ),
                *((name, _calls(_take_off, prepared, name, tell)) for name in gone),
            ]
        )


def plan(prepared: Prepared, tell: Tell) -> list[InCluster]:
    """Return what a deploy would change in each cluster.

    Raises:
        DapError: names each cluster that failed.
    """

    def preview(host: HostPlan, made: Objects) -> InCluster:
        # What a plan makes up before the first deploy must not encrypt a state that stays.
        new = STATE_PASSPHRASE in prepared.new_secrets
        with ExitStack() as context:
            folder = context.enter_context(tempfile.TemporaryDirectory(prefix="dap-"))
            state = Path(folder) if new else None
            say = _prefixed(tell, host.host.name)
            engine = context.enter_context(_engine(prepared, host, say, state=state))
            return InCluster(host.host.name, engine.preview(made).changes)

    gone = set(stacks(prepared)) - {host.host.name for host in prepared.plan.clusters}
    for name in sorted(gone):
        tell(f"{name}: is taken off: the settings name it no more")
    done = [
        (host.host.name, _calls(preview, host, made)) for host, made in objects_of_all(prepared)
    ]
    return [*_each(done), *(InCluster(name, (Change("delete", name),)) for name in sorted(gone))]


def status(prepared: Prepared) -> dict[str, list[Row]]:
    """Return how each cluster's services are; one that can't be asked lacks an answer."""
    found: dict[str, list[Row]] = {}
    for host, made in objects_of_all(prepared):
        try:
            with of_cluster(prepared, host.host) as place, connected(place) as live:
                found[host.host.name] = rows(made, live.missing(made))
        except DapError as error:
            found[host.host.name] = [Row("cluster", error.message)]
    return found


def destroy(prepared: Prepared, tell: Tell) -> list[InCluster]:
    """Take all off all clusters that something was deployed to; no data is there.

    Raises:
        DapError: names each cluster that failed.
    """
    with hold(prepared.root / ".dap" / "lock", tell):
        listed = stacks(prepared)
        return _each((name, _calls(_take_off, prepared, name, tell)) for name in listed)


def forget(prepared: Prepared, cluster: str) -> bool:
    """Forget a cluster that is gone for good, without asking it; whether there was one.

    Raises:
        InputError: the settings still name it.
    """
    if cluster in {host.host.name for host in prepared.plan.clusters}:
        raise InputError(f"--forget: {cluster}: platform.yml still names it", "take it out first")
    found = [file for file in _states(prepared) if _cluster_of(prepared, file) == cluster]
    for file in found:
        file.unlink()
    return bool(found)


def stacks(prepared: Prepared) -> list[str]:
    """Return the names of clusters that something was deployed to, sorted."""
    return sorted(_cluster_of(prepared, file) for file in _states(prepared))


def _states(prepared: Prepared) -> list[Path]:
    folder = prepared.root / ".dap" / "state" / ".pulumi" / "stacks" / PROJECT
    return list(folder.glob(f"{stack_of(prepared.plan.settings.name, '*')}.json"))


def _cluster_of(prepared: Prepared, file: Path) -> str:
    return file.stem.removeprefix(stack_of(prepared.plan.settings.name, ""))


def objects_of_all(prepared: Prepared, *, asking: bool = True) -> list[tuple[HostPlan, Objects]]:
    """Return the objects of each cluster that runs jobs, of the vault as it is now.

    Args:
        prepared: the project.
        asking: where the platform is in a cluster itself, ask that for the address of its entry.
    """
    vault = prepared.vault
    plan = _with_address(prepared) if asking else prepared.plan
    return [
        (plan.hosted(tree.host), objects(plan, tree, secrets=vault))
        for tree in render_clusters(plan, vault)
    ]


def _with_address(prepared: Prepared) -> Plan:
    """Return the plan whose own jobs find the platform's names at its entry, if that is there."""
    plan, settings = prepared.plan, prepared.plan.settings
    if OWN_JOBS not in {host.host.name for host in plan.clusters}:
        return plan
    with connected(of_platform(settings, prepared.root)) as live:
        try:
            address = live.address(entry.name(plan))
        except NotFoundError:
            return plan
    named = make_plan(settings.model_copy(update={"address": address}), plan.catalogue)
    return replace(plan, clusters=named.clusters)


@contextmanager
def _engine(
    prepared: Prepared, host: HostPlan, tell: Tell, *, state: Path | None = None
) -> Iterator[Engine]:
    with of_cluster(prepared, host.host) as place:
        settings = prepared.plan.settings
        yield Engine(prepared.root, settings, prepared.vault, tell, place=place, state=state)


def _take_off(prepared: Prepared, name: str, tell: Tell) -> InCluster:
    """Destroy a cluster's stack, which itself knows the context and what there is."""
    settings, vault = prepared.plan.settings, prepared.vault
    secret = kubeconfig(name)
    with ExitStack() as context:
        if secret in vault.names():
            files: tuple[Path, ...] = (context.enter_context(written(vault.get(secret))),)
        elif name == OWN_JOBS and settings.cluster is not None:
            files = find(settings, prepared.root)
        else:
            raise InputError(
                f"the vault has no secret {secret}",
                f"bring it back, or if the cluster is gone for good: make deploy FORGET={name}",
            )
        place = Place(stack_of(settings.name, name), settings.name, files, None)
        engine = Engine(prepared.root, settings, vault, _prefixed(tell, name), place=place)
        try:
            return InCluster(name, engine.destroy(data=True, forget=True).changes)
        except DapError as error:
            error.hint = f"again when it answers; if it never will: make deploy FORGET={name}"
            raise


def _calls(run: Callable[..., InCluster], *arguments: object) -> Callable[[], InCluster]:
    return lambda: run(*arguments)


def _each(calls: Iterable[tuple[str, Callable[[], InCluster]]]) -> list[InCluster]:
    """Return what each call gives; what failed is told at once, when all have been tried."""
    done: list[InCluster] = []
    problems: list[str] = []
    refused = True
    for name, call in calls:
        try:
            done.append(call())
        except DapError as error:
            problems += [f"cluster {name}: {line}" for line in error.message.splitlines()]
            problems += [f"  {error.hint}"] if error.hint else []
            refused = refused and isinstance(error, InputError)
    if problems:
        raise (InputError if refused else DapError)("\n".join(problems))
    return done


def _prefixed(tell: Tell, name: str) -> Tell:
    return lambda line: tell(f"{name}: {line}")


def _silent(_: str) -> None:
    """Tell nobody."""

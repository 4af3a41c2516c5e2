"""The engine over a cluster that is a dictionary: what it makes of a program, run after run."""

import base64
from collections.abc import Callable
from typing import Any

import pulumi
import pytest
from pulumi import automation as auto
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace, PersistentVolumeClaim, Secret

from tests.pulumi.engine import Engine, counted, up
from tests.pulumi.standin.store import Memory

PLAIN = "correct horse battery staple"
ENCODED = base64.b64encode(PLAIN.encode()).decode()


def maps(count: int, text: str = "1", **options: Any) -> Callable[[], None]:
    """A program: a namespace and ConfigMaps in it."""

    def program() -> None:
        space = Namespace("space", metadata={"name": "space"})
        for number in range(count):
            ConfigMap(
                f"map-{number}",
                metadata={"name": f"map-{number}", "namespace": space.metadata.name},
                data={"text": text},
                opts=pulumi.ResourceOptions(**options),
            )

    return program


def found(memory: Memory, name: str) -> Any:
    """The one object of that name."""
    (thing,) = (each for each in memory.objects.values() if each["metadata"]["name"] == name)
    return thing


def test_what_is_asked_for_is_made_and_the_next_run_does_nothing(
    engine: Engine, memory: Memory
) -> None:
    stack = engine.stack(maps(3))
    assert up(stack) == {"create": 4}
    assert len(memory.objects) == 4
    memory.calls.clear()
    assert up(stack) == {"same": 4}
    assert memory.calls == []


def test_a_preview_makes_nothing(engine: Engine, memory: Memory) -> None:
    summary = engine.stack(maps(3)).preview(on_output=lambda _: None).change_summary
    assert counted(summary) == {"create": 4}
    assert memory.objects == {}


def test_a_changed_label_is_changed_in_place(engine: Engine, memory: Memory) -> None:
    def program(label: str) -> Callable[[], None]:
        def run() -> None:
            Namespace("n", metadata={"name": "n", "labels": {"a": label}})

        return run

    up(engine.stack(program("1")))
    assert up(engine.stack(program("2"))) == {"update": 1}
    assert found(memory, "n")["metadata"]["labels"] == {"a": "2"}


def test_changed_content_under_a_given_name_is_removed_before_it_is_made_anew(
    engine: Engine, memory: Memory
) -> None:
    up(engine.stack(maps(1)))
    memory.calls.clear()
    assert up(engine.stack(maps(1, "2"))) == {"replace": 1, "same": 1}
    assert memory.calls == [("delete", "map-0"), ("apply", "map-0")]
    assert found(memory, "map-0")["data"] == {"text": "2"}


def test_changed_content_under_a_name_of_its_own_is_made_before_the_old_is_removed(
    engine: Engine, memory: Memory
) -> None:
    def program(text: str) -> Callable[[], None]:
        def run() -> None:
            ConfigMap("own", data={"text": text})

        return run

    up(engine.stack(program("1")))
    (first,) = (each["metadata"]["name"] for each in memory.objects.values())
    memory.calls.clear()
    assert up(engine.stack(program("2"))) == {"replace": 1}
    (second,) = (each["metadata"]["name"] for each in memory.objects.values())
    assert first != second
    assert memory.calls == [("apply", second), ("delete", first)]


def test_drift_is_seen_by_a_refresh_and_repaired(engine: Engine, memory: Memory) -> None:
    def program() -> None:
        Namespace("a", metadata={"name": "a", "labels": {"of": "us"}})
        Namespace("b", metadata={"name": "b"})

    stack = engine.stack(program)
    up(stack)
    found(memory, "a")["metadata"]["labels"]["of"] = "others"
    gone = next(key for key in memory.objects if key[3] == "b")
    del memory.objects[gone]
    seen = counted(stack.preview(on_output=lambda _: None, refresh=True).change_summary)
    assert seen == {"update": 1, "create": 1}
    assert up(stack, refresh=True) == {"update": 1, "create": 1}
    assert found(memory, "a")["metadata"]["labels"] == {"of": "us"}
    assert found(memory, "b")
    assert up(stack, refresh=True) == {"same": 2}


def test_what_the_server_adds_is_no_drift(engine: Engine, memory: Memory) -> None:
    stack = engine.stack(maps(1))
    up(stack)
    thing = found(memory, "map-0")
    thing["metadata"]["resourceVersion"] = "7"
    thing["metadata"]["annotations"] = {"of": "somebody else's controller"}
    assert up(stack, refresh=True) == {"same": 2}


def test_a_failed_run_keeps_what_it_made_and_the_next_one_makes_the_rest(
    engine: Engine, memory: Memory
) -> None:
    stack = engine.stack(maps(5))
    memory.refuses.add("map-3")
    with pytest.raises(auto.CommandError, match="map-3 is refused"):
        up(stack, parallel=1)
    made = len(memory.objects)
    assert 1 < made < 6
    assert len(engine.resources()) == made
    memory.refuses.clear()
    assert up(stack) == {"create": 6 - made, "same": made}


def test_destroy_removes_all_in_the_order_of_need(engine: Engine, memory: Memory) -> None:
    stack = engine.stack(maps(3))
    up(stack)
    memory.calls.clear()
    stack.destroy(on_output=lambda _: None)
    assert memory.objects == {}
    assert memory.calls[-1] == ("delete", "space")
    assert len(memory.calls) == 4


def test_what_is_no_longer_asked_for_is_removed(engine: Engine, memory: Memory) -> None:
    up(engine.stack(maps(3)))
    assert up(engine.stack(maps(1))) == {"delete": 2, "same": 2}
    assert {key[3] for key in memory.objects} == {"space", "map-0"}


def test_what_is_protected_is_neither_removed_nor_replaced(engine: Engine, memory: Memory) -> None:
    def program(mode: str | None) -> Callable[[], None]:
        def run() -> None:
            if mode:
                PersistentVolumeClaim(
                    "data",
                    metadata={"name": "data"},
                    spec={"access_modes": [mode], "resources": {"requests": {"storage": "1Gi"}}},
                    opts=pulumi.ResourceOptions(protect=True),
                )

        return run

    stack = engine.stack(program("ReadWriteOnce"))
    up(stack)
    with pytest.raises(auto.CommandError, match="protect"):
        stack.destroy(on_output=lambda _: None)
    for other in ("ReadWriteMany", None):
        with pytest.raises(auto.CommandError, match="protect"):
            up(engine.stack(program(other)))
    assert memory.calls == [("apply", "data")]


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "unmarked"])
def test_secrets_are_nowhere_in_plain(engine: Engine, memory: Memory, marked: bool) -> None:
    """In state, history and backups: neither as they are nor as Kubernetes encodes them."""

    def program(extra: str) -> Callable[[], None]:
        def run() -> None:
            value: Any = pulumi.Output.secret(PLAIN) if marked else PLAIN
            Secret(
                "key",
                metadata={"name": "key", "labels": {"extra": extra}},
                string_data={"word": value},
            )

        return run

    for extra in ("1", "2"):
        stack = engine.stack(program(extra))
        up(stack)
        stack.refresh(on_output=lambda _: None)
    memory.refuses.add("key")
    with pytest.raises(auto.CommandError):
        up(engine.stack(program("3")))
    assert found(memory, "key")["data"] == {"word": ENCODED}
    kept = engine.kept()
    assert "ciphertext" in kept
    assert PLAIN not in kept
    assert ENCODED not in kept


def test_what_exists_is_imported(engine: Engine, memory: Memory) -> None:
    up(engine.stack(maps(1), "other"))
    memory.calls.clear()

    def run() -> None:
        ConfigMap(
            "map-0",
            metadata={"name": "map-0", "namespace": "space"},
            data={"text": "1"},
            opts=pulumi.ResourceOptions(import_="space/map-0"),
        )

    assert up(engine.stack(run)) == {"import": 1}
    assert memory.calls == []

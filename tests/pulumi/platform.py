"""What a platform's own engine is given in the tests: a cluster that is a dictionary, a vault."""

from __future__ import annotations

from tests.pulumi.standin.store import How, Memory
from tests.pulumi.standin.values import Object

ADDRESS = "10.96.0.99"
PASSPHRASE = "value-of-the-passphrase-x7"


class Addressed(Memory):
    """A cluster that gives each Service an address, and knows in which order all was made."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[tuple[str, str]] = []

    def apply(self, thing: Object, how: How) -> Object:
        """Keep an object."""
        live = super().apply(thing, how)
        self.order.append((thing["kind"], thing["metadata"]["name"]))
        spec = live.get("spec", {})
        if live["kind"] == "Service":
            spec.setdefault("clusterIP", ADDRESS)
        return live


class Passphrase:
    """Where the engine has its passphrase from."""

    def get(self, name: str, /) -> str:
        """Return the passphrase."""
        assert name == "cluster/state-passphrase"
        return PASSPHRASE

"""pgbench against the data database: through the proxy's stream, and straight to the server."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from docker.models.containers import Container

from demo.access import SYSTEM_CA
from demo.project import ADMIN, REPOSITORY
from tests.bench.bench import Bench
from tests.bench.figure import Baseline, Figure
from tests.bench.running import Running, archive, container
from tests.bench.timing import interleave

SCALE = 5  # half a million accounts, 75 MB
CLIENTS = 2
SECONDS = 3
AT_LEAST = 0.85
UID = 11001  # that the image runs as
RATE = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
SCRIPTS = {
    "pgbench, as it comes (TPC-B like)": [],
    "pgbench, select only": ["--select-only"],
}


@dataclass(frozen=True)
class Client:
    """pgbench in a container on the host's network.

    Attributes:
        container: it is in there.
        hostname: name in the server's certificate, which is verified whatever the address.
    """

    container: Container
    hostname: str

    def run(self, address: str, port: int, *arguments: str) -> str:
        """Run pgbench with the server at an address; what it printed.

        Raises:
            RuntimeError: it failed.
        """
        options = ["--host", self.hostname, "--port", str(port), "--username", ADMIN]
        code, output = self.container.exec_run(
            ["pgbench", *options, *arguments, REPOSITORY],
            environment={
                "PGHOSTADDR": address,
                "PGPASSFILE": "/tmp/pgpass",
                "PGSSLMODE": "verify-full",
                "PGSSLROOTCERT": "/tmp/ca.pem",
            },
        )
        text = (output if isinstance(output, bytes) else b"".join(output)).decode()
        if code:
            raise RuntimeError(f"pgbench: {text}")
        return text

    def rate(self, address: str, port: int, options: list[str]) -> float:
        """Run transactions for a while; how many a second, connecting not counted."""
        shape = ["--client", str(CLIENTS), "--jobs", str(CLIENTS), "--time", str(SECONDS)]
        text = self.run(address, port, "--no-vacuum", *shape, *options)
        found = RATE.search(text)
        if found is None:
            raise RuntimeError(f"pgbench told no rate: {text}")
        return float(found[1])


@contextlib.contextmanager
def pgbench(platform: Running, hostname: str) -> Iterator[Client]:
    """A container with pgbench, the first user's password and the platform's CA."""
    image = platform.image("postgres-service")
    files = {
        "pgpass": f"*:*:*:{ADMIN}:{platform.access.password}\n".encode(),
        "ca.pem": SYSTEM_CA.read_bytes(),
    }
    options = {"command": ["sleep", "600"], "network_mode": "host", "init": True}
    with container(platform.engine, image, **options) as made:
        made.start()
        made.put_archive("/tmp", archive(files, UID))
        yield Client(made, hostname)


def measure(bench: Bench) -> None:
    """Count the transactions a second by either way."""
    platform = bench.platform
    [stream] = [entry for entry in platform.plan["streams"] if entry["name"] == "postgres"]
    proxy = (platform.address(platform.entry, "edge"), int(stream["listen"]))
    direct = (platform.address(stream["service"], "internal"), int(stream["port"]))
    with pgbench(platform, stream["hostname"]) as client:
        client.run(*direct, "--initialize", "--quiet", "--scale", str(SCALE))
        try:
            for what, options in SCRIPTS.items():
                ways = {
                    "proxy": functools.partial(client.rate, *proxy, options),
                    "direct": functools.partial(client.rate, *direct, options),
                }
                values = interleave(bench.repeats, ways)
                bench.add(
                    Figure(
                        *(what, "transactions/s", values["proxy"]),
                        f"{CLIENTS} clients, {SECONDS} s a run, scale {SCALE}; TLS both times",
                        baseline=Baseline("direct", values["direct"], AT_LEAST),
                    )
                )
        finally:
            client.run(*direct, "--initialize", "--init-steps", "d")

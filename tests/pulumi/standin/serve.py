"""Serves the stand-in to an engine, in this process or as the plugin that the engine starts."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from tests.pulumi.standin.servicer import Servicer
from tests.pulumi.standin.store import Store
from tests.pulumi.standin.values import Object

LARGEST = 64 * 1024 * 1024
WORKERS = 64  # the engine asks for all that has no order at once


def listen(connect: Callable[[Object], Store]) -> tuple[grpc.Server, int]:
    """Start serving on loopback; the server and its port."""
    sizes = [
        ("grpc.max_receive_message_length", LARGEST),
        ("grpc.max_send_message_length", LARGEST),
    ]
    server = grpc.server(ThreadPoolExecutor(max_workers=WORKERS), options=sizes)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(connect), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


@contextmanager
def served(connect: Callable[[Object], Store]) -> Iterator[dict[str, str]]:
    """Serve from this process; what an engine's environment must have to use it."""
    server, port = listen(connect)
    try:
        yield {"PULUMI_DEBUG_PROVIDERS": f"kubernetes:{port}"}
    finally:
        server.stop(grace=None).wait()

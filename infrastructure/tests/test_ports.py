"""Whatever else than pages the proxy leads to answers."""

from __future__ import annotations

from acceptance import Deployed, expect
from dap.onhost.served import is_served
from dap.plan import Stream


def test_stream_answers(platform: Deployed, stream: Stream) -> None:
    asks, address = platform.way_to(stream)
    host = platform.host_of(stream.service)
    served = (
        asks.ask("served", address=address, port=stream.listen)
        if asks
        else is_served(address, stream.listen)
    )
    expect(
        served,
        f"nothing answers at {stream.hostname}:{stream.listen}",
        host.logs(host.entry, stream.service),
    )

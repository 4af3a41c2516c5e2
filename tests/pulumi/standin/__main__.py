"""The plugin that an engine starts: it prints its port and serves a real cluster."""

from tests.pulumi.standin.cluster import Cluster
from tests.pulumi.standin.serve import listen

server, port = listen(Cluster)
print(port, flush=True)
server.wait_for_termination()

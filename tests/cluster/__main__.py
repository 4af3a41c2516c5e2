"""`python -m tests.cluster`: a one-node Kubernetes for trying things by hand.

up         make it new; say where its kubeconfig is
kubectl …  ask it
load …     give it images of this machine's Docker engine
off, on    cut its power, and switch it on again
down       remove it; the images it has loaded stay for the next one of its name
clean      remove it, its images, and those that clusters are made from
"""

import subprocess
import sys
import time

from tests.cluster import image
from tests.cluster.cluster import chosen


def main() -> int:
    """Do what the command line says; the exit status."""
    verb, *arguments = sys.argv[1:] or [""]
    cluster = chosen()
    if verb == "kubectl":
        command = ["docker", "exec", "-i", cluster.name, "kubectl", *arguments]
        return subprocess.run(command, check=False).returncode
    if verb == "load":
        cluster.load(*arguments)
        return 0
    if verb == "clean":
        cluster.clean()
        image.remove()
        return 0
    verbs = {"up": cluster.up, "on": cluster.on, "off": cluster.off, "down": cluster.down}
    if verb not in verbs or arguments:
        print(__doc__, file=sys.stderr)
        return 2
    begun = time.monotonic()
    verbs[verb]()
    if verb in {"up", "on"}:
        print(f"ready in {time.monotonic() - begun:.1f} s; KUBECONFIG={cluster.kubeconfig}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

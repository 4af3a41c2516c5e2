"""Buildah in a job: builds, tests and pushes images without root; keeps layers between jobs."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dap.environments.commands import output, stream
from dap.environments.content import Folder
from dap.errors import DapError

STORE = Path("/var/lib/image-builder")
# Layers and caches are dropped before a build where they are more, or the disk has less left.
LIMIT_KIB, FREE_KIB = 20 * 1024**2, 5 * 1024**2
_LEFT = "buildah[0-9]*"  # of a build that was killed; a waiting job's clone lies beside them
_TESTS_FOUND_NONE = 5


class Store:
    """The images of one job; `base` and `builder` are what every Dockerfile may start from."""

    def __init__(self, root: Path, base: str, builder: str) -> None:
        self._root = root
        self._contexts = {"base": f"docker-image://{base}", "builder": f"docker-image://{builder}"}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have the store alone, without what jobs that were killed left in it.

        Raises:
            DapError: the host lets nobody but root make namespaces.
        """
        with (STORE / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another pipeline is building: waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if stream(["unshare", "--user", "true"])[0]:
                raise DapError(
                    "this host lets nobody but root make user namespaces, which builds need",
                    "as root on the host: sysctl user.max_user_namespaces=10000, and on Ubuntu "
                    "kernel.apparmor_restrict_unprivileged_userns=0",
                )
            temporary = Path(os.environ["TMPDIR"])
            temporary.mkdir(parents=True, exist_ok=True)
            output("buildah", "rm", "--all")
            left = [str(each) for each in temporary.glob(_LEFT)]
            if left:
                output("buildah", "unshare", "rm", "-rf", *left)
            used = int(output("buildah", "unshare", "du", "-sk", str(STORE)).split()[0])
            free = shutil.disk_usage(STORE).free // 1024
            if used > LIMIT_KIB or free < FREE_KIB:
                say(f"dropping {used / 1024**2:.1f} GiB of layers; {free / 1024**2:.1f} are free")
                output("buildah", "rmi", "--all", "--force")
                output("buildah", "unshare", "rm", "-rf", str(temporary))
                temporary.mkdir()
            yield

    def build(self, folder: Folder, parent: str, labels: Mapping[str, str]) -> str:
        """Build an environment from a parent's image (a build context); return the image's id.

        Raises:
            DapError: it can't be built.
        """
        contexts = {**self._contexts, "parent": parent}
        with tempfile.TemporaryDirectory() as place:
            for file in folder.context:
                target = Path(place, file.path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.content)
                target.chmod(0o755 if file.executable else 0o644)
            written = Path(place).with_suffix(".id")
            code, reason = stream(
                [
                    *("buildah", "build", "--layers", "--format", "docker"),
                    *("--network", "host", "--iidfile", str(written)),
                    *(f"--build-context={name}={source}" for name, source in contexts.items()),
                    *(f"--label={name}={value}" for name, value in labels.items()),
                    *("--tag", f"localhost/{folder.name}", place),
                ]
            )
            if code:
                raise DapError(
                    f"environments/{folder.name}/Dockerfile: not built: {reason}",
                    "the lines above say more",
                )
            image = written.read_text(encoding="ascii").strip()
            written.unlink()
        return image

    def test(self, folder: Folder, image: str) -> None:
        """Run the tests of an environment and of what it starts from in its image, as a job's.

        Raises:
            DapError: one fails.
        """
        code, last = stream(
            [
                *(sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"),
                *("--image", image, "--tool", "buildah"),
                *("--environment", folder.name),
            ],
            cwd=self._root / "environments",
        )
        if code not in (0, _TESTS_FOUND_NONE):
            raise DapError(f"environments/{folder.name}: its tests fail: {last}")

    def push(self, image: str, reference: str) -> str:
        """Push an image to a tag; return the digest that the registry has it by.

        Raises:
            DapError: the registry refuses.
        """
        with tempfile.TemporaryDirectory() as place:
            written = Path(place, "digest")
            command = ["buildah", "push", "--quiet", "--digestfile", str(written)]
            code, reason = stream([*command, image, f"docker://{reference}"])
            if code:
                raise DapError(f"{reference}: not pushed: {reason}")
            return written.read_text(encoding="ascii").strip()


def say(text: str) -> None:
    """Print a line of the job's log."""
    print(f"==> {text}", flush=True)

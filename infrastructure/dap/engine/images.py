"""The images of a tree, built on this machine as a deploy builds them on the service host."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from dap.engine.inventory import images_variables, written
from dap.engine.playbook import Event, run_playbook
from dap.engine.prepare import Prepared
from dap.errors import DapError


def build_images(
    prepared: Prepared, references: Iterable[str], tell: Callable[[str], None], lock: int
) -> None:
    """Have images on this machine: what is not there is built, with what it starts from.

    Args:
        prepared: a project whose platform is on a cluster.
        references: of the images.
        tell: gets a line for each step.
        lock: descriptor of the project's lock, which the build keeps open.

    Raises:
        DapError: there is no Docker here, or one can't be built.
    """
    wanted = set(references)
    host = prepared.plan.service_host
    parents = {prepared.plan.images.base.reference, prepared.plan.images.builder.reference}
    targets = {
        image.name: [image.reference]
        for image in host.images
        if image.reference in wanted | parents
    }
    if not wanted:
        return
    (tree,) = prepared.trees
    digest = hashlib.sha256(
        repr([(file.path, file.content) for file in tree.files if not file.secret]).encode()
    ).hexdigest()
    # By its content: a build that was left behind by a killed run is found again.
    place = prepared.root / ".dap" / "images" / digest[:12]
    if not place.exists():
        shutil.rmtree(place.parent, ignore_errors=True)
        tree.write(place, secrets=False)
    variables = images_variables(prepared.root, prepared.plan, place, targets)
    inventory = written(place.parent, "images", {"here": variables})
    time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    log = prepared.log("images", time)

    def on_event(event: Event) -> None:
        for line in _lines(event):
            tell(line)

    outcome = run_playbook(
        prepared.root, "images", inventory, log=log, lock=lock, on_event=on_event
    )
    for failure in outcome.failures:
        said = "\n".join(filter(None, (failure.reason, failure.details)))
        raise DapError(f"images can't be built here: {said}", failure.remedy)
    shutil.rmtree(place.parent)


def _lines(event: Event) -> list[str]:
    if event["event"] == "progress":
        return [str(event["text"])]
    return [str(each) for each in event.get("changes") or ()] if event["event"] == "ok" else []

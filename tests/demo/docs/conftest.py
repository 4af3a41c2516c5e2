"""The places that pages run in, on the demo's platform, which is left as it was found."""

from collections.abc import Iterator

import pytest

from demo.project import REPOSITORY
from tests.demo.conftest import Platform
from tests.demo.docs.places import Places


@pytest.fixture(scope="module")
def places(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """All places; afterwards the platform and its repository are what they were."""
    made = Places(platform, tmp_path_factory.mktemp("docs"))
    made.make()
    kept = made.workspace_home()
    yield made
    made.restore_workspace_home(kept)
    made.empty(REPOSITORY)
    platform.project.git("push", "--quiet", "--push-option", "ci.skip", "origin", "HEAD:main")
    if platform.project.make_json("plan")["changed"]:
        platform.project.make("deploy")

"""The places that pages run in, on the demo's platform, which is left as it was found."""

from collections.abc import Iterator

import pytest

from demo.project import REPOSITORY
from tests.demo.conftest import Platform
from tests.demo.docs.places import Places


@pytest.fixture(scope="module")
def places(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """All places; afterwards the platform, its repository and the workspace are what they were."""
    made = Places(platform, tmp_path_factory.mktemp("docs"))
    made.make()
    tree, home = made.tree(), made.workspace_home()
    yield made
    if made.tree() != tree:
        platform.project.make("deploy")
    made.restore_workspace_home(home)
    made.remove_images()
    made.empty(REPOSITORY)
    platform.project.git("push", "--quiet", "--push-option", "ci.skip", "origin", "HEAD:main")

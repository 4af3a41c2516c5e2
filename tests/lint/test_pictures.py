"""The documentation's pictures are shown somewhere, and soon loaded."""

import pytest

from tests.paths import ROOT, text_files
from tests.tools.pictures import IMAGES, MOST_BYTES


@pytest.mark.parametrize("name", sorted(path.name for path in IMAGES.glob("*.png")))
def test_a_picture_is_small_and_shown(name: str) -> None:
    assert (IMAGES / name).stat().st_size <= MOST_BYTES
    pages = [text for path, text in text_files() if path.suffix == ".md"]
    assert any(f"images/{name})" in text for text in pages), f"no page shows {name}"
    assert (ROOT / "doc" / "images" / name).read_bytes()[:4] == b"\x89PNG"

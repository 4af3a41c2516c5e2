"""What is generated is what the sources would generate now."""

import json

import pytest

from tests.paths import ROOT, relative
from tests.tools.settings_page import PAGE, page, reference


def test_the_settings_page_is_current() -> None:
    assert PAGE.read_text() == page(), f"{relative(PAGE)} is stale: make docs"


def test_every_setting_is_described() -> None:
    schema = json.loads((ROOT / "infrastructure" / "platform.schema.json").read_text())
    models = {"platform.yml": schema, **schema["$defs"]}
    bare = [
        f"{name}.{key}"
        for name, model in models.items()
        for key, value in model.get("properties", {}).items()
        if not value.get("description") and not reference(value)
    ]
    assert bare == []


SECTIONS = ("services", "environments")


@pytest.mark.parametrize("place", SECTIONS)
def test_every_folder_of_the_catalogue_has_a_page(place: str) -> None:
    folder = ROOT / ("infrastructure/services" if place == "services" else place)
    mark = "compose.yml" if place == "services" else "Dockerfile"
    bare = [
        p.name for p in folder.iterdir() if (p / mark).exists() and not (p / "README.md").exists()
    ]
    assert bare == []

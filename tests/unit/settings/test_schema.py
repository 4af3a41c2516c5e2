"""The JSON schema beside the settings."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from dap.settings import Settings
from dap.settings.schema import schema_text

FILE = Path(__file__).parents[3] / "infrastructure" / "platform.schema.json"


def test_the_file_is_current() -> None:
    assert FILE.read_text() == schema_text(), (
        "run: dap schema > infrastructure/platform.schema.json"
    )


def test_every_key_has_a_description() -> None:
    schema = json.loads(schema_text())
    for model in (schema, *schema["$defs"].values()):
        for key, field in model["properties"].items():
            target = schema["$defs"].get(field.get("$ref", "").rpartition("/")[2], {})
            assert field.get("description") or target.get("description"), (model["title"], key)


def test_the_default_platform_fits() -> None:
    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(Settings().model_dump())


@pytest.mark.parametrize(
    "text",
    ["nmae: x", "name: A", "ports: {http: 0}", "domain: localhost", "resources: {a: {memory: 4G}}"],
)
def test_it_refuses_what_the_models_refuse(text: str) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(schema_text()))
    assert not validator.is_valid(yaml.safe_load(text))

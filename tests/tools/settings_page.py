"""doc/settings.md from the settings' models: `make docs` writes it, a test keeps it current."""

import json
from collections.abc import Iterator
from typing import Any

from dap.settings.schema import schema_text

from tests.paths import ROOT

PAGE = ROOT / "doc" / "settings.md"

HEAD = """\
# Settings

For operators. After reading it you know every key of `platform.yml`.

`make validate` checks the file; each message names file, line and key, what was found and what is
allowed. `make plan` shows what a change would do.
Editors that know YAML schemas complete the keys (the first line of the file names the schema).

This page is made from the models by `make docs` of the distribution.
"""


PATTERNS = {
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$": "DNS label",
    "^[1-9][0-9]*[kmg]$": "size such as `512m` or `4g`",
    "^[1-9][0-9]{0,5}[mgt]$": "size such as `10g` or `2t`",
}


def page() -> str:
    """Write the page as Markdown."""
    schema = json.loads(schema_text())
    parts = [HEAD, *section("platform.yml", schema, schema["$defs"])]
    return "\n".join(parts)


def section(name: str, model: dict[str, Any], models: dict[str, Any]) -> Iterator[str]:
    """Yield the section of one mapping, then those of the mappings in it."""
    yield f"## {name}\n"
    if name != "platform.yml" and model.get("description"):
        yield f"{model['description']}\n"
    yield "| key | what | value | default |"
    yield "|---|---|---|---|"
    required = set(model.get("required", []))
    for key, value in model["properties"].items():
        default = "required" if key in required else shown_default(value)
        what = value.get("description") or models.get(reference(value), {}).get("description", "")
        yield f"| `{key}` | {what} | {shape(value, models)} | {default} |"
    yield ""
    for key, value in model["properties"].items():
        child = reference(value)
        if child:
            prefix = "" if name == "platform.yml" else f"{name}."
            suffix = {"array": "[]", "object": ".NAME"}.get(value.get("type", ""), "")
            yield from section(f"{prefix}{key}{suffix}", models[child], models)


def reference(value: dict[str, Any]) -> str:
    """Name the model of a value, of its items or of its values; empty if it has none."""
    items = value.get("items")
    values = value.get("additionalProperties")
    for place in (value, items, values, *value.get("allOf", []), *value.get("anyOf", [])):
        if isinstance(place, dict) and "$ref" in place:
            return str(place["$ref"]).rsplit("/", 1)[-1]
    return ""


def shown_default(value: dict[str, Any]) -> str:
    """Show a default as it would stand in the file."""
    default = value.get("default")
    if default is None or isinstance(default, (dict, list)) or reference(value):
        return ""
    return f"`{json.dumps(default)}`"


def shape(value: dict[str, Any], models: dict[str, Any]) -> str:
    """Say in words what a value looks like."""
    if reference(value):
        return {"array": "list, see below", "object": "mapping, see below"}.get(
            value.get("type", ""), "see below"
        )
    if "enum" in value:
        return "one of " + ", ".join(f"`{item}`" for item in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if "anyOf" in value:
        kinds = [shape(kind, models) for kind in value["anyOf"] if kind.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if value.get("type") == "array":
        return "list of " + shape(value.get("items", {}), models)
    if value.get("type") == "object":
        inner = value.get("additionalProperties")
        return "mapping to " + shape(inner if isinstance(inner, dict) else {}, models)
    words = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
    text = words.get(value.get("type", ""), "text")
    low, high = value.get("minimum"), value.get("maximum")
    if low is not None and high is not None:
        text += f", {low} to {high}"
    if value.get("pattern"):
        text = PATTERNS.get(value["pattern"], text)
    return text


def main() -> None:
    """Write the page and the schema beside the models."""
    PAGE.write_text(page(), encoding="utf-8")
    schema = ROOT / "infrastructure" / "platform.schema.json"
    schema.write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main()

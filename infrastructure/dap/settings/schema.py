"""The JSON schema of `platform.yml`, for completion in editors."""

from __future__ import annotations

import json

from dap.settings.models import Settings


def schema_text() -> str:
    """The schema as the text of `infrastructure/platform.schema.json`."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Settings.model_json_schema(),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"

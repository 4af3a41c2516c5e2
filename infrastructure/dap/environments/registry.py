"""The platform's registry, as a job is logged in to it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from dap.registry import Registry


def of_job(host: str) -> Registry:
    """Return the registry at `host`, asked with the login of $REGISTRY_AUTH_FILE."""
    logins = json.loads(Path(os.environ["REGISTRY_AUTH_FILE"]).read_text(encoding="utf-8"))
    return Registry(host, str(logins["auths"][host]["auth"]))

"""The plan: settings and catalogue become who runs what where."""

from dap.plan.build import make_plan
from dap.plan.context import base_context, base_images, folder_options
from dap.plan.images import Image, Images
from dap.plan.model import HostPlan, HostView, Plan, Route, Service, Stream
from dap.plan.secrets import (
    DIGEST_KEY,
    ENGINE_SECRETS,
    PUSH_PASSWORD,
    REGISTRY_PASSWORD,
    STATE_PASSPHRASE,
    secret_specs,
)

__all__ = [
    "DIGEST_KEY",
    "ENGINE_SECRETS",
    "PUSH_PASSWORD",
    "REGISTRY_PASSWORD",
    "STATE_PASSPHRASE",
    "HostPlan",
    "HostView",
    "Image",
    "Images",
    "Plan",
    "Route",
    "Service",
    "Stream",
    "base_context",
    "base_images",
    "folder_options",
    "make_plan",
    "secret_specs",
]

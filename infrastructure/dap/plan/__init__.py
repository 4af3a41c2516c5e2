"""The plan: settings and catalogue become who runs what where."""

from dap.plan.build import make_plan
from dap.plan.context import base_context, base_images, folder_options
from dap.plan.images import Image, Images
from dap.plan.model import ClusterPlace, HostPlan, HostView, Plan, Route, Service, Stream
from dap.plan.secrets import (
    DIGEST_KEY,
    PUSH_PASSWORD,
    REGISTRY_PASSWORD,
    STATE_PASSPHRASE,
    engine_secrets,
    kubeconfig,
    secret_specs,
)

__all__ = [
    "DIGEST_KEY",
    "PUSH_PASSWORD",
    "REGISTRY_PASSWORD",
    "STATE_PASSPHRASE",
    "ClusterPlace",
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
    "engine_secrets",
    "folder_options",
    "kubeconfig",
    "make_plan",
    "secret_specs",
]

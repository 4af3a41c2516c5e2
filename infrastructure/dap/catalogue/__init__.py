"""The catalogue: folders of services and environments, read and typed."""

from dap.catalogue.compose import ComposeReader, ComposeService, HostedFolder, Mount
from dap.catalogue.folders import (
    Catalogue,
    EnvironmentFolder,
    ServiceFolder,
    read_catalogue,
)
from dap.catalogue.templates import Templates
from dap.files import SourceFile

__all__ = [
    "Catalogue",
    "ComposeReader",
    "ComposeService",
    "EnvironmentFolder",
    "HostedFolder",
    "Mount",
    "ServiceFolder",
    "SourceFile",
    "Templates",
    "read_catalogue",
]

"""The catalogue: folders of services and environments, read and typed."""

from dap.catalogue.compose import ComposeService, HostedFolder, Mount, host_folder
from dap.catalogue.folders import (
    Catalogue,
    EnvironmentFolder,
    ServiceFolder,
    SourceFile,
    read_catalogue,
)
from dap.catalogue.templates import Templates

__all__ = [
    "Catalogue",
    "ComposeService",
    "EnvironmentFolder",
    "HostedFolder",
    "Mount",
    "ServiceFolder",
    "SourceFile",
    "Templates",
    "host_folder",
    "read_catalogue",
]

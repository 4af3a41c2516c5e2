"""`dap image`: has the image of an environment on this machine, for development containers."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dap.plan import Plan


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(image)


def image(
    environment: Annotated[str, typer.Argument(help="Folder of environments/.")],
    *,
    tag: Annotated[str, typer.Option(help="Name that it gets on this machine.")],
) -> None:
    """Have the platform's image of an environment here, under a name that stays the same.

    It is what workspaces and jobs of this commit run in, pulled from the platform's registry.
    """
    from dap.catalogue import read_catalogue  # these load slowly
    from dap.cli._project import host_settings, project_root
    from dap.plan import make_plan

    plan = make_plan(host_settings(), read_catalogue(project_root()))
    reference = plan.images.environment(environment)
    if not _docker("image", "inspect", reference):
        reference = _pulled(plan, environment)
    _docker("tag", reference, tag)
    typer.echo(f"{tag} is {reference}")


def _pulled(plan: Plan, environment: str) -> str:
    """Pull an environment's image; return its reference.

    Raises:
        DapError: it is not to be had.
    """
    from dap.errors import DapError

    route = next((route for route in plan.routes if route.registry), None)
    if route is None:
        raise DapError("the platform has no registry to pull images from")
    registry = route.url.removeprefix("https://")
    made = plan.images.environments[environment]
    tagged = f"environments/{environment}:{made.reference.rpartition(':')[2]}"
    reference = f"{registry}/{made.locked or tagged}"
    if not _docker("pull", "--quiet", reference):
        raise DapError(
            f"{reference} can't be pulled",
            f"docker login {registry}; Docker must trust the platform's CA: doc/connect.md",
        )
    return reference


def _docker(*arguments: str) -> bool:
    """Run docker; tell whether it succeeded.

    Raises:
        DapError: it is not installed.
    """
    from dap.errors import DapError

    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise DapError("docker is not installed here", "install it") from None
    return done.returncode == 0

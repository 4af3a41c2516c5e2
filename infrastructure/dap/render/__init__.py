"""The plan and the secrets become the tree of files of each host."""

from dap.plan import Plan
from dap.render.build import Renderer
from dap.render.tree import File, Tree
from dap.render.values import Secrets

__all__ = ["File", "Renderer", "Secrets", "Tree", "render", "render_clusters"]


def render(plan: Plan, secrets: Secrets | None = None) -> tuple[Tree, ...]:
    """Return the tree of each host; without `secrets` each stands as a placeholder.

    Raises:
        InputError: a template is wrong; names its file and line.
    """
    return Renderer(plan, secrets).trees()


def render_clusters(plan: Plan, secrets: Secrets | None = None) -> tuple[Tree, ...]:
    """Return the tree of each cluster that runs jobs alone; otherwise as `render`.

    Raises:
        InputError: a template is wrong; names its file and line.
    """
    return Renderer(plan, secrets).cluster_trees()

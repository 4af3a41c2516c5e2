"""`python -m dap.content`: apply the content of every folder."""

import argparse
import sys
from pathlib import Path

from dap.content.context import Secrets
from dap.content.kept import Kept
from dap.content.plan import LEFT, PlanError, read_clients, read_plan, read_secrets
from dap.content.runner import run


def main() -> int:
    """Return 0 if all is as it should be, 1 if a folder failed, 2 if the plan is unusable."""
    parser = argparse.ArgumentParser(prog="dap.content", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="say what would change, change nothing"
    )
    parser.add_argument("--tree", type=Path, default=Path("/content"), help="default: %(default)s")
    parser.add_argument("--secrets", type=Path, default=Path("/run/secrets/vault.json"))
    parser.add_argument("--clients", type=Path, default=Path("/run/secrets/clients.json"))
    parser.add_argument("--kept", type=Path, default=Path("/kept"))
    parser.add_argument("--left", type=Path, default=LEFT)
    arguments = parser.parse_args()
    try:
        plan = read_plan(arguments.tree, arguments.left)
        vault = read_secrets(arguments.secrets)
        kept = Kept(arguments.kept, vault, check=arguments.check)
        secrets = Secrets(vault, kept, read_clients(arguments.clients))
    except PlanError as error:
        print(f"content: {error}", file=sys.stderr)
        return 2
    return run(plan, secrets, check=arguments.check)


if __name__ == "__main__":
    sys.exit(main())

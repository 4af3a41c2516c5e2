#!/usr/bin/python
"""Install NVIDIA's container toolkit and make it known to Docker's engine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dap_host import CommandError, output, run
from ansible.module_utils.dap_requirements import docker_state

DOCUMENTATION = """
module: dap_gpu
short_description: Install NVIDIA's container toolkit and make it known to Docker's engine
options: {}
"""

PACKAGE = "nvidia-container-toolkit"
RUNTIME = "nvidia"
APT = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}


class NoPackageError(Exception):
    """No apt source of the host has the package."""


def candidate() -> str:
    """Return the version of the toolkit that apt would install, empty if it knows none."""
    lines = run(["apt-cache", "policy", PACKAGE]).stdout.splitlines()
    found = [line.split()[1] for line in lines if line.strip().startswith("Candidate:")]
    return found[0] if found and found[0] != "(none)" else ""


def install() -> None:
    """Install the toolkit from the host's own apt sources.

    Raises NoPackageError where none has it, CommandError with the end of apt's output.
    """
    if not candidate():
        output([*APT, "update"], env=QUIET)
    if not candidate():
        raise NoPackageError(f"no apt source of this host has the package {PACKAGE}")
    output([*APT, "install", "--no-install-recommends", PACKAGE], env=QUIET)


def register() -> None:
    """Make the toolkit known to the engine; a running one is restarted, containers come back.

    Raises CommandError when it can't be.
    """
    output(["nvidia-ctk", "runtime", "configure", "--runtime=docker"])
    if not Path("/run/systemd/system").is_dir():
        raise CommandError("Docker's engine has to be restarted, and systemd is not there to do it")
    output(["systemctl", "restart", "docker.service"])


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    changes = []
    if shutil.which("nvidia-ctk") is None:
        changes.append(f"install {PACKAGE}")
    if RUNTIME not in docker_state().get("runtimes", []):
        changes.append("make NVIDIA's runtime known to Docker's engine")
    if module.check_mode:
        module.exit_json(changed=bool(changes), changes=changes)
    try:
        if shutil.which("nvidia-ctk") is None:
            install()
        if RUNTIME not in docker_state().get("runtimes", []):
            register()
    except NoPackageError as error:
        module.fail_json(
            msg=str(error),
            remedy="add NVIDIA's repository for container tools to the host's apt sources, or "
            f"install {PACKAGE} there yourself; deploy again",
        )
    except (CommandError, OSError) as error:
        module.fail_json(msg=str(error), remedy="mend it, restart Docker's engine; deploy again")
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()

"""Asks a host: modules of `dap.onhost` run there and print what they found.

All that a host needs is python3. It gets the modules' source on its standard input, so nothing is
installed or left there; a host with an address is reached by ssh, this machine without.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import dap.onhost
from dap import ssh
from dap.errors import DapError
from dap.ssh import Host

# Imports from what stands in the first line of its input, then calls a module's main.
_START = """\
import importlib, importlib.abc, importlib.util, json, sys
sent = json.loads(sys.stdin.readline())
class Sent(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def find_spec(self, name, path, target=None):
        if name in sent["modules"]:
            return importlib.util.spec_from_loader(name, self, is_package=self.is_package(name))
    def get_source(self, name):
        return sent["modules"][name]
    def is_package(self, name):
        return any(each.startswith(name + ".") for each in sent["modules"])
sys.meta_path.insert(0, Sent())
importlib.import_module(sent["call"]).main(sent["arguments"])
"""
# Modules and packages of modules.
_SHARED = ("dap_host", "dap_machine", "dap_requirements", "dap_baseline")
_SYSTEM_PYTHON = Path("/usr/bin/python3")
_T = TypeVar("_T")
_H = TypeVar("_H")


class HostError(DapError):
    """A host can't be asked."""

    status = 2


def ask(
    root: Path,
    host: Host,
    module: str,
    arguments: Mapping[str, Any],
    *,
    timeout_s: float,
    options: Sequence[str] | None = None,
) -> Any:
    """Run `dap.onhost.<module>` as root on a host; return the JSON that it printed.

    Args:
        root: the project's folder, which has the modules that Ansible shares.
        host: where to run it.
        module: name of the module; its `main` gets `arguments`.
        arguments: plain data; not seen in process lists.
        timeout_s: how long to wait, in seconds.
        options: of ssh; None: those that the settings mean.

    Raises:
        HostError: the host can't be reached, its account can't become root, or the time is over.
    """
    command = _command(root, host, options)
    try:
        done = subprocess.run(
            command,
            input=_input(root, module, arguments),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        raise HostError(
            f"{host.name}: did not answer within {timeout_s:.0f} s", _remedy(root, host)
        ) from None
    if done.returncode == 0:
        with suppress(ValueError):
            return json.loads(done.stdout)
    known = ssh.problem(host.name, done.stderr)
    reason, remedy = known or (_reason(done), _remedy(root, host))
    raise HostError(f"{host.name}: can't be asked: {reason}", remedy)


def listen(
    root: Path, host: Host, module: str, arguments: Mapping[str, Any]
) -> subprocess.Popen[str]:
    """Start `dap.onhost.<module>` as root on a host; what it prints comes through the pipe.

    It ends when its standard input is closed.
    """
    process = subprocess.Popen(
        _command(root, host),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # an interrupt is ours to handle
    )
    given: IO[str] | None = process.stdin
    if given is None:
        raise AssertionError
    given.write(_input(root, module, arguments))
    given.flush()
    return process


def hand_over(root: Path, host: Host, command: Sequence[str]) -> int:
    """Run a command as root on a host with this process's input and outputs; its exit status.

    Where they are a terminal, the command has one, too.
    """
    terminal = ["-t"] if sys.stdin.isatty() else []
    line = as_root(root, host, command, [*terminal, *ssh.options(root, host)])
    return subprocess.run(line, check=False).returncode


def as_root(
    root: Path, host: Host, command: Sequence[str], options: Sequence[str] | None = None
) -> list[str]:
    """Return what runs a command as root on a host.

    Args:
        root: the project's folder.
        host: where it is to run.
        command: program and arguments.
        options: of ssh; None: those that the settings mean.
    """
    line = [*_sudo(root, host), *command]
    if host.address == "localhost":
        return line
    given = ssh.options(root, host) if options is None else options
    return ["ssh", *given, host.address, shlex.join(line)]


def each(hosts: Iterable[_H], question: Callable[[_H], _T]) -> list[_T]:
    """Ask all hosts at once; the answers in the hosts' order."""
    asked = list(hosts)
    with ThreadPoolExecutor(max_workers=max(1, len(asked))) as pool:
        return list(pool.map(question, asked))


def interpreter() -> str:
    """Return the Python that runs modules on this machine: the system's, as on every other host.

    It starts sooner than one with packages of a person; without it, what `dap` itself runs on.
    """
    path = _SYSTEM_PYTHON if _SYSTEM_PYTHON.exists() else Path(sys.executable).resolve()
    return str(path)


def _sudo(root: Path, host: Host) -> list[str]:
    here = host.address == "localhost"
    is_root = os.geteuid() == 0 if here else ssh.account(root, host) == "root"
    return [] if is_root else ["sudo", "-n"]


def _command(root: Path, host: Host, options: Sequence[str] | None = None) -> list[str]:
    python = interpreter() if host.address == "localhost" else str(_SYSTEM_PYTHON)
    return as_root(root, host, [python, "-I", "-c", _START], options)


def _input(root: Path, module: str, arguments: Mapping[str, Any]) -> str:
    shared = root / "infrastructure" / "ansible" / "module_utils"
    sources = {"dap": "", "dap.onhost": "", "ansible": "", "ansible.module_utils": ""}
    for path in Path(dap.onhost.__path__[0]).glob("*.py"):
        sources[f"dap.onhost.{path.stem}"] = path.read_text(encoding="utf-8")
    packages = (path for name in _SHARED for path in (shared / name).glob("*.py"))
    for path in [*(shared / f"{name}.py" for name in _SHARED), *packages]:
        if path.exists():
            name = ".".join(path.relative_to(shared).with_suffix("").parts)
            name = f"ansible.module_utils.{name.removesuffix('.__init__')}"
            sources[name] = path.read_text(encoding="utf-8")
    call = f"dap.onhost.{module}"
    return json.dumps({"modules": sources, "call": call, "arguments": dict(arguments)}) + "\n"


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"


def _remedy(root: Path, host: Host) -> str:
    if host.address == "localhost":
        return "run it as root, or let the account use sudo without a password"
    return f"see that it answers: {ssh.line(root, host)} sudo -n python3 --version"

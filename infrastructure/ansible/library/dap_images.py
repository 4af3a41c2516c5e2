#!/usr/bin/python
"""Have all images of a tree: pull what is upstream's, bootstrap the base, build the rest at once.

Building takes minutes, a module's output comes at its end. So `start` leaves a process behind that
writes a log, and `follow` returns what is new in it. The deploy after one that was killed finds
the process again.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dap_host import (
    APT,
    CLIENT_ENVIRONMENT,
    QUIET,
    CommandError,
    run,
    tail,
    write_atomically,
)
from ansible.module_utils.dap_machine import MachineError, apt_sources, collect, proxies
from ansible.module_utils.dap_registry import (
    AwayError,
    digests,
    has,
    logged_in,
    published_digests,
)

DOCUMENTATION = """
module: dap_images
short_description: Have all images of a tree
options:
  directory: {description: the tree on the host, type: str, required: true}
  stage: {description: what to do, type: str, choices: [inspect, start, follow], required: true}
  offset: {description: bytes of the log that were read before, type: int, default: 0}
  targets: {description: "bake target → its image references", type: dict, default: {}}
  upstream: {description: references that are pulled, type: list, elements: str, default: []}
  shipped:
    description: references that the service host builds and this host pulls by digest
    type: list
    elements: str
    default: []
  base: {description: reference that the base image starts from, type: str, default: ""}
  packages: {description: section of the settings, type: dict, default: {}}
  extra_ca: {description: "file name → PEM", type: dict, default: {}}
  revision: {description: "commit, for a label; empty: none", type: str, default: ""}
  published: {description: "local reference → reference in a registry", type: dict, default: {}}
  locked: {description: "local reference → digest in the registry", type: dict, default: {}}
  registry: {description: "host[:port]", type: str, default: ""}
  username: {description: account of the registry, type: str, default: ""}
  password: {description: its password, type: str, default: ""}
  certificate: {description: file of the registry's CA, type: str, default: ""}
"""

MISSING = re.compile(r"No such (?:image|object): (\S+)")
REVISION = "org.opencontainers.image.revision"
FOLLOW_S = 2.0  # how long one call of `follow` waits for news
PULL_S = 600


def missing_images(references: list[str]) -> list[str]:
    """Return the references that the engine lacks. Raises CommandError if it doesn't answer."""
    if not references:
        return []
    found = run(["docker", "image", "inspect", "--format", "{{.Id}}", *references])
    missing = [reference for reference in references if reference in MISSING.findall(found.stderr)]
    if found.returncode and not missing:
        raise CommandError(f"docker image inspect: {tail(found.stderr)}")
    return missing


def locked_missing(given: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Return the local references to pull by digest, and why others can't be."""
    known = digests(list(given["locked"]))
    pull, gone = [], {}
    for reference, remote in given["locked"].items():
        if remote in known.get(reference, []):
            continue
        try:
            if has(given, remote):
                pull.append(reference)
            elif reference not in known:
                gone[reference] = f"{remote} is no longer in the registry"
        except (AwayError, CommandError) as error:
            if reference not in known:
                gone[reference] = f"{remote} can't be had: {error}"
    return pull, gone


def needed(given: dict[str, Any]) -> dict[str, Any]:
    """Return what is missing: bake targets to build, references to pull.

    `lock`: local references to pull by digest; `gone`: those that are built instead, and why;
    `awaited`: what the service host builds and whose digest is not known here.
    """
    targets = {name: list(tags) for name, tags in given["targets"].items() if tags}
    tags = [tag for found in targets.values() for tag in found]
    missing = set(missing_images([*tags, *given["upstream"], *given["shipped"]]))
    lock, gone = locked_missing(given)
    missing.difference_update(lock)
    return {
        "awaited": sorted(missing.intersection(given["shipped"])),
        "build": sorted(name for name, found in targets.items() if missing.intersection(found)),
        "pull": sorted(missing.intersection(given["upstream"])),
        "lock": sorted(lock),
        "gone": gone,
    }


def changes_of(given: dict[str, Any], need: dict[str, Any]) -> list[str]:
    """Return what `build` does, a line for each image."""
    changes = [f"pull {reference}" for reference in need["pull"]]
    changes += [f"pull {given['locked'][reference]}" for reference in need["lock"]]
    changes += [f"pull {reference}" for reference in need["awaited"]]
    for name in need["build"]:
        for tag in given["targets"][name]:
            why = need["gone"].get(tag)
            changes.append(f"build {tag}" + (f": {why}" if why else ""))
    return changes


class Work:
    """The process that stays behind: one at a time, its log and result in `.build/`."""

    def __init__(self, directory: str) -> None:
        self.tree = Path(directory)
        self.folder = self.tree / ".build"
        self.log, self.result = self.folder / "log", self.folder / "result.json"

    def lock(self) -> IO[str] | None:
        """Return the held lock, None if a process is at work."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = (self.folder / "lock").open("w")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            return None
        return handle

    def start(self, given: dict[str, Any], need: dict[str, Any]) -> None:
        """Leave a process behind that builds; does nothing if one is at work already."""
        handle = self.lock()
        if handle is None:
            return
        self.result.unlink(missing_ok=True)
        self.log.write_bytes(b"")
        if os.fork():
            handle.close()
            return
        os.setsid()
        with open(os.devnull, "r+b") as nothing, self.log.open("ab", buffering=0) as log:
            os.dup2(nothing.fileno(), 0)
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            try:
                result: dict[str, Any] = {"changes": build(self.tree, given, need)}
            except (CommandError, MachineError, OSError) as error:
                result = {"error": str(error)}
            write_atomically(self.result, json.dumps(result).encode(), 0o600)
        os._exit(0)

    def follow(self, offset: int) -> dict[str, Any]:
        """Return the log from an offset on, and the result if there is one."""
        end = time.monotonic() + FOLLOW_S
        while True:
            handle = self.lock()
            if handle is not None:
                handle.close()
            text = (
                self.log.read_bytes()[offset:].decode(errors="replace") if self.log.exists() else ""
            )
            if handle is not None or time.monotonic() > end:
                break
            time.sleep(0.2)
        state: dict[str, Any] = {"text": text, "offset": offset + len(text.encode()), "done": False}
        if handle is not None:
            state["done"] = True
            if self.result.exists():
                state.update(json.loads(self.result.read_text(encoding="utf-8")))
            else:
                state["error"] = f"the build ended without a result; see {self.log}"
        return state


def say(text: str) -> None:
    """Write a line of progress to the log."""
    sys.stdout.write(f"==> {text}\n")
    sys.stdout.flush()


def stream(argv: list[str], cwd: Path, env: dict[str, str] | None = None) -> None:
    """Run a command whose output goes to the log; raises CommandError if it fails."""
    done = subprocess.run(
        argv, cwd=cwd, check=False, env={**os.environ, **CLIENT_ENVIRONMENT, **(env or {})}
    )
    if done.returncode:
        raise CommandError(f"{' '.join(argv[:3])} exited with {done.returncode}")


def write_machine(tree: Path, given: dict[str, Any]) -> None:
    """Put the host's package configuration where the base image is built from."""
    folder = tree / "base" / "machine"
    files = collect(given["packages"], given["extra_ca"])
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and name != ".gitkeep" and name not in files:
            path.unlink()
    for name, text in files.items():
        write_atomically(folder / name, text.encode(), 0o644)


def bootstrap(tree: Path, reference: str, mirror: str) -> None:
    """Make the image that the base starts from out of Debian packages.

    Raises CommandError when there is no mirror to take them from.
    """
    sources = apt_sources(mirror)
    if not sources:
        raise CommandError(
            f"{reference} can't be pulled and the host names no Debian mirror: "
            "set packages.apt_mirror or images.base in platform.yml"
        )
    if shutil.which("mmdebstrap") is None:
        say("installing mmdebstrap")
        stream(
            [*APT, "install", "--no-install-recommends", "mmdebstrap", "debian-archive-keyring"],
            tree,
            QUIET,
        )
    archive = tree / ".build" / "base.tar"
    lines = [source.line() for source in sources]
    say(f"making {reference} from Debian packages")
    try:
        stream(
            [
                "mmdebstrap",
                "--quiet",
                "--variant=minbase",
                "--include=ca-certificates",
                "trixie",
                str(archive),
                *lines,
            ],
            tree,
        )
        stream(["docker", "import", "--change", 'CMD ["bash"]', str(archive), reference], tree)
    finally:
        archive.unlink(missing_ok=True)


def waves(tree: Path, names: list[str]) -> list[list[str]]:
    """Split targets so that each wave starts from images of earlier ones only.

    BuildKit links targets that say `target:`; what says `docker-image://` must be there before.
    Raises CommandError when targets start from each other.
    """
    targets = json.loads((tree / "docker-bake.json").read_text(encoding="utf-8"))["target"]

    def sources(name: str) -> set[str]:
        found: set[str] = set()
        for source in targets[name].get("contexts", {}).values():
            kind, _, rest = source.partition(":")
            found |= sources(rest) if kind == "target" else {source.removeprefix("docker-image://")}
        return found

    split: list[list[str]] = []
    left = set(names)
    while left:
        tags = {tag for name in left for tag in targets[name]["tags"]}
        wave = sorted(name for name in left if not sources(name) & tags)
        if not wave:
            raise CommandError(f"docker-bake.json: {', '.join(sorted(left))} start from each other")
        split.append(wave)
        left.difference_update(wave)
    return split


def present_parents(tree: Path, targets: dict[str, list[str]], wanted: list[str]) -> list[str]:
    """Return what makes a target start from the image of another that is there already.

    BuildKit would make it anew where its cache is gone, and children of unlike parents come out.
    """
    described = json.loads((tree / "docker-bake.json").read_text(encoding="utf-8"))["target"]
    arguments = []
    for name in wanted:
        for context, source in described[name].get("contexts", {}).items():
            kind, _, other = source.partition(":")
            if kind == "target" and other not in wanted:
                image = f"docker-image://{targets[other][0]}"
                arguments.append(f"--set={name}.contexts.{context}={image}")
    return arguments


def pull_locked(tree: Path, given: dict[str, Any], references: list[str]) -> None:
    """Pull by digest what pipelines have built, and give it its local name."""
    with logged_in(given) as environment:
        for reference in references:
            remote = given["locked"][reference]
            say(f"pulling {remote}")
            stream(["docker", "pull", "--quiet", remote], tree, environment)
            stream(["docker", "tag", remote, reference], tree)


def build(tree: Path, given: dict[str, Any], need: dict[str, Any]) -> list[str]:
    """Pull, bootstrap and build what is missing; return the changes."""
    for reference in need["pull"]:
        say(f"pulling {reference}")
        stream(["docker", "pull", "--quiet", reference], tree)
    if need["awaited"]:
        reasons = [need["gone"].get(each, f"{each} has no digest") for each in need["awaited"]]
        raise CommandError(f"the platform's registry lacks images: {'; '.join(reasons)}")
    if need["lock"]:
        pull_locked(tree, given, need["lock"])
    for reason in need["gone"].values():
        say(f"{reason}: building it")
    if need["build"]:
        write_machine(tree, given)
        base = given["base"]
        if base and missing_images([base]):
            say(f"pulling {base}")
            pulled = run(["docker", "pull", "--quiet", base], timeout_s=PULL_S)
            if pulled.returncode:
                say(tail(pulled.stderr, 1))
                bootstrap(tree, base, given["packages"].get("apt_mirror") or "")
        arguments = [
            f"--set=*.args.{name}={value}"
            for key, value in proxies(given["packages"]).items()
            for name in (key, key.upper())
        ]
        if given["revision"]:
            # Outside of docker-bake.json: a commit must change neither tree nor tags.
            arguments.append(f"--set=*.labels.{REVISION}={given['revision']}")
        arguments += present_parents(tree, given["targets"], need["build"])
        bake = ["docker", "buildx", "bake", "--file", "docker-bake.json", "--progress", "plain"]
        for wave in waves(tree, need["build"]):
            say(f"building {', '.join(wave)}")
            stream([*bake, "--load", *arguments, *wave], tree)
    still = needed(given)
    left = [*still["build"], *still["pull"], *still["lock"], *still["awaited"]]
    if left:
        raise CommandError(f"still missing after the build: {', '.join(left)}")
    return changes_of(given, need)


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "str", "required": True},
            "stage": {"type": "str", "choices": ["inspect", "start", "follow"], "required": True},
            "offset": {"type": "int", "default": 0},
            "targets": {"type": "dict", "default": {}},
            "upstream": {"type": "list", "elements": "str", "default": []},
            "shipped": {"type": "list", "elements": "str", "default": []},
            "base": {"type": "str", "default": ""},
            "packages": {"type": "dict", "default": {}},
            "extra_ca": {"type": "dict", "default": {}},
            "revision": {"type": "str", "default": ""},
            "published": {"type": "dict", "default": {}},
            "locked": {"type": "dict", "default": {}},
            "registry": {"type": "str", "default": ""},
            "username": {"type": "str", "default": ""},
            "password": {"type": "str", "default": "", "no_log": True},
            "certificate": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    given = module.params
    work = Work(given["directory"])
    try:
        if given["stage"] == "follow":
            module.exit_json(changed=False, **work.follow(given["offset"]))
        need = needed(given)
        if given["stage"] == "start" and not module.check_mode:
            work.start(given, need)
        changes = changes_of(given, need)
        known = published_digests(given["published"])
        module.exit_json(
            changed=bool(changes),
            changes=changes,
            awaited=need["awaited"],
            unpublished=[
                there for local, there in given["published"].items() if local not in known
            ],
            digests=known,
        )
    except (CommandError, OSError) as error:
        module.fail_json(msg=str(error), remedy="see that Docker's engine runs")


if __name__ == "__main__":
    main()

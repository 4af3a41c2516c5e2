"""Checks between values that stand in different places of the settings.

They look at plain data, so that they can speak even where other values are still wrong.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any

from dap.settings.cluster import cluster_problems
from dap.settings.problem import NOTHING, Path, Problem, choice, dotted
from dap.settings.source import Source

# Names that the platform itself uses beside those of the catalogue.
RESERVED_WORKSPACES = ("base", "builder", "content", "dap", "localhost")
# Roles that PostgreSQL keeps to itself or makes at the start, and the host's own account.
RESERVED_ACCOUNTS = ("postgres", "public", "none", "root", "dap")
_FREE_PORTS_FROM = 2201
# What ports may bind to and nobody can be reached at → where the machine itself reaches them.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class Checks:
    """The settings as plain data with their problems.

    Args:
        source: where the data comes from.
        data: all sections, with the defaults of those that are left out.
    """

    def __init__(self, source: Source, data: dict[str, Any]) -> None:
        self.source = source
        self.data = data
        self.problems: list[Problem] = []

    def run(self) -> list[Problem]:
        """All that is wrong between values."""
        self._names()
        self._ssh_keys()
        self._members()
        self._environments()
        self._hosts()
        self._workspaces()
        self._ports()
        self._storage()
        self._gitops()
        self.problems += cluster_problems(self.source, self.data)
        # What hosts are to each other is judged where each is right by itself.
        if not self.problems and len(list(self._entries("hosts"))) > 1:
            self._between_hosts()
        return self.problems

    def _add(self, path: Path, what: str, allowed: str = "", found: object = NOTHING) -> None:
        self.problems.append(self.source.problem(path, what, allowed, found))

    def _entries(self, *path: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        value: Any = self.data
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        for index, entry in enumerate(value if isinstance(value, list) else []):
            if isinstance(entry, dict):
                yield (*path, index), entry

    def _texts(self, *path: str, key: str) -> Iterator[tuple[Path, str]]:
        for here, entry in self._entries(*path):
            if isinstance(entry.get(key), str):
                yield (*here, key), entry[key]

    def _once(
        self,
        values: Iterator[tuple[Path, Any]],
        what: str,
        same: Callable[[Any], object] = lambda value: value,
        *,
        show: bool = True,
    ) -> None:
        first: dict[object, Path] = {}
        for path, value in values:
            before = first.setdefault(same(value), path)
            if before != path:
                message = f"{what} {dotted(before)} on line {self.source.line(before)}"
                if show:
                    self._add(path, message, found=value)
                else:
                    self.problems.append(self.source.problem(path, message))

    def _known(self, path: Path, word: object, words: list[str], what: str) -> None:
        if isinstance(word, str) and word not in words:
            self._add(path, what, choice(word, words), word)

    def _names(self) -> None:
        def accounts() -> Iterator[tuple[Path, str]]:
            yield from self._texts("users", key="name")
            yield from self._texts("projects", key="name")

        for section in (("hosts",), ("workspaces",), ("storage", "stores")):
            self._once(self._texts(*section, key="name"), "is already the name of")
        self._once(accounts(), "users and projects share accounts; is already the name of")
        for path, name in accounts():
            if name in RESERVED_ACCOUNTS:
                self._add(path, "is reserved", f"any but {', '.join(RESERVED_ACCOUNTS)}", name)
        for path, name in self._texts("workspaces", key="name"):
            if name in RESERVED_WORKSPACES:
                self._add(path, "is reserved", f"any but {', '.join(RESERVED_WORKSPACES)}", name)

    def _ssh_keys(self) -> None:
        def body(key: str) -> str:
            return " ".join(key.split()[:2])

        def keys() -> Iterator[tuple[Path, str]]:
            for here, user in self._entries("users"):
                listed = user.get("ssh_keys")
                for index, key in enumerate(listed if isinstance(listed, list) else []):
                    if isinstance(key, str):
                        yield (*here, "ssh_keys", index), key

        self._once(keys(), "a key tells one user from another; is the same as", body, show=False)

    def _members(self) -> None:
        users = [name for _, name in self._texts("users", key="name")]
        for here, project in self._entries("projects"):
            members = project.get("members")
            listed = members if isinstance(members, list) else []
            for index, member in enumerate(listed):
                self._known((*here, "members", index), member, users, "is no user")
            self._once(
                (((*here, "members", index), name) for index, name in enumerate(listed)),
                "is already listed at",
                repr,
            )
        for path, owner in self._texts("workspaces", key="owner"):
            self._known(path, owner, users, "is no user")

    def _environments(self) -> None:
        listed = self.data.get("environments")
        names = enumerate(listed if isinstance(listed, list) else [])
        self._once(
            ((("environments", index), name) for index, name in names), "is already listed at", repr
        )

    def _hosts(self) -> None:
        services = []
        for here, host in self._entries("hosts"):
            # A host that leaves its roles out has all of them.
            roles = host.get("roles", ["service", "runner"])
            listed = roles if isinstance(roles, list) else []
            if "service" in listed:
                services.append((*here, "roles"))
            for key in ("roles", "labels"):
                each = host.get(key)
                self._once(
                    (
                        ((*here, key, index), word)
                        for index, word in enumerate(each if isinstance(each, list) else [])
                    ),
                    "is already listed at",
                    repr,
                )
            self._reached_by_ssh(here, host)
        if not services and next(self._entries("hosts"), None):
            self._add(("hosts",), "has no host with the role service", "exactly one")
        for path in services[1:]:
            first = dotted(services[0][:-1])
            self._add(path, f"is a second service host beside {first}", "exactly one", "service")
        self._once(self._addresses(), "is the same machine as", _machine)

    def _reached_by_ssh(self, here: Path, host: dict[str, Any]) -> None:
        if host.get("address", "localhost") != "localhost":
            return
        for key in ("user", "port", "key", "jump"):
            if host.get(key):
                what = "has no effect: localhost is reached without SSH"
                self._add((*here, key), what, "an address, or no such key")

    def _between_hosts(self) -> None:
        domain = self.data.get("domain")
        if isinstance(domain, str) and domain.endswith(".localhost"):
            what = "leads every host to itself, and there are several"
            self._add(("domain",), what, "a name that ends otherwise, such as dap.test", domain)
        published = self.data.get("address")
        for here, host in self._entries("hosts"):
            own = host.get("listen")
            path = (*here, "listen")
            service = "service" in host.get("roles", ["service"])
            bound = service and published not in EVERYWHERE
            other = published if bound else host.get("address", "localhost")
            if own is None and _reachable(other):
                continue
            found = other if own is None else own
            if not _reachable(found):
                what = "is no address that other hosts reach it at"
                self._add(path, what, "an IP address of this host in their network", found)
            elif bound and published != own:
                what = f"is not what the platform's ports bind to ({published})"
                self._add(path, what, "`address` of the platform, or 0.0.0.0 there", own)

    def _addresses(self) -> Iterator[tuple[Path, str]]:
        for here, host in self._entries("hosts"):
            address = host.get("address", "localhost")
            if isinstance(address, str):
                yield (*here, "address"), address

    def _workspaces(self) -> None:
        roles = [host.get("roles", ["runner"]) for _, host in self._entries("hosts")]
        runs = any("runner" in listed for listed in roles if isinstance(listed, list))
        first = next(self._entries("workspaces"), None)
        if first and roles and not runs:
            self._add(("hosts",), "has no host with the role runner, which workspaces need")
        runners = []
        for _, host in self._entries("hosts"):
            listed = host.get("roles", ["runner"])
            if isinstance(listed, list) and "runner" in listed:
                runners.append(str(host.get("name")))
        for path, name in self._texts("workspaces", key="host"):
            if runners and self.data.get("target") != "kubernetes":
                self._known(path, name, runners, "is no host with the role runner")
        for here, workspace in self._entries("workspaces"):
            listed = workspace.get("volumes")
            names = listed if isinstance(listed, list) else []
            self._once(
                (((*here, "volumes", index), name) for index, name in enumerate(names)),
                "is already listed at",
                repr,
            )

    def _ports(self) -> None:
        first: dict[int, Path] = {}
        ports: list[tuple[Path, object]] = []
        published = self.data.get("ports")
        if isinstance(published, dict):
            ports += [(("ports", key), port) for key, port in published.items()]
        ports += [
            ((*here, "ssh_port"), entry.get("ssh_port"))
            for here, entry in self._entries("workspaces")
        ]
        taken = {port for _, port in ports if type(port) is int}
        for path, port in ports:
            if type(port) is not int:
                continue
            before = first.setdefault(port, path)
            if before != path:
                free = next(p for p in range(_FREE_PORTS_FROM, 65536) if p not in taken)
                line = self.source.line(before)
                self._add(
                    path,
                    f"is already the port of {dotted(before)} on line {line}",
                    f"a port that nothing else uses, such as {free}",
                    port,
                )

    def _storage(self) -> None:
        names = ["builtin"]
        for path, name in self._texts("storage", "stores", key="name"):
            if name == "builtin":
                self._add(path, "is reserved for the platform's own store", "another name", name)
            else:
                names.append(name)
        storage = self.data.get("storage")
        if isinstance(storage, dict):
            self._known(("storage", "default"), storage.get("default"), names, "is no store")

    def _gitops(self) -> None:
        """Refuse what a pipeline's job could not do: it has the repository, and SSH."""
        gitops = self.data.get("gitops")
        wanted = [key for key in ("apply", "drift") if isinstance(gitops, dict) and gitops.get(key)]
        if self.data.get("target") == "kubernetes":
            return  # told with all else that a cluster can't do
        for key in wanted[:1]:
            path: Path = ("gitops", key)
            if self.data.get("forge") == "lite":
                what = "forge lite has no merge requests, schedules or protected runners"
                self._add(path, what, "forge: gitlab, or plan alone")
            for here, host in self._entries("hosts"):
                if host.get("address", "localhost") == "localhost":
                    what = f"a job can't reach {dotted((*here, 'address'))}, which is localhost"
                    self._add(path, what, "an address that jobs reach the host at over SSH")
                if host.get("key"):
                    what = f"a job has no file {dotted((*here, 'key'))}"
                    self._add(path, what, "no such key: the job has the one of its variable")
            tls = self.data.get("tls")
            if isinstance(tls, dict) and tls.get("key"):
                self._add(path, "a job has no file tls.key", "the platform's own certificate")


def _reachable(address: object) -> bool:
    """Whether it is an IP address that leads other hosts to this one."""
    try:
        parsed = ipaddress.ip_address(str(address))
    except ValueError:
        return False
    return not (parsed.is_loopback or parsed.is_unspecified)


def _machine(address: str) -> str:
    """The same text for all names of this machine."""
    if address == "localhost" or address.endswith(".localhost"):
        return "localhost"
    try:
        return "localhost" if ipaddress.ip_address(address).is_loopback else address
    except ValueError:
        return address

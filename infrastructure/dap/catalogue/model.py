"""Typed model of `x-dap` and of `environment.yml`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
    model_validator,
)

Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
RouteName = Annotated[str, StringConstraints(pattern=r"^(@|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$")]
UrlPath = Annotated[str, StringConstraints(pattern=r"^/\S*$")]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Memory = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*[kmg]$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Role = Literal["service", "runner", "compute"]
SecretKind = Literal["password", "token", "ssh-key", "user", "content"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class PortalEntry(_Model):
    """What the start page says about a route."""

    title: str
    description: str = ""
    page: bool = True  # false: there is nothing to see in a browser


class PullLogins(_Model):
    """Whom nodes of clusters beside hosts pull images as, each cluster with an account of its own.

    An account is called `username` and the cluster's name, the secret with its password `secret`
    and that name. Who logs in by a name that begins so may only read what is behind the route.
    """

    username: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+_$")]
    secret: str

    def of(self, cluster: str) -> tuple[str, str]:
        """Return a cluster's account, and the name of the secret that is its password."""
        return f"{self.username}{cluster}", f"{self.secret}{cluster}"


class RegistryLogin(_Model):
    """Whom the engine pushes images as; `secret` names the password."""

    username: str
    secret: str
    pull: PullLogins


class Route(_Model):
    """A name behind the proxy: `https://<name>.<domain>`; `@` is the domain itself."""

    name: RouteName
    port: Port
    auth: Literal["service", "proxy"]
    refuses: UrlPath = "/"
    health: UrlPath | None = None
    portal: PortalEntry | None = None
    registry: RegistryLogin | None = None


class SshServer(_Model):
    """An SSH server that people log in to as `user`; `host_key` names the secret that is its key.

    `jump`: the way to the services of its host that describe an `SshEntry`. `repositories`: where
    git finds those of projects there, with PROJECT for the name of one.
    """

    user: str
    host_key: str
    jump: bool = False
    repositories: str | None = None


class Stream(_Model):
    """A plain TCP port that the proxy passes on; `ssh` where an SSH server answers.

    `private`: it is there for the service host alone. All others of a runner host are reached
    through the service host.
    """

    name: Label
    listen: Port
    port: Port
    ssh: SshServer | None = None
    private: bool = False


class SshEntry(_Model):
    """An SSH server inside the platform, for `people` (names of users) to reach by the jump."""

    user: str
    port: Port
    host_key: str
    people: tuple[str, ...]


class Metrics(_Model):
    """Where a service tells its figures, in Prometheus' text format."""

    port: Port
    path: UrlPath = "/metrics"


class Resource(BaseModel):
    """Something asked of another folder; its `content.py` makes it.

    Further keys belong to the kind and are judged by the folder that makes it.
    """

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    from_: Label = Field(alias="from")
    kind: Label
    name: str
    owner: str | None = None
    secret: str | None = None

    def data(self) -> dict[str, Any]:
        """Return the resource as plain data, keys as written in `compose.yml`."""
        return self.model_dump(by_alias=True, exclude_none=True)


class Connect(_Model):
    """A way to connect, as the start page shows it: lines to copy."""

    title: str
    text: str


class Reserved(_Model):
    """Names that a service keeps for itself, so that users or projects can't have them."""

    users: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()


class Option(_Model):
    """One entry of a folder's `options.yml`: what `options` in the settings may choose.

    A value is of the default's type and, where there are `choices`, one of them.
    """

    description: Reason
    default: StrictBool | StrictInt | StrictStr
    choices: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _chooses_its_default(self) -> Option:
        if self.choices and self.default not in self.choices:
            raise ValueError(f"default: must be one of {', '.join(self.choices)}")
        return self


class Left(_Model):
    """One entry of a folder's `leaves.yml`: a volume that others may read once the folder is gone.

    `kind` says what is in it (doc/architecture.md); files there can be read by the group `group`.
    """

    kind: Label
    group: Annotated[StrictInt, Field(ge=1)]


class FolderOptions(_Model):
    """`x-dap` at the top level of a folder's `compose.yml`."""

    title: str
    description: str
    roles: tuple[Role, ...] = Field(min_length=1)
    needs: tuple[Label, ...] = ()
    secrets: dict[Label, SecretKind] = {}
    resources: tuple[Resource, ...] = ()
    connect: tuple[Connect, ...] = ()
    reserved: Reserved = Reserved()


class Rule(_Model):
    """What an account may do with objects of a cluster, as in a Role of the API."""

    groups: tuple[str, ...] = ("",)
    resources: tuple[str, ...] = Field(min_length=1)
    verbs: tuple[str, ...] = Field(min_length=1)


class Pods(_Model):
    """Pods that a service starts by itself, at most at once; each asks for so much."""

    count: Annotated[StrictInt, Field(ge=0)]
    cpus: Annotated[float, Field(gt=0)]
    memory: Memory
    gpus: Annotated[StrictInt, Field(ge=0)] = 0


class Toleration(_Model):
    """A taint of nodes that keeps its pod off them no more; without a value, any."""

    key: str
    value: str | None = None
    effect: str | None = None


class InCluster(_Model):
    """What a service is told in a cluster alone.

    `rules`: what its account may do, and its pod has a token for; only where jobs run. `starts`:
    pods that it makes itself, which the quota has room for. The rest says on which nodes it runs.
    """

    rules: tuple[Rule, ...] = ()
    starts: Pods | None = None
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()


class ServiceOptions(_Model):
    """`x-dap` inside a compose service."""

    routes: tuple[Route, ...] = ()
    streams: tuple[Stream, ...] = ()
    entry: bool = False
    task: bool = False
    checks: bool = False  # acceptance tests run in it, in a cluster; no deploy starts it
    backup: tuple[str, ...] = ()
    live: tuple[str, ...] = ()  # files below config/ that it reads anew by itself when they change
    gpus: int | Literal["all"] | tuple[int | str, ...] = 0
    metrics: Metrics | None = None
    ssh: SshEntry | None = None
    nameserver: bool = False  # what it answers on port 53 is what names mean in a cluster
    may_stop: bool = False  # it ends with exit status 0 where that is wanted, and stays so
    reproduce: tuple[str, ...] = ()  # command that runs a job of an earlier commit again
    takes: UrlPath | None = None  # where it finds what folders left that are not there any more
    keeps: Label | None = None  # volume whose kept.json has secrets that belong into the vault
    kubernetes: InCluster = InCluster()
    exceptions: dict[str, Reason] = {}


class EnvironmentRoute(_Model):
    """The page that a workspace of an environment serves; its login asks for the owner's password.

    `refuses` and `health` are as in `Route`.
    """

    title: Reason
    port: Port
    refuses: UrlPath = "/"
    health: UrlPath | None = None


class EnvironmentOptions(_Model):
    """`environment.yml`: what an environment starts from, what a workspace of it needs and serves.

    `cpus` counts processors, `memory` is a Compose size such as `4g`: the least a workspace gets.
    Without the key `route`, it is the parent's. `always`: the platform needs it, whatever the
    settings name. `hosts_only`: jobs run in it on hosts and on no cluster, and why.
    """

    parent: Label = "base"
    description: str
    cpus: Annotated[float, Field(gt=0)] | None = None
    memory: Memory | None = None
    route: EnvironmentRoute | None = None
    always: bool = False
    hosts_only: Reason | None = None

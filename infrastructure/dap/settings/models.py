"""The typed shape of `platform.yml`: every key, its default and what it means."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from dap.settings.checks import EVERYWHERE
from dap.settings.problem import NOTHING, Path, Problem
from dap.settings.source import Source
from dap.settings.types import (
    Account,
    ClusterName,
    Cpus,
    Cron,
    Directory,
    Domain,
    Duration,
    Email,
    EmptyIfNone,
    Gpus,
    HostAddress,
    ImageReference,
    IpAddress,
    JumpHost,
    Label,
    Line,
    Memory,
    NodeLabel,
    NodeValue,
    OpenPort,
    Port,
    ProjectName,
    RegistryAddress,
    ServerUrl,
    Size,
    SshKey,
    StoreUrl,
    UserName,
    refuse,
)

Role = Literal["service", "runner"]


class Model(BaseModel):
    """A section of the settings: its keys are fixed, its values not converted."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )


class Section(Model):
    """A section that may stand empty, which means its defaults."""

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value


class Ports(Section):
    """Ports that the proxy publishes on `address`."""

    http: Port = 80
    """Redirects to https."""
    https: Port = 443
    """All web pages and APIs."""
    ssh: Port = 2222
    """git over SSH."""
    postgres: Port = 5432
    """PostgreSQL with the analysts' data, over TLS."""
    workspaces: Port = 2200
    """SSH to all workspaces."""
    hosts: Port = 2443
    """Pages of the workspaces of a runner host, open to the service host alone."""
    engines: Port = 2376
    """Docker's engine of a runner host, open to the service host alone."""


class Tls(Section):
    """The server's certificate. Empty: a private CA is made, and `make credentials` shows it."""

    certificate: Line = ""
    """PEM file with the certificate for the domain and *.domain and its chain."""
    key: Line = ""
    """PEM file with its private key, without a passphrase."""

    @model_validator(mode="after")
    def _both(self) -> Tls:
        if bool(self.certificate) != bool(self.key):
            given, other = ("certificate", "key") if self.certificate else ("key", "certificate")
            refuse(f"has a {given} but no {other}", "both, or neither for a private CA")
        return self


class User(Model):
    """A person who has an account on the platform."""

    name: UserName
    """Login name on every service."""
    full_name: Line = ""
    """Name for people, as in commits."""
    email: Email
    """Address for commits."""
    admin: bool = False
    """Whether the person administers the platform."""
    ssh_keys: list[SshKey] = Field(default_factory=list)
    """Public keys for git and workspaces."""


class Project(Model):
    """A project: repository, bucket, database, experiment and credentials of one name."""

    name: ProjectName
    """Name of all of these."""
    members: list[UserName] = Field(default_factory=list)
    """Users who may use it; empty: everybody."""


def _all_roles() -> list[Role]:
    return ["service", "runner"]


class Reserve(Section):
    """What a host keeps from workspaces and jobs."""

    cpus: Cpus | None = None
    """CPUs that no workspace or job may count on."""
    memory: Memory | None = None
    """Memory that no workspace or job may count on."""


class Baseline(Section):
    """What a host is made to be beside the platform. Left out: on, but off for localhost."""

    updates: bool | None = None
    """Security updates of Debian install themselves; nothing is rebooted."""
    ssh: bool | None = None
    """SSH takes keys and no passwords, speaks strong algorithms alone and forwards nothing."""
    time: bool | None = None
    """A time service keeps the clock."""
    firewall: bool | None = None
    """Closes what neither the platform nor SSH nor `open` names, ports of containers too."""
    open: list[OpenPort] = Field(default_factory=list)
    """Further ports that the firewall leaves open to everybody, as 9100 or 51820/udp."""
    logs: bool | None = None
    """The journal keeps 1 GiB at most; what else is logged is rotated."""
    docker: bool | None = None
    """Docker has 4096 networks to give, limits logs, and may restart without its containers."""
    disk: bool | None = None
    """File systems that run full are told of by `make status` and in the journal."""
    kernel: bool | None = None
    """Kernel parameters against spoofing and misuse; rare file systems are not loaded."""

    def switches(self, address: str) -> dict[str, bool]:
        """Return what is on for a host with this address: what is set, else the rule."""
        set_or_not = self.model_dump(exclude={"open"})
        away = address != "localhost"
        return {name: away if each is None else each for name, each in set_or_not.items()}


class Host(Model):
    """A machine that the platform runs on."""

    name: Label
    """Name in plans and messages."""
    address: HostAddress = "localhost"
    """What it is reached at over SSH; localhost: this machine, without SSH."""
    user: Account | None = None
    """Account that SSH logs in to. Left out: as ssh's own configuration says."""
    port: Port | None = None
    """Port of its SSH server. Left out: as ssh's own configuration says."""
    key: Line = ""
    """File with the private key for SSH. Empty: as ssh's own configuration says."""
    jump: JumpHost | None = None
    """Host that SSH goes through, as [account@]host[:port]. Left out: none."""
    listen: IpAddress | None = None
    """IP address that other hosts reach it at. Left out: that of its ports, or `address`."""
    labels: list[Label] = Field(default_factory=list)
    """What jobs ask for by `tags:`, beside the host's name."""
    roles: list[Role] = Field(default_factory=_all_roles, min_length=1)
    """service: all services (exactly one host); runner: workspaces and jobs."""
    slots: int = Field(default=2, ge=0, le=256)
    """Pipeline jobs that run at once; 0: none."""
    directory: Directory = ""
    """Where the platform's files are; empty: /srv/dap/<platform name>."""
    gpus: Gpus = 0
    """NVIDIA's GPUs that each job gets: 0, all, a number, or a list of indices or UUIDs."""
    reserve: Reserve = Field(default_factory=Reserve)
    baseline: Baseline = Field(default_factory=Baseline)


class Toleration(Model):
    """A taint of nodes that keeps a pod off them no more."""

    key: NodeLabel
    """Key of the taint."""
    value: NodeValue | None = None
    """Its value. Left out: any."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """What it does to others. Left out: any."""


NodeSelector = Annotated[dict[NodeLabel, NodeValue], EmptyIfNone]


class Workspace(Model):
    """A development container of one user."""

    name: Label
    """Name of the container and of its page."""
    owner: UserName
    """User who may enter it."""
    environment: Label
    """Folder of `environments/` whose image it runs."""
    cpus: Cpus = 2
    """CPUs at most."""
    memory: Memory = "4g"
    """Memory at most."""
    gpus: Gpus = 0
    """NVIDIA's GPUs that it gets: 0, all, a number, or a list of indices or UUIDs."""
    host: Label | None = None
    """Host that it runs on, one with the role runner. Left out: the first of them."""
    volumes: list[Label] = Field(default_factory=list)
    """Volumes that it shares with other workspaces of its host, at /volumes/NAME."""
    idle_stop: Duration | None = None
    """Stops after so long (90s, 30m, 8h, 2d) without SSH session, running kernel or terminal."""
    ssh_port: Port | None = None
    """Port for SSH to it alone, beside `ports.workspaces`. Left out: none."""
    node_selector: NodeSelector = Field(default_factory=dict)
    """In a cluster: labels that its node must have."""
    tolerations: list[Toleration] = Field(default_factory=list)
    """In a cluster: taints that keep it off no node."""


class Store(Model):
    """An S3 store outside the platform.

    Its keys are the secrets storage/NAME/access-key and storage/NAME/secret-key.
    """

    name: Label
    """Name in settings and secrets."""
    endpoint: StoreUrl
    """URL of its S3 API."""
    region: Label = "us-east-1"
    """Region that requests are signed for."""


class Storage(Section):
    """Where objects are kept."""

    default: Label = "builtin"
    """Store of buckets and artifacts: builtin, or the name of one of `stores`."""
    stores: list[Store] = Field(default_factory=list)
    """Stores outside the platform."""


class Images(Section):
    """Images that everything starts from."""

    base: ImageReference = "debian:trixie-slim"
    """Pulled; made from Debian packages where it can't be."""
    overrides: Annotated[dict[str, ImageReference], EmptyIfNone] = Field(default_factory=dict)
    """Image name to the upstream reference that is used instead of the platform's own build."""


class Packages(Section):
    """Where packages come from. Unset: as the host's own clients are configured."""

    apt_mirror: ServerUrl = ""
    """Debian mirror."""
    pip_index: ServerUrl = ""
    """Python package index."""
    npm_registry: ServerUrl = ""
    """npm registry."""
    go_proxy: ServerUrl = ""
    """Go module proxy."""
    http_proxy: ServerUrl = ""
    """Proxy for http."""
    https_proxy: ServerUrl = ""
    """Proxy for https."""
    no_proxy: Line = ""
    """Names and addresses that are reached without a proxy, joined by commas."""
    extra_ca: list[Line] = Field(default_factory=list)
    """PEM files with further certificate authorities to trust."""


class Mail(Section):
    """The mail server that services send through. Without a host, they send nothing.

    With a user, its password is the secret mail/password.
    """

    host: HostAddress | None = None
    """Name or address of the mail server."""
    port: Port = 587
    """Its port; on 465 TLS begins at once, on any other by STARTTLS."""
    user: Line = ""
    """Account to log in as; empty: without."""
    sender: Email | None = None
    """Address that mails come from. Left out: dap@ and the domain."""


class Gitops(Section):
    """What pipelines of the first project's repository, which is the platform's, do with it."""

    plan: bool = False
    """A push to a branch is checked, and shows what a deploy of it would change. No secret."""
    apply: bool = False
    """What comes to main is deployed, by a runner of its own; needs `forge: gitlab`."""
    drift: Cron = ""
    """When hosts are compared with main, as cron has it, in UTC; needs `forge: gitlab`."""


class Limits(Section):
    """Limits of one service."""

    cpus: Cpus | None = None
    """CPUs at most."""
    memory: Memory | None = None
    """Memory at most."""


class Quota(Section):
    """What all pods together may ask the cluster for. Left out: what they need."""

    cpus: Cpus | None = None
    """CPUs, as the sum of what pods are sure to get."""
    memory: Memory | None = None
    """Memory, as the sum of what pods are sure to get."""
    storage: Size | None = None
    """Size of all volumes together."""


class ClusterRegistry(Section):
    """The registry that nodes pull the platform's images from.

    With a user, its password is the secret cluster/registry-password, and that of a `push_user` is
    cluster/registry-push-password.
    """

    address: RegistryAddress = ""
    """Host, port and path before the names of images."""
    user: Line = ""
    """Account that nodes log in as; empty: without."""
    push_user: Line = ""
    """Account that pushes from here; empty: `user`, or as Docker is logged in here."""
    ca: Line = ""
    """PEM file of the CA that its certificate is from. Empty: one that every system knows."""

    def reference(self, local: str) -> str:
        """Return where nodes find an image; those that the platform builds are in its registry."""
        ours = self.address and local.startswith("dap/")
        return f"{self.address}/{local}" if ours else local


class JobLimits(Section):
    """What a pipeline's job gets in a cluster."""

    cpus: Cpus = 2
    """CPUs at most; it is sure of a tenth."""
    memory: Memory = "4g"
    """Memory, which it is sure of."""


class Cluster(Model):
    """The Kubernetes cluster that the platform runs on."""

    context: Line = Field(min_length=1)
    """Context of the kubeconfig: which cluster, and as whom."""
    kubeconfig: Line = ""
    """The kubeconfig file. Empty: where kubectl finds it."""
    namespace: Label | None = None
    """Namespace of everything that is made. Left out: the platform's name."""
    service: Literal["LoadBalancer", "NodePort", "ClusterIP"] = "LoadBalancer"
    """How the cluster publishes the proxy's ports; NodePort: on every node, `ports` from 30000;
    ClusterIP: not at all, something of yours leads there."""
    ingress_class: ClusterName | None = None
    """Class of an Ingress that leads all pages to the proxy. Left out: none."""
    ingress_annotations: Annotated[dict[str, str], EmptyIfNone] = Field(default_factory=dict)
    """What has its controller pass TLS on unopened, as doc/kubernetes.md says."""
    storage_class: ClusterName | None = None
    """Class of all volumes. Left out: the cluster's default."""
    size: Size = "10g"
    """Size of a volume that `sizes` does not name."""
    sizes: Annotated[dict[str, Size], EmptyIfNone] = Field(default_factory=dict)
    """Volume, as FOLDER-VOLUME of the catalogue, to its size."""
    quota: Quota = Field(default_factory=Quota)
    registry: ClusterRegistry = Field(default_factory=ClusterRegistry)
    """The registry that nodes pull the platform's images from. Empty: nodes have them already."""
    slots: int = Field(default=2, ge=0, le=256)
    """Pipeline jobs that run at once, in a namespace of their own; 0: none."""
    job: JobLimits = Field(default_factory=JobLimits)
    domain: Domain = "cluster.local"
    """The cluster's own domain, below which it names services."""


class ComputeCluster(Model):
    """A Kubernetes cluster that runs jobs of pipelines beside the platform's hosts.

    Its kubeconfig is the secret clusters/NAME/kubeconfig.
    """

    name: Label
    """Name in plans and messages; jobs ask for it by `tags:`."""
    context: Line = Field(min_length=1)
    """Context of the kubeconfig: which cluster, and as whom."""
    namespace: Label | None = None
    """Namespace of all that is made there. Left out: the platform's name and the cluster's."""
    labels: list[Label] = Field(default_factory=list)
    """What jobs ask for by `tags:`, beside the cluster's name."""
    slots: int = Field(default=2, ge=1, le=256)
    """Pipeline jobs that run at once."""
    gpus: int = Field(default=0, ge=0, le=64)
    """NVIDIA's GPUs that each job gets."""
    job: JobLimits = Field(default_factory=JobLimits)
    quota: Quota = Field(default_factory=Quota)
    node_selector: NodeSelector = Field(default_factory=dict)
    """Labels that the nodes of jobs must have."""
    tolerations: list[Toleration] = Field(default_factory=list)
    """Taints that keep jobs off no node."""
    platform_address: IpAddress | None = None
    """IP address that it reaches the platform's names at. Left out: as its DNS says."""


Options = Annotated[dict[str, bool | int | str], EmptyIfNone]


def _one_user(data: dict[str, Any]) -> list[User]:
    return [
        User(
            name="admin",
            full_name="Administrator",
            email=f"admin@{data.get('domain', 'dap.localhost')}",
            admin=True,
        )
    ]


def _one_project() -> list[Project]:
    return [Project(name="analysis")]


def _python() -> list[Label]:
    return ["python"]


def _one_host() -> list[Host]:
    return [Host(name="local")]


def _one_workspace(data: dict[str, Any]) -> list[Workspace]:
    users = data.get("users")
    owner = users[0].name if users else "admin"
    return [
        Workspace(
            name=f"{owner}-python",
            owner=owner,
            environment="python",
        )
    ]


class Settings(Section):
    """The settings of a platform."""

    name: Label = "dap"
    """Prefix of everything that is made on a host."""
    domain: Domain = "dap.localhost"
    """Domain of the start page; services are names below it."""
    address: IpAddress = "127.0.0.1"
    """IP address that the published ports bind to."""
    ports: Ports = Field(default_factory=Ports)
    forge: Literal["lite", "gitlab"] = "lite"
    """Git server and pipelines of .gitlab-ci.yml. lite: for few people; gitlab: GitLab CE."""
    tls: Tls = Field(default_factory=Tls)
    users: list[User] = Field(default_factory=_one_user, min_length=1)
    """Everybody who has an account: exactly these."""
    projects: list[Project] = Field(default_factory=_one_project)
    """Projects of the analysts."""
    environments: list[Label] = Field(default_factory=_python, min_length=1)
    """Folders of `environments/` whose images are built for jobs, beside those of workspaces."""
    target: Literal["docker", "kubernetes"] = "docker"
    """What the platform runs on. docker: `hosts`; kubernetes: `cluster`."""
    hosts: list[Host] = Field(default_factory=_one_host, min_length=1)
    """Machines that the platform runs on."""
    cluster: Cluster | None = None
    """The Kubernetes cluster that the platform runs on."""
    clusters: list[ComputeCluster] = Field(default_factory=list)
    """Kubernetes clusters that run jobs, too; needs `forge: gitlab`."""
    workspaces: list[Workspace] = Field(default_factory=_one_workspace)
    """Development containers."""
    storage: Storage = Field(default_factory=lambda: Storage())
    images: Images = Field(default_factory=lambda: Images())
    packages: Packages = Field(default_factory=lambda: Packages())
    resources: Annotated[dict[str, Limits], EmptyIfNone] = Field(default_factory=dict)
    """Compose service name to its limits."""
    mail: Mail = Field(default_factory=Mail)
    gitops: Gitops = Field(default_factory=Gitops)
    options: Annotated[dict[str, Options], EmptyIfNone] = Field(default_factory=dict)
    """Folder of `infrastructure/services/` to what its options.yml lets one choose."""

    _source: Source | None = PrivateAttr(default=None)

    @property
    def namespace(self) -> str:
        """Namespace of the platform in its cluster."""
        return (self.cluster and self.cluster.namespace) or self.name

    @property
    def clusters_alone_run_jobs(self) -> bool:
        """Whether no host runs jobs of pipelines, but clusters would."""
        if self.cluster is not None:
            return True
        return bool(self.clusters) and not any(
            host.slots and "runner" in host.roles for host in self.hosts
        )

    def directory(self, host: Host) -> str:
        """Where the platform's files are on a host."""
        return host.directory or f"/srv/dap/{self.name}"

    def listen(self, host: Host) -> str:
        """IP address that other hosts reach a host at; of no use where there is but one."""
        if host.listen is not None:
            return host.listen
        published = "service" in host.roles and self.address not in EVERYWHERE
        return self.address if published else host.address

    def problem(self, path: Path, what: str, allowed: str = "", found: object = NOTHING) -> Problem:
        """A problem at `path` found later, as by what knows the catalogue.

        Args:
            path: keys and list indices from the top, as in ("workspaces", 0, "environment").
            what: what is wrong.
            allowed: what is right.
            found: the value that is refused; left out where it must not be shown.
        """
        if self._source is None:
            return Problem("platform.yml", 1, path, what, allowed, "")
        return self._source.problem(path, what, allowed, found)


def model_at(path: Path) -> type[Model] | None:
    """The model of the section at `path`, if there is one."""
    model: Any = Settings
    for part in path:
        if isinstance(model, type) and issubclass(model, Model):
            field = model.model_fields.get(str(part))
            model = _one_model(field.annotation) if field else None
        else:
            arguments = getattr(model, "__args__", ())
            model = arguments[-1] if arguments else None
    return model if isinstance(model, type) and issubclass(model, Model) else None


def _one_model(annotation: Any) -> Any:
    """The model in what may be a section or nothing; anything else as it is."""
    for each in getattr(annotation, "__args__", ()):
        if type(annotation) is UnionType and isinstance(each, type) and issubclass(each, Model):
            return each
    return annotation

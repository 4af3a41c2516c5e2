"""The kinds of values that settings are made of, each with its check and what it allows."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, NoReturn
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = rf"({LABEL}\.)+{LABEL}"
_EMAIL = rf"[A-Za-z0-9._%+-]{{1,64}}@{_DOMAIN}"
_MEMORY = r"[1-9][0-9]*[kmg]"
_CRON = r"([0-9*/,-]+( [0-9*/,-]+){4})?"
_SIZE = r"[1-9][0-9]{0,5}[mgt]"
_ACCOUNT = r"[a-z_][a-z0-9_.-]{0,31}"
_DIRECTORY = r"(/[A-Za-z0-9._-]+)+"
_IMAGE = (
    r"([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_REGISTRY = rf"({LABEL}(\.{LABEL})*(:[0-9]{{1,5}})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*)?"
# The labels of routes stand before the domain, and a whole name has at most 253 characters.
_LONGEST_DOMAIN = 189
_LEAST_MEMORY = 16 * 1024**2
_MOST_GPUS = 64
_NODE_WORD = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_DURATION = r"[1-9][0-9]{0,5}[smhd]"
_LEAST_DURATION_S = 10
_OPEN_PORT = "a port from 1 to 65535, as 9100, or with its protocol, as 51820/udp"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}

HIDDEN = "hidden"
"""In the context of an error: the value found must not be shown."""


def refuse(what: str, allowed: str, *, secret: bool = False) -> NoReturn:
    """Refuse a value: `what` is wrong with it, `allowed` says what is right."""
    raise PydanticCustomError(
        "refused", "{what}", {"what": what, "allowed": allowed, HIDDEN: secret}
    )


def memory_bytes(text: str) -> int:
    """Bytes of an amount such as `512m` or `4g` (powers of 1024, as Docker counts)."""
    return int(text[:-1]) * _UNITS[text[-1]]


def duration_seconds(text: str) -> int:
    """Seconds of a duration such as `90s`, `30m`, `8h` or `2d`."""
    return int(text[:-1]) * _SECONDS[text[-1]]


def _matches(
    pattern: str, what: str, allowed: str, *, shortest: int = 1, longest: int = 0
) -> tuple[AfterValidator, Any]:
    """A check against `pattern`, and the same for the JSON schema."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value) or len(value) < shortest:
            refuse(what, allowed)
        if longest and len(value) > longest:
            refuse(f"is too long ({len(value)} characters)", allowed)
        return value

    extra: dict[str, Any] = {"pattern": f"^{pattern}$"}
    if shortest > 1:
        extra["minLength"] = shortest
    if longest:
        extra["maxLength"] = longest
    return AfterValidator(check), Field(json_schema_extra=extra)


def _checked(check: Callable[[str], str]) -> AfterValidator:
    return AfterValidator(check)


def _label(shortest: int, longest: int) -> tuple[AfterValidator, Any]:
    return _matches(
        LABEL,
        "is no DNS label",
        f"{shortest} to {longest} characters of a-z, 0-9 and -, no - at either end",
        shortest=shortest,
        longest=longest,
    )


def _domain(value: str) -> str:
    if re.fullmatch(_DOMAIN, value) and value.rsplit(".", 1)[1].isdigit():
        refuse("is no domain", "a name such as dap.example.org, no address")
    return value


def _ip_address(value: str) -> str:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        refuse("is no IP address", "such as 127.0.0.1, 0.0.0.0 or ::")
    if address.is_multicast:
        refuse("is a multicast address", "an address of this host")
    return value


def _host_address(value: str) -> str:
    allowed = "localhost, a DNS name or an IP address that the host is reached at"
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        last = value.rsplit(".", 1)[-1]
        if not re.fullmatch(rf"{LABEL}(\.{LABEL})*", value) or last.isdigit() or len(value) > 253:
            refuse("can't be the address of a host", allowed)
        return value
    if address.is_multicast or address.is_unspecified or value == "255.255.255.255":
        refuse("can't be the address of a host", allowed)
    return value


def jump_parts(jump: str) -> tuple[str, str, str | None]:
    """Account (or nothing), host and port (or none) of [account@]host[:port]."""
    account, _, rest = jump.rpartition("@")
    if rest.count(":") != 1:  # more has an IPv6 address
        return account, rest, None
    name, _, port = rest.partition(":")
    return account, name, port


def _jump(value: str) -> str:
    account, name, port = jump_parts(value)
    good_port = port is None or (port.isdigit() and 1 <= int(port) <= 65535)
    if not good_port or (account and not re.fullmatch(_ACCOUNT, account)):
        refuse("is no jump host", "[account@]host[:port]")
    _host_address(name)
    return value


def _memory(value: str) -> str:
    if memory_bytes(value) < _LEAST_MEMORY:
        refuse("is too little memory", "16m or more")
    return value


def _cpus(value: float) -> float:
    if not 0.05 <= value <= 1024:
        refuse("is no number of CPUs", "0.05 to 1024")
    return value


def _gpus(value: object) -> object:
    allowed = "0, all, a number of GPUs, or a list of indices or UUIDs, as [0, 1]"
    if isinstance(value, list):
        names = [str(each) for each in value]
        if not value or not all(_gpu(each) for each in value):
            refuse("is no list of GPUs", allowed)
        if len(set(names)) < len(names):
            refuse("names a GPU twice", allowed)
    elif value != "all" and (type(value) is not int or not 0 <= value <= _MOST_GPUS):
        refuse("is no number of GPUs", allowed)
    return value


def _gpu(value: object) -> bool:
    """Whether it is an index or a UUID as nvidia-smi lists them."""
    if type(value) is int:
        return 0 <= value < _MOST_GPUS
    return isinstance(value, str) and bool(re.fullmatch(r"(GPU|MIG)-[0-9a-f-]{1,60}", value))


def _duration(value: str) -> str:
    if duration_seconds(value) < _LEAST_DURATION_S:
        refuse("is too short", f"{_LEAST_DURATION_S}s or more")
    return value


def _port(value: int) -> int:
    if not 1 <= value <= 65535:
        refuse("is no port", "1 to 65535")
    return value


def _open_port(value: object) -> object:
    number, _, kind = str(value).partition("/")
    if not re.fullmatch(r"[0-9]{1,5}", number) or type(value) not in (int, str):
        refuse("is no port", _OPEN_PORT)
    if not 1 <= int(number) <= 65535 or kind not in ("", "tcp", "udp"):
        refuse("is no port", _OPEN_PORT)
    return value


def _url(*, path: bool, empty: bool = False) -> AfterValidator:
    """A check for an http(s) URL.

    Args:
        path: whether it may go on after the host and port.
        empty: whether there may be none.
    """
    allowed = "http:// or https:// and a host" + (", a port and a path" if path else " and a port")

    def check(value: str) -> str:
        if empty and not value:
            return value
        try:
            url = urlsplit(value)
            port = url.port
        except ValueError:
            refuse("is no URL", allowed)
        if url.username is not None or url.password is not None:
            refuse("holds a user or password", f"{allowed}; no secret belongs here", secret=True)
        host = url.hostname or ""
        good_host = re.fullmatch(rf"{LABEL}(\.{LABEL})*|[0-9a-f:.]*:[0-9a-f:.]*", host)
        if url.scheme not in {"http", "https"} or not good_host or re.search(r"[\s\"'\\$]", value):
            refuse("is no URL", allowed)
        if port == 0 or url.query or url.fragment or (not path and url.path not in {"", "/"}):
            refuse("is no URL of this kind", allowed)
        return value

    return AfterValidator(check)


def _line(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        refuse("is no plain line of text", "printable characters, no blanks at either end")
    return value


def _ssh_key(value: str) -> str:
    from dap.settings.sshkey import check_ssh_key  # cryptography loads slowly

    return check_ssh_key(value)


def _empty_if_none(value: object) -> object:
    return {} if value is None else value


Label = Annotated[str, *_label(1, 63)]
UserName = Annotated[str, *_label(3, 32)]
ProjectName = Annotated[str, *_label(3, 63)]
Domain = Annotated[
    str,
    *_matches(
        _DOMAIN,
        "is no domain",
        "two or more DNS labels joined by dots, lower case, such as dap.example.org",
        longest=_LONGEST_DOMAIN,
    ),
    _checked(_domain),
]
Email = Annotated[str, *_matches(_EMAIL, "is no e-mail address", "name@domain", longest=254)]
IpAddress = Annotated[str, _checked(_ip_address)]
HostAddress = Annotated[str, _checked(_host_address)]
JumpHost = Annotated[str, _checked(_jump)]
Account = Annotated[
    str,
    *_matches(
        _ACCOUNT,
        "is no account of a host",
        "a-z, 0-9, _ . and -, such as ops",
    ),
]
Memory = Annotated[
    str,
    *_matches(_MEMORY, "is no amount of memory", "a whole number and k, m or g, as 512m or 4g"),
    _checked(_memory),
]
Size = Annotated[
    str,
    *_matches(_SIZE, "is no size of a volume", "a whole number and m, g or t, as 500m, 10g or 2t"),
]
ClusterName = Annotated[
    str,
    *_matches(
        rf"{LABEL}(\.{LABEL})*",
        "is no name of an object of a cluster",
        "DNS labels joined by dots, such as fast or ssd.example.org",
        longest=253,
    ),
]
NodeLabel = Annotated[
    str,
    *_matches(
        rf"({LABEL}(\.{LABEL})*/)?{_NODE_WORD}",
        "is no key of a node's labels or taints",
        "a word of A-Z, a-z, 0-9, . _ and -, with a domain and / before it or not",
        longest=253,
    ),
]
NodeValue = Annotated[
    str,
    *_matches(
        rf"({_NODE_WORD})?",
        "is no value of a node's label or taint",
        "a word of A-Z, a-z, 0-9, . _ and -; in quotes where it looks like a number",
        shortest=0,
    ),
]
RegistryAddress = Annotated[
    str,
    *_matches(
        _REGISTRY,
        "is no registry",
        "host[:port][/path], such as registry.example.org/dap",
        shortest=0,
    ),
]
Cpus = Annotated[
    float, AfterValidator(_cpus), Field(json_schema_extra={"minimum": 0.05, "maximum": 1024})
]
Gpus = Annotated[
    int | Literal["all"] | list[int | str],
    BeforeValidator(_gpus),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": _MOST_GPUS},
                {"const": "all", "type": "string"},
                {
                    "type": "array",
                    "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                    "minItems": 1,
                    "uniqueItems": True,
                },
            ]
        }
    ),
]
Duration = Annotated[
    str,
    *_matches(_DURATION, "is no duration", "a whole number and s, m, h or d, as 90s, 30m, 8h, 2d"),
    _checked(_duration),
]
Port = Annotated[
    int, AfterValidator(_port), Field(json_schema_extra={"minimum": 1, "maximum": 65535})
]
OpenPort = Annotated[
    Any,
    BeforeValidator(_open_port),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 65535},
                {"type": "string", "pattern": "^[0-9]{1,5}(/(tcp|udp))?$"},
            ]
        }
    ),
]
Directory = Annotated[
    str,
    *_matches(
        rf"({_DIRECTORY})?",
        "is no directory",
        "an absolute path of A-Z, a-z, 0-9, . _ -",
        shortest=0,
    ),
]
ImageReference = Annotated[
    str, *_matches(_IMAGE, "is no image reference", "[registry/]name[:tag][@sha256:digest]")
]
StoreUrl = Annotated[str, _url(path=False)]
ServerUrl = Annotated[str, _url(path=True, empty=True)]
Line = Annotated[str, _checked(_line)]
Cron = Annotated[
    str,
    *_matches(
        _CRON,
        "is no time as cron has it",
        "five fields of figures, such as '0 5 * * *'; empty: never",
        shortest=0,
    ),
]
SshKey = Annotated[str, _checked(_ssh_key)]
EmptyIfNone = BeforeValidator(_empty_if_none)

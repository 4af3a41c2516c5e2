"""How a host's own clients reach packages: collected, so that images are built the same way."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
ANCHORS = Path("/usr/local/share/ca-certificates")
# What of apt's configuration decides about reaching a mirror; the rest is the host's own affair.
APT_KEYS = re.compile(
    r"^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date|Retries|https?::Timeout) \"",
    re.IGNORECASE,
)
PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "timeout", "default-timeout")
GO_KEYS = ("GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOINSECURE")
CREDENTIALS = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s@]+@", re.IGNORECASE)


class MachineError(Exception):
    """The host's configuration can't be used; the message says which and why."""


@dataclass(frozen=True)
class Source:
    """One suite of a Debian mirror."""

    uri: str
    suite: str
    components: str
    keyring: str

    def deb822(self) -> str:
        """Return the stanza of a .sources file."""
        return (
            f"Types: deb\nURIs: {self.uri}\nSuites: {self.suite}\n"
            f"Components: {self.components}\nSigned-By: {self.keyring}\n"
        )

    def line(self) -> str:
        """Return the line of a .list file."""
        return f"deb [signed-by={self.keyring}] {self.uri} {self.suite} {self.components}"


def _stanzas(text: str) -> list[dict[str, str]]:
    """Read a deb822 file: fields in lower case, one dictionary a stanza."""
    found = []
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and key:
                fields[key] += f"\n{line}"
            elif ":" in line:
                name, _, value = line.partition(":")
                key = name.strip().lower()
                fields[key] = value.strip()
        if fields:
            found.append(fields)
    return found


def _entries() -> list[tuple[str, str, str, str]]:
    """Return (URI, suite, components, signed-by) of all package sources of the host."""
    entries = []
    folder = Path("/etc/apt/sources.list.d")
    for path in sorted(folder.glob("*.sources")):
        for fields in _stanzas(path.read_text(encoding="utf-8")):
            if "deb" not in fields.get("types", "").split() or fields.get("enabled") == "no":
                continue
            for uri in fields.get("uris", "").split():
                for suite in fields.get("suites", "").split():
                    signed = fields.get("signed-by", "")
                    entries.append((uri, suite, fields.get("components", "main"), signed))
    for path in [Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list"))]:
        if not path.exists():
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            match = re.match(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)", line.strip())
            if match:
                options, uri, suite, components = match.groups()
                keyring = re.search(r"signed-by=(\S+)", options or "")
                entries.append((uri, suite, components, keyring[1] if keyring else ""))
    return entries


def apt_sources(mirror: str) -> list[Source]:
    """Return the sources for images: from the setting, else from the host's own Debian mirror.

    An empty list means that the base image's own sources are right.
    Raises MachineError for an address with a password in it.
    """
    if mirror:
        base = mirror.rstrip("/")
        sources = [
            Source(base, TARGET, "main", KEYRING),
            Source(base, f"{TARGET}-updates", "main", KEYRING),
            Source(f"{base}-security", f"{TARGET}-security", "main", KEYRING),
        ]
    else:
        suites = re.compile(r"(bookworm|trixie)(-updates|-security)?$")
        sources = []
        for uri, suite, components, signed in _entries():
            found = suites.match(suite)
            # Other repositories use the same suite names; Debian's own are signed by its keyring.
            if not found or "main" not in components.split() or "debian" not in uri:
                continue
            if signed not in ("", KEYRING, KEYRING.replace(".gpg", ".pgp")):
                continue
            sources.append(Source(uri.rstrip("/"), TARGET + (found[2] or ""), "main", KEYRING))
    for source in sources:
        refuse_credentials("apt sources", source.uri)
    return list(dict.fromkeys(sources))


def refuse_credentials(where: str, text: str) -> None:
    """Raise MachineError if a text holds an address with a user or password in it."""
    if CREDENTIALS.search(text):
        raise MachineError(
            f"{where} holds an address with a password, which would be readable in every image: "
            "use a mirror or proxy without one, and name it in platform.yml under packages"
        )


def apt_configuration(proxies: dict[str, str]) -> str:
    """Return apt's configuration of how to reach a mirror."""
    dump = subprocess.run(
        ["apt-config", "dump"], capture_output=True, text=True, check=False
    ).stdout
    lines = [
        line for line in dump.splitlines() if APT_KEYS.match(line) and not line.endswith('"";')
    ]
    for kind in ("http", "https"):
        if proxies.get(f"{kind}_proxy"):
            lines.append(f'Acquire::{kind}::Proxy "{proxies[f"{kind}_proxy"]}";')  # noqa: PERF401
    return "".join(f"{line}\n" for line in lines)


def pip_settings(index: str) -> dict[str, str]:
    """Return pip's settings of where packages come from: setting, environment, files."""
    values: dict[str, str] = {}
    home = Path.home()
    for path in (Path("/etc/pip.conf"), home / ".pip/pip.conf", home / ".config/pip/pip.conf"):
        parser = configparser.RawConfigParser()
        if path.exists():
            parser.read(path, encoding="utf-8")
        for section in ("global", "install"):
            for key in PIP_KEYS:
                if parser.has_option(section, key):
                    values[key] = parser.get(section, key)
    for key in PIP_KEYS:
        variable = os.environ.get(f"PIP_{key.upper().replace('-', '_')}")
        if variable:
            values[key] = variable
    if "default-timeout" in values:
        values["timeout"] = values.pop("default-timeout")
    if index:
        values.pop("extra-index-url", None)
        values["index-url"] = index
    return values


def _uv(pip: dict[str, str]) -> str:
    """Return uv's configuration with the indexes of pip, which uv does not read."""
    first = (
        os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL") or pip.get("index-url")
    )
    text = "".join(f'[[index]]\nurl = "{url}"\n' for url in pip.get("extra-index-url", "").split())
    return text + (f'[[index]]\nurl = "{first}"\ndefault = true\n' if first else "")


def npm_registry() -> str:
    """Return the registry that npm is configured to use, or an empty text."""
    found = os.environ.get("NPM_CONFIG_REGISTRY", "")
    for path in (Path("/etc/npmrc"), Path.home() / ".npmrc"):
        if not found and path.exists():
            lines = re.findall(
                r"^\s*registry\s*=\s*(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE
            )
            found = lines[-1] if lines else ""
    return found


def go_settings(proxy: str) -> dict[str, str]:
    """Return Go's settings of where modules come from: setting, environment, file."""
    values: dict[str, str] = {}
    path = Path(os.environ.get("GOENV", Path.home() / ".config/go/env"))
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition("=")
            if key in GO_KEYS:
                values[key] = value
    values.update({key: os.environ[key] for key in GO_KEYS if os.environ.get(key)})
    if proxy:
        values["GOPROXY"] = proxy
    return values


def proxies(packages: dict[str, Any]) -> dict[str, str]:
    """Return http_proxy, https_proxy and no_proxy: from the settings, else the environment.

    Raises MachineError for a proxy with a password.
    """
    found = {}
    for key in ("http_proxy", "https_proxy", "no_proxy"):
        value = packages.get(key) or os.environ.get(key) or os.environ.get(key.upper()) or ""
        if value:
            refuse_credentials(key, value)
            found[key] = value
    return found


def collect(packages: dict[str, Any], extra_ca: dict[str, str]) -> dict[str, str]:
    """Return the files of `base/machine/`, path → text.

    `packages` is the section of the settings, `extra_ca` file name → PEM.
    Raises MachineError for an address with a password in it.
    """
    proxy = proxies(packages)
    pip = pip_settings(packages.get("pip_index") or "")
    npm = packages.get("npm_registry") or npm_registry()
    files = {
        "apt/debian.sources": "\n".join(
            s.deb822() for s in apt_sources(packages.get("apt_mirror") or "")
        ),
        "apt/90host.conf": apt_configuration(proxy),
        "pip.conf": "[global]\n" + "".join(f"{k} = {v}\n" for k, v in pip.items()) if pip else "",
        "uv.toml": _uv(pip),
        "npmrc": f"registry={npm}\n" if npm else "",
        "goenv": "".join(
            f"{k}={v}\n" for k, v in go_settings(packages.get("go_proxy") or "").items()
        ),
        "environment": "".join(
            f"{name}={value}\n" for key, value in proxy.items() for name in (key, key.upper())
        ),
    }
    for path in sorted(ANCHORS.glob("*.crt")):
        # A platform's own CA reaches its containers when they start, not when images are built.
        if not path.name.startswith("dap-"):
            files[f"ca/{path.name}"] = path.read_text(encoding="utf-8")
    files.update({f"ca/{name}": text for name, text in extra_ca.items()})
    for name, text in files.items():
        if not name.startswith("ca/"):
            refuse_credentials(name, text)
    return {name: text for name, text in files.items() if text}

"""A small project of made-up services that tests of catalogue, plan and render start from."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dap.catalogue import read_catalogue
from dap.plan import Plan, make_plan, secret_specs
from dap.render import File, Tree, render
from dap.settings import Settings

FILES = {
    "infrastructure/base/Dockerfile": "FROM debian AS base\nFROM base AS builder\n",
    "infrastructure/dap/content/__init__.py": "",
    "environments/base/environment.yml": "description: Shell\n",
    "environments/base/Dockerfile": "FROM parent\n",
    "environments/python/environment.yml": "parent: base\ndescription: Python\nmemory: 1g\n",
    "environments/python/Dockerfile": "FROM parent\n",
    "environments/python/tests/test_it.py": "",
    "infrastructure/services/proxy/Dockerfile": "FROM base\n",
    "infrastructure/services/proxy/config/proxy.conf.j2": (
        "{% for route in plan.routes %}\n"
        "{{ route.hostname }} {{ route.service }}:{{ route.port }}\n"
        "{% endfor %}\n"
    ),
    "infrastructure/services/proxy/secrets/htpasswd.j2": (
        "{% for identity in identities %}\n"
        "{{ identity.name }}:{{ bcrypt(identity.kind ~ 's/' ~ identity.name ~ '/password') }}\n"
        "{% endfor %}\n"
    ),
    "infrastructure/services/proxy/secrets/tls-key.j2": "{{ secret('tls/key') }}\n",
    "infrastructure/services/proxy/client/CA.j2": "{{ ca_certificate }}\n",
    "infrastructure/services/proxy/compose.yml": """\
x-dap: {title: Proxy, description: The way in, roles: [service, runner]}
services:
  proxy:
    build: .
    user: "11005:11005"
    volumes: ["./config/proxy.conf:/etc/proxy.conf:ro"]
    secrets: [htpasswd, tls-key]
    x-dap: {entry: true}
""",
    "infrastructure/services/start/config/html/index.html.j2": (
        "{% for route in plan.routes if route.portal %}\n"
        '<a href="{{ route.url }}">{{ route.portal.title }}</a>\n{% endfor %}\n'
        "{% for way in plan.connect %}\n<pre>{{ way.text }}</pre>\n{% endfor %}\n"
    ),
    "infrastructure/services/start/compose.yml": """\
x-dap: {title: Start page, description: Links, roles: [service]}
services:
  start:
    image: "{{ image('proxy') }}"
    user: "11005:11005"
    volumes: ["./config/html:/html:ro"]
    x-dap: {routes: [{name: "@", port: 80, auth: proxy}]}
""",
    "infrastructure/services/store/Dockerfile": "FROM builder AS build\nFROM base\n",
    "infrastructure/services/store/run": "#!/bin/sh\n",
    "infrastructure/services/store/content.py": "def apply(context): ...\n",
    "infrastructure/services/store/compose.yml": """\
x-dap:
  title: Store
  description: Keeps things
  roles: [service]
  secrets: {admin: password}
services:
  store:
    build: {context: ., args: {VERSION: "1"}}
    user: "11001:11001"
    secrets: [admin]
    volumes: ["data:/var/lib/store"]
    x-dap:
      backup: [data]
      streams: [{name: store, listen: {{ settings.ports.postgres }}, port: 5432}]
volumes:
  data:
""",
    "infrastructure/services/app/Dockerfile": "FROM base\n",
    "infrastructure/services/app/config/app.ini.j2": "[app]\nurl = {{ url('app') }}\n",
    "infrastructure/services/app/config/words": "{{ as they are }}\n",
    "infrastructure/services/app/secrets/store.ini.j2": (
        "{{ secret('app/store') }}\n{{ service }}\n"
    ),
    "infrastructure/services/app/client/environment.j2": "APP_URL={{ url('app') }}\n",
    "infrastructure/services/app/client/NETRC.j2": (
        "machine {{ hostname('app') }} login {{ identity.name }} password {{ identity.password }}\n"
    ),
    "infrastructure/services/app/compose.yml": """\
x-dap:
  title: App
  description: Does things
  roles: [service]
  needs: [store]
  secrets: {store: password, session: token}
  resources: [{from: store, kind: shelf, name: app, secret: app/store, width: 3}]
  connect: [{title: App, text: "app --url {{ url('app') }}"}]
services:
  app:
    build: .
    user: "11003:11003"
    secrets: [store.ini, session]
    volumes: ["./config/app.ini:/etc/app.ini:ro"]
    x-dap:
      routes: [{name: app, port: 5000, auth: service, health: /health, portal: {title: App}}]
  app-worker:
    image: dap/app
    user: "11003:11003"
    secrets: [session]
""",
    "infrastructure/services/content/Dockerfile": "FROM base\n",
    "infrastructure/services/content/secrets/vault.json.j2": "{{ vault() | tojson }}",
    "infrastructure/services/content/compose.yml": """\
x-dap: {title: Content, description: Makes what lives inside, roles: [service]}
services:
  content:
    build: .
    user: "11008:11008"
    secrets: [vault.json]
    volumes: ["./content:/content:ro"]
    x-dap: {task: true}
""",
    "infrastructure/services/desk/secrets/client.json.j2": (
        "{% set owner = (host.workspaces | selectattr('name', 'eq', service) | first).owner %}\n"
        "{% set me = client(identities | selectattr('name', 'eq', owner) | first) %}\n"
        "{{ {'environment': me.environment, 'files': me.files} | tojson }}\n"
    ),
    "infrastructure/services/desk/compose.yml": """\
x-dap: {title: Desks, description: Where people work, roles: [runner]}
{% if host.workspaces %}
services:
{% for workspace in host.workspaces %}
  {{ workspace.name }}:
    image: "{{ environment(workspace.environment) }}"
    user: "1000:1000"
    networks: [edge]
    secrets: [client.json]
    mem_limit: {{ workspace.memory }}
    cpus: {{ workspace.cpus }}
    volumes: ["{{ workspace.name }}-home:/home"]
    x-dap:
      routes: [{name: {{ workspace.name }}, port: 8888, auth: service}]
      streams: [{name: {{ workspace.name }}, listen: {{ workspace.ssh_port or 2201 }}, port: 2222}]
      backup: [{{ workspace.name }}-home]
{% endfor %}
volumes:
{% for workspace in host.workspaces %}
  {{ workspace.name }}-home: {}
{% endfor %}
{% endif %}
""",
}


class Vault:
    """Stands where an open vault would: a value for each name, each easy to search for."""

    def __init__(self, specs: Mapping[str, str]) -> None:
        names = [*specs, "tls/ca-certificate", "tls/certificate", "tls/key", "tls/ca-key"]
        self.values = {name: f"value-of-{name.replace('/', '-')}-x7" for name in names}

    def get(self, name: str, /) -> str:
        return self.values[name]


@dataclass
class Project:
    """A project on disk that a test changes and renders."""

    root: Path
    data: dict[str, Any]

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def service(self, name: str, compose: str) -> None:
        self.write(f"infrastructure/services/{name}/compose.yml", compose)

    def replace(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert old in text
        self.write(path, text.replace(old, new))

    @property
    def settings(self) -> Settings:
        return Settings.model_validate(self.data)

    def plan(self) -> Plan:
        return make_plan(self.settings, read_catalogue(self.root))

    def trees(self, vault: Vault | None = None) -> tuple[Tree, ...]:
        return render(self.plan(), vault)

    def files(self) -> dict[str, File]:
        """The only host's files, with secrets."""
        plan = self.plan()
        (tree,) = render(plan, Vault(secret_specs(plan)))
        return {file.path: file for file in tree.files}


@pytest.fixture
def check_compose() -> Callable[[Path], None]:
    """Hold the `compose.yml` of a directory against Compose itself; needs no engine."""
    if shutil.which("docker") is None:
        pytest.skip("the docker client with Compose, which judges the file, is not installed")

    def check(directory: Path) -> None:
        checked = subprocess.run(
            ["docker", "compose", "--profile", "*", "config", "--quiet"],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (checked.returncode, checked.stderr) == (0, "")

    return check


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "project", {})
    for path, text in FILES.items():
        made.write(path, text)
    (made.root / "infrastructure/services/store/run").chmod(0o755)
    return made


@pytest.fixture
def root_account() -> None:
    """Whether this machine's account may ask it as root."""
    if os.geteuid() != 0:
        done = subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True)
        if done.returncode:
            pytest.skip("needs root, or sudo without a password")

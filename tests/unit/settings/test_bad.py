"""Each kind of bad input: its line, its key, and what the message says."""

from collections.abc import Callable
from pathlib import Path

import pytest
from dap.errors import InputError
from dap.settings import Problem, load

Refused = Callable[[str], list[Problem]]

USERS = "users:\n  - {name: ada, email: ada@example.org}\n"
SPACE = "environment: python"
LONG = "a" * 64

RUNNER = "  - {name: r, address: 10.0.0.2, roles: [runner]}"
SEVERAL = "domain: dap.test\naddress: 10.0.0.1\nhosts:\n  - {name: s, roles: [service]}\n"
TEST = "domain: dap.test\n"
CLUSTER = f"{TEST}forge: gitlab\ntarget: kubernetes\n"
ON = f"{CLUSTER}cluster: {{context: here}}\n"
BESIDE = f"{TEST}address: 10.0.0.1\nforge: gitlab\nhosts: [{{name: s}}]\n"
LITE = BESIDE.replace("forge: gitlab\n", "")
GPU = "{name: gpu, context: a"
CASES = [
    # unknown keys, with the nearest one
    ("domian: a.example", 1, "domian", "unknown key", "domain (nearest)"),
    ("ports:\n  htpps: 1", 2, "ports.htpps", "unknown key", "https (nearest)"),
    (
        "users:\n  - name: ada\n    email: a@b.c\n    amdin: true",
        4,
        "users[0].amdin",
        "unknown key",
        "admin (nearest)",
    ),
    (
        "resources:\n  mlflow:\n    memroy: 1g",
        3,
        "resources.mlflow.memroy",
        "unknown key",
        "memory",
    ),
    ("password: hunter2", 1, "password", "unknown key", "name, domain"),
    # YAML itself
    ("name: dap\nname: dip", 2, "name", "twice, first on line 1", "each key once"),
    ("ports:\n  http: 81\n  http: 82", 3, "ports.http", "twice, first on line 2", ""),
    ("name: dap\n\tdomain: x", 2, "", "no valid YAML", ""),
    ("name: 'dap", 1, "", "no valid YAML", ""),
    ("name: dap\n---\nname: dip", 2, "", "no valid YAML", ""),
    ("- name", 1, "", "must hold keys and values", "key: value"),
    ("name", 1, "", "must hold keys and values", "key: value"),
    ("1: one", 1, "", "a key must be text", ""),
    ("users: &a [*a]", 1, "users[0]", "contains itself", ""),
    ("name: a\x00b", 1, "", "no valid YAML", ""),
    ("users: [!!python/object:os.system {}]", 1, "", "no valid YAML", ""),
    # wrong types
    ("name: 5", 1, "name", "must be text", "in quotes"),
    ("name: yes", 1, "name", "must be text", "in quotes"),
    ("name:", 1, "name", "must be text", "text"),
    ("name: [dap]", 1, "name", "must be text", "text"),
    ('ports: {http: "80"}', 1, "ports.http", "must be a whole number", "a whole number"),
    ("ports: {http: 80.5}", 1, "ports.http", "must be a whole number", "a whole number"),
    ("ports: {http: true}", 1, "ports.http", "must be a whole number", "a whole number"),
    ("ports: 80", 1, "ports", "must hold keys and values", "key: value"),
    ("users: ada", 1, "users", "must be a list", "a list"),
    ("workspaces:", 1, "workspaces", "must be a list", "[] for none"),
    ("users: [ada]", 1, "users[0]", "must hold keys and values", "key: value"),
    ("users: []", 1, "users", "is empty", "one entry"),
    ("hosts: []", 1, "hosts", "is empty", "one entry"),
    ("environments: []", 1, "environments", "is empty", "one entry"),
    ("environments: [r, r]", 1, "environments[1]", "is already listed", ""),
    ("hosts: [{name: a, gpus: -1}]", 1, "hosts[0].gpus", "is no number of GPUs", "0, all"),
    ("hosts: [{name: a, gpus: some}]", 1, "hosts[0].gpus", "is no number of GPUs", "0, all"),
    ("hosts: [{name: a, gpus: true}]", 1, "hosts[0].gpus", "is no number of GPUs", "0, all"),
    ("hosts: [{name: a, gpus: []}]", 1, "hosts[0].gpus", "is no list of GPUs", "UUIDs"),
    ("hosts: [{name: a, gpus: [GPU one]}]", 1, "hosts[0].gpus", "is no list of GPUs", "UUIDs"),
    ("hosts: [{name: a, gpus: [0, 0]}]", 1, "hosts[0].gpus", "names a GPU twice", "UUIDs"),
    ("users:\n  - {name: ada}", 2, "users[0].email", "is missing: Address for commits", ""),
    (
        "users: [{name: ada, email: a@b.c, admin: 1}]",
        1,
        "users[0].admin",
        "must be true or false",
        "true, false",
    ),
    ("forge: gitea", 1, "forge", "none of what is allowed", "lite"),
    # names
    ("name: Dap", 1, "name", "is no DNS label", "a-z, 0-9 and -"),
    ("name: -dap", 1, "name", "is no DNS label", "no - at either end"),
    ("name: da_p", 1, "name", "is no DNS label", "a-z, 0-9 and -"),
    ("name: dáp", 1, "name", "is no DNS label", "a-z, 0-9 and -"),
    ("name: ''", 1, "name", "is no DNS label", "1 to 63"),
    (f"name: {LONG}", 1, "name", "is no DNS label", "1 to 63"),
    ("users: [{name: ad, email: a@b.c}]", 1, "users[0].name", "is no DNS label", "3 to 32"),
    (
        f"users: [{{name: {'a' * 33}, email: a@b.c}}]",
        1,
        "users[0].name",
        "is too long (33",
        "3 to 32",
    ),
    ("projects:\n  - {name: my project}", 2, "projects[0].name", "is no DNS label", "3 to 63"),
    ("hosts:\n  - {name: a.b}", 2, "hosts[0].name", "is no DNS label", ""),
    ('users: [{name: "ada\\n", email: a@b.c}]', 1, "users[0].name", "is no DNS label", ""),
    # duplicates
    (
        f"{USERS}  - {{name: ada, email: b@example.org}}",
        3,
        "users[1].name",
        "already the name of users[0].name on line 2",
        "",
    ),
    (
        f"{USERS}projects:\n  - {{name: ada}}",
        4,
        "projects[0].name",
        "already the name of users[0].name on line 2",
        "",
    ),
    (
        "projects:\n  - {name: one}\n  - {name: one}",
        3,
        "projects[1].name",
        "already the name of projects[0].name",
        "",
    ),
    (
        "hosts:\n  - {name: one}\n  - {name: one, address: b, roles: [runner]}",
        3,
        "hosts[1].name",
        "already the name of hosts[0].name",
        "",
    ),
    (
        "workspaces:\n"
        f"  - {{name: one, owner: admin, {SPACE}, ssh_port: 2201}}\n"
        f"  - {{name: one, owner: admin, {SPACE}, ssh_port: 2202}}\n",
        3,
        "workspaces[1].name",
        "already the name of workspaces[0].name",
        "",
    ),
    (
        "storage:\n  stores:\n"
        "    - {name: s, endpoint: 'http://a'}\n    - {name: s, endpoint: 'http://b'}",
        4,
        "storage.stores[1].name",
        "already the name of storage.stores[0].name",
        "",
    ),
    (
        f"{USERS}projects:\n  - {{name: one, members: [ada, ada]}}",
        4,
        "projects[0].members[1]",
        "already listed",
        "",
    ),
    # reserved names
    ("users: [{name: postgres, email: a@b.c}]", 1, "users[0].name", "is reserved", "any but"),
    (
        f"workspaces:\n  - {{name: localhost, owner: admin, {SPACE}, ssh_port: 2201}}",
        2,
        "workspaces[0].name",
        "is reserved",
        "any but",
    ),
    (
        "storage: {stores: [{name: builtin, endpoint: 'http://a'}]}",
        1,
        "storage.stores[0].name",
        "is reserved",
        "another name",
    ),
    # ports
    ("ports: {http: 0}", 1, "ports.http", "is no port", "1 to 65535"),
    ("ports: {ssh: 65536}", 1, "ports.ssh", "is no port", "1 to 65535"),
    ("ports: {http: 443}", 1, "ports.https", "already the port of ports.http", "such as 2201"),
    ("ports: {workspaces: 2222}", 1, "ports.workspaces", "the port of ports.ssh on line 1", "2201"),
    (
        f"workspaces:\n  - {{name: one, owner: admin, {SPACE}, ssh_port: 5432}}",
        2,
        "workspaces[0].ssh_port",
        "already the port of ports.postgres",
        "such as 2201",
    ),
    (
        "workspaces:\n"
        f"  - {{name: one, owner: admin, {SPACE}, ssh_port: 2201}}\n"
        f"  - {{name: two, owner: admin, {SPACE}, ssh_port: 2201}}\n",
        3,
        "workspaces[1].ssh_port",
        "already the port of workspaces[0].ssh_port on line 2",
        "such as 2202",
    ),
    # workspaces
    (
        f"workspaces:\n  - {{name: one, owner: admin, {SPACE}, host: loca}}",
        2,
        "workspaces[0].host",
        "is no host with the role runner",
        "local",
    ),
    (
        "hosts:\n  - {name: a, roles: [service]}\n  - {name: b, address: c, roles: [runner]}\n"
        f"workspaces:\n  - {{name: one, owner: admin, {SPACE}, host: a}}",
        5,
        "workspaces[0].host",
        "is no host with the role runner",
        "b",
    ),
    (
        f"workspaces:\n  - {{name: one, owner: admin, {SPACE}, idle_stop: 8}}",
        2,
        "workspaces[0].idle_stop",
        "must be text",
        "",
    ),
    (
        f"workspaces:\n  - {{name: one, owner: admin, {SPACE}, idle_stop: 8 hours}}",
        2,
        "workspaces[0].idle_stop",
        "is no duration",
        "90s, 30m, 8h, 2d",
    ),
    (
        f"workspaces:\n  - {{name: one, owner: admin, {SPACE}, idle_stop: 5s}}",
        2,
        "workspaces[0].idle_stop",
        "is too short",
        "10s or more",
    ),
    (
        f"workspaces:\n  - {{name: one, owner: admin, {SPACE}, volumes: [Data]}}",
        2,
        "workspaces[0].volumes[0]",
        "is no DNS label",
        "",
    ),
    (
        f"workspaces:\n  - {{name: one, owner: admin, {SPACE}, volumes: [data, data]}}",
        2,
        "workspaces[0].volumes[1]",
        "already listed",
        "",
    ),
    # gitops
    (
        "gitops: {drift: daily}\nforge: gitlab",
        1,
        "gitops.drift",
        "is no time as cron has it",
        "'0 5 * * *'",
    ),
    (
        "gitops:\n  apply: true\nhosts: [{name: a, address: 10.0.0.1}]",
        2,
        "gitops.apply",
        "forge lite has no merge requests, schedules or protected runners",
        "forge: gitlab",
    ),
    (
        "gitops:\n  drift: 0 5 * * *\nforge: gitlab",
        2,
        "gitops.drift",
        "a job can't reach hosts[0].address, which is localhost",
        "over SSH",
    ),
    # references
    (
        f"{USERS}  - {{name: bob, email: b@c.d}}\n"
        f"workspaces:\n  - name: one\n    owner: adda\n    {SPACE}\n    ssh_port: 2201",
        6,
        "workspaces[0].owner",
        "is no user",
        "ada (nearest)",
    ),
    (
        f"{USERS}projects:\n  - name: one\n    members:\n      - bob",
        6,
        "projects[0].members[0]",
        "is no user",
        "ada",
    ),
    (
        "storage:\n  default: mine\n  stores: [{name: a, endpoint: 'http://a'}]",
        2,
        "storage.default",
        "is no store",
        "builtin, a",
    ),
    # hosts
    ("hosts:\n  - {name: a, roles: [service, gpu]}", 2, "hosts[0].roles[1]", "none of", "runner"),
    ("hosts:\n  - {name: a, roles: []}", 2, "hosts[0].roles", "is empty", "one entry"),
    (
        "hosts:\n  - {name: a, roles: [service, runner, service]}",
        2,
        "hosts[0].roles[2]",
        "already listed",
        "",
    ),
    ("hosts:\n  - {name: a, roles: [runner]}", 1, "hosts", "no host with the role service", "one"),
    (
        "hosts:\n  - {name: a}\n  - {name: b, address: other}",
        3,
        "hosts[1].roles",
        "a second service host beside hosts[0]",
        "exactly one",
    ),
    ("hosts:\n  - {name: a, roles: [service]}", 1, "hosts", "no host with the role runner", ""),
    (
        "hosts:\n  - {name: a}\n  - {name: b, address: 127.0.0.1, roles: [runner]}",
        3,
        "hosts[1].address",
        "same machine as hosts[0].address",
        "",
    ),
    *(
        (
            f"hosts:\n  - {{name: a, address: '{bad}'}}",
            2,
            "hosts[0].address",
            "can't be",
            "DNS name",
        )
        for bad in (
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "10.0.0.256",
            "a b",
            "http://a",
        )
    ),
    ("hosts:\n  - {name: a, address: ''}", 2, "hosts[0].address", "can't be", "DNS name"),
    ("hosts:\n  - {name: a, address: root@a}", 2, "hosts[0].address", "can't be", "DNS name"),
    ("hosts:\n  - {name: a, slots: -1}", 2, "hosts[0].slots", "out of range", "0 or more"),
    ("hosts:\n  - {name: a, slots: 257}", 2, "hosts[0].slots", "out of range", "256 or less"),
    (
        "hosts:\n  - {name: a, directory: srv}",
        2,
        "hosts[0].directory",
        "is no directory",
        "absolute",
    ),
    ("hosts:\n  - {name: a, directory: '/a b'}", 2, "hosts[0].directory", "is no directory", ""),
    (
        "hosts:\n  - {name: a, address: b, key: keys/none}",
        2,
        "hosts[0].key",
        "there is no such file",
        "a file, from ",
    ),
    # hosts that reach each other
    *(
        (f"{SEVERAL}{more}", line, key, what, allowed)
        for more, line, key, what, allowed in (
            (
                "  - {name: r, address: r.example, roles: [runner]}",
                5,
                "hosts[1].listen",
                "is no address",
                "an IP",
            ),
            (
                "  - {name: r, address: 10.0.0.2, listen: 127.0.0.2, roles: [runner]}",
                5,
                "hosts[1].listen",
                "is no address",
                "an IP",
            ),
        )
    ),
    (
        f"domain: dap.test\nhosts:\n  - {{name: s, roles: [service]}}\n{RUNNER}",
        3,
        "hosts[0].listen",
        "is no address that other hosts reach it at",
        "an IP address",
    ),
    (
        f"address: 10.0.0.1\nhosts:\n  - {{name: s, roles: [service]}}\n{RUNNER}",
        1,
        "domain",
        "leads every host to itself",
        "dap.test",
    ),
    (
        "domain: dap.test\naddress: 10.0.0.1\nhosts:\n"
        f"  - {{name: s, roles: [service], listen: 10.0.0.9}}\n{RUNNER}",
        4,
        "hosts[0].listen",
        "is not what the platform's ports bind to (10.0.0.1)",
        "0.0.0.0",
    ),
    *(
        (
            f"hosts:\n  - {{name: a, {key}: {value}}}",
            2,
            f"hosts[0].{key}",
            "has no effect",
            "address",
        )
        for key, value in (("user", "ops"), ("port", 22), ("key", "~/k"), ("jump", "b"))
    ),
    *(
        (
            f"hosts:\n  - {{name: a, address: b, jump: {bad}}}",
            2,
            "hosts[0].jump",
            "is no jump host",
            "[account@]host[:port]",
        )
        for bad in ("a@b:0", "a@b:x", "A@b")
    ),
    (
        "hosts:\n  - {name: a, labels: [x, x]}",
        2,
        "hosts[0].labels[1]",
        "is already listed at hosts[0].labels[0]",
        "",
    ),
    # addresses
    *(
        (f"domain: {bad}", 1, "domain", "is no domain", "DNS labels")
        for bad in ("localhost", "a..b", "-a.b", "A.example", "a_b.c", "a.b.", "'*.a.b'", "'a b.c'")
    ),
    ("domain: 10.0.0.1", 1, "domain", "is no domain", "no address"),
    (f"domain: {'a.' * 100}org", 1, "domain", "is too long", "DNS labels"),
    *(
        (f"address: {bad}", 1, "address", "is no IP address", "127.0.0.1")
        for bad in ("localhost", "10.0.0.256", "1.2.3", "'10.0.0.1/24'", "''")
    ),
    ("address: 224.0.0.1", 1, "address", "is a multicast address", ""),
    *(
        (f"users: [{{name: ada, email: {bad}}}]", 1, "users[0].email", "no e-mail", "name@domain")
        for bad in ("ada", "ada@", "'@b.c'", "a@b", "a b@c.d", "a@b@c.d")
    ),
    *(
        (
            f"storage: {{stores: [{{name: a, endpoint: '{bad}'}}]}}",
            1,
            "storage.stores[0].endpoint",
            "is no URL",
            "https://",
        )
        for bad in (
            "s3.example.org",
            "ftp://a",
            "http://",
            "http://a:x",
            "http://a/path",
            "http://a:0",
        )
    ),
    ("packages: {pip_index: pypi}", 1, "packages.pip_index", "is no URL", "https://"),
    ("packages: {no_proxy: ' a'}", 1, "packages.no_proxy", "no plain line", ""),
    # amounts
    *(
        (f"resources: {{a: {{memory: {bad}}}}}", 1, "resources.a.memory", "no amount", "512m or 4g")
        for bad in ("4G", "4gb", "1.5g", "'4'", "-1g", "0m", "g", "''")
    ),
    ("resources: {a: {memory: 4}}", 1, "resources.a.memory", "must be text", ""),
    ("resources: {a: {memory: 1k}}", 1, "resources.a.memory", "too little memory", "16m"),
    ("resources: {a: {cpus: 0}}", 1, "resources.a.cpus", "no number of CPUs", "0.05 to 1024"),
    ("resources: {a: {cpus: .nan}}", 1, "resources.a.cpus", "no number of CPUs", ""),
    ("resources: {a: {cpus: two}}", 1, "resources.a.cpus", "must be a number", "a number"),
    ("images: {base: 'Debian trixie'}", 1, "images.base", "is no image reference", "name[:tag]"),
    ("images: {overrides: {minio: ''}}", 1, "images.overrides.minio", "no image reference", ""),
    # files
    ("tls: {certificate: c.pem}", 1, "tls", "has a certificate but no key", "both"),
    ("tls: {key: k.pem}", 1, "tls", "has a key but no certificate", "both"),
    ("packages: {extra_ca: [no.pem]}", 1, "packages.extra_ca[0]", "no such file", ""),
    # clusters
    ("target: podman", 1, "target", "none of what is allowed", "docker, kubernetes"),
    ("cluster: {context: here}", 1, "cluster", "no effect: `target` is docker", "kubernetes"),
    ("domain: dap.test\nforge: gitlab\ntarget: kubernetes", 3, "target", "`cluster`", "context"),
    (f"{CLUSTER}cluster: {{}}", 4, "cluster.context", "is missing: Context of", ""),
    (f"{CLUSTER}cluster: {{context: ''}}", 4, "cluster.context", "is empty", "some text"),
    (f"{ON}hosts: [{{name: a}}]", 5, "hosts", "the cluster has nodes of its own", "no such key"),
    (f"{ON}ports: {{hosts: 2443}}", 5, "ports.hosts", "a cluster is one host", "no such key"),
    (f"{ON}ports: {{engines: 1}}", 5, "ports.engines", "no engine of Docker", "no such key"),
    (
        f"{ON.removeprefix(TEST)}domain: dap.localhost",
        4,
        "domain",
        "their own machine",
        "such as dap.test",
    ),
    (f"{ON}address: 127.0.0.1", 5, "address", "can't be where a cluster", "load balancer"),
    (f"{ON}address: 0.0.0.0", 5, "address", "can't be where a cluster", "load balancer"),
    (
        "domain: dap.test\ntarget: kubernetes\ncluster: {context: here}",
        1,
        "forge",
        "by Docker's engine, which a cluster has not",
        "lite with `cluster.slots: 0`",
    ),
    (
        f"{ON}{USERS}workspaces:\n  - {{name: w, owner: ada, {SPACE}, host: a}}",
        8,
        "workspaces[0].host",
        "the cluster places workspaces",
        "no such key",
    ),
    (
        f"{ON}{USERS}workspaces:\n  - {{name: w, owner: ada, {SPACE}, idle_stop: 8h}}",
        8,
        "workspaces[0].idle_stop",
        "starts anew what has stopped",
        "no such key",
    ),
    (
        f"{ON}{USERS}workspaces:\n  - {{name: w, owner: ada, {SPACE}, gpus: all}}",
        8,
        "workspaces[0].gpus",
        "chooses GPUs by itself",
        "a number of GPUs",
    ),
    (
        f"{CLUSTER}cluster: {{context: a, service: NodePort}}\n"
        "ports: {http: 30080, https: 30443, ssh: 30022, postgres: 29999, workspaces: 32767}\n",
        5,
        "ports.postgres",
        "is no port of a NodePort service",
        "30000 to 32767",
    ),
    (f"{CLUSTER}cluster: {{context: a, size: 10}}", 4, "cluster.size", "must be text", "text"),
    (f"{CLUSTER}cluster: {{context: a, size: 10G}}", 4, "cluster.size", "no size", "10g"),
    (
        f"{CLUSTER}cluster: {{context: a, storage_class: Fast}}",
        4,
        "cluster.storage_class",
        "is no name of an object",
        "fast",
    ),
    (
        f"{CLUSTER}cluster: {{context: a, registry: {{user: me}}}}",
        4,
        "cluster.registry.user",
        "has no effect without an address",
        "address",
    ),
    (
        f"{CLUSTER}cluster: {{context: a, registry: {{address: 'https://r'}}}}",
        4,
        "cluster.registry.address",
        "is no registry",
        "registry.example.org/dap",
    ),
    (
        f"{CLUSTER}cluster: {{context: a, registry: {{push_user: me}}}}",
        4,
        "cluster.registry.push_user",
        "has no effect without an address",
        "address",
    ),
    (
        f"{CLUSTER}cluster: {{context: a, registry: {{address: r, ca: gone.pem}}}}",
        4,
        "cluster.registry.ca",
        "there is no such file",
        "a file",
    ),
    (
        f"{CLUSTER}cluster: {{context: a, ingress_class: nginx}}",
        4,
        "cluster.ingress_class",
        "passes TLS on unopened",
        "doc/kubernetes.md",
    ),
    (
        f"{CLUSTER}cluster: {{context: a, ingress_annotations: {{a: b}}}}",
        4,
        "cluster.ingress_annotations",
        "have no effect without a class",
        "ingress_class",
    ),
    (
        f"{CLUSTER}cluster: {{context: a, service: NodePort, ingress_class: n, "
        "ingress_annotations: {a: b}}\n"
        "ports: {ssh: 30022, postgres: 5432, workspaces: 30200}",
        5,
        "ports.postgres",
        "is no port of a NodePort service",
        "30000 to 32767",
    ),
    (f"{CLUSTER}cluster: {{context: a, service: None}}", 4, "cluster.service", "none of", "Load"),
    (f"{ON}gitops: {{apply: true}}", 5, "gitops.apply", "a job has no Pulumi", "plan does without"),
    # clusters beside hosts
    (f"{LITE}clusters: [{{name: gpu, context: a}}]", 4, "clusters", "forge lite", "gitlab"),
    (f"{BESIDE}clusters: [{{context: a}}]", 5, "clusters[0].name", "is missing", ""),
    (f"{BESIDE}clusters: [{{name: gpu}}]", 5, "clusters[0].context", "is missing: Context", ""),
    (
        f"{BESIDE}clusters: [{{name: gpu, context: a, kontext: b}}]",
        5,
        "clusters[0].kontext",
        "unknown",
        "cont",
    ),
    (f"{BESIDE}clusters: [{GPU}, slots: 0}}]", 5, "clusters[0].slots", "out of range", "1 or more"),
    (f"{BESIDE}clusters: [{GPU}, gpus: all}}]", 5, "clusters[0].gpus", "a whole number", "a whole"),
    (f"{BESIDE}clusters: [{GPU}, gpus: 65}}]", 5, "clusters[0].gpus", "out of range", "64 or less"),
    (f"{BESIDE}clusters: [{GPU}, job: {{memory: 4}}}}]", 5, "clusters[0].job.memory", "text", ""),
    (f"{BESIDE}clusters: [{GPU}, quota: {{cpu: 4}}}}]", 5, "clusters[0].quota.cpu", "unknown", ""),
    (
        f"{BESIDE}clusters: [{GPU}, labels: [a, b, a]}}]",
        5,
        "clusters[0].labels[2]",
        "is already listed at clusters[0].labels[0]",
        "",
    ),
    (
        f"{BESIDE}clusters: [{GPU}, node_selector: {{'a b': c}}}}]",
        5,
        "clusters[0].node_selector.a b",
        "is no key of a node's labels",
        "a word",
    ),
    (
        f"{BESIDE}clusters: [{GPU}, node_selector: {{disk: a/b}}}}]",
        5,
        "clusters[0].node_selector.disk",
        "is no value of a node's label",
        "a word",
    ),
    (
        f"{BESIDE}clusters: [{GPU}, tolerations: [{{key: a, effect: No}}]}}]",
        5,
        "clusters[0].tolerations[0].effect",
        "none of what is allowed",
        "NoSchedule, PreferNoSchedule, NoExecute",
    ),
    (
        f"{BESIDE}clusters: [{GPU}}}, {GPU}}}]",
        5,
        "clusters[1].name",
        "already the name of",
        "other",
    ),
    (
        f"{BESIDE}clusters: [{{name: s, context: a}}]",
        5,
        "clusters[0].name",
        "is already the name of hosts[0] on line 4",
        "another name",
    ),
    (
        f"{BESIDE}clusters: [{GPU}}}, {{name: cpu, context: a, namespace: dap-gpu}}]",
        5,
        "clusters[1].namespace",
        "its namespace dap-gpu in the context a is already that of clusters[0] on line 5",
        "another namespace",
    ),
    (
        f"{BESIDE}clusters: [{{name: {'n' * 60}, context: a}}]",
        5,
        "clusters[0].name",
        "which has 64 characters",
        "a shorter name, or a namespace; 63 at most",
    ),
    (
        f"{CLUSTER}cluster: {{context: a, namespace: {'n' * 59}}}",
        4,
        "cluster.namespace",
        "makes the namespace of jobs 64 characters long",
        "58 characters at most",
    ),
    (f"{ON}name: {'n' * 59}", 5, "name", "makes the namespace of jobs 64", "58 characters"),
    (
        f"{BESIDE}clusters: [{GPU}, platform_address: 127.0.0.1}}]",
        5,
        "clusters[0].platform_address",
        "leads each pod to itself",
        "no such key",
    ),
    (
        f"{BESIDE.replace(TEST, '')}clusters: [{GPU}}}]\ndomain: dap.localhost",
        5,
        "domain",
        "leads each pod of `clusters` to itself",
        "such as dap.test",
    ),
    (
        f"{BESIDE.replace('10.0.0.1', '127.0.0.1')}clusters: [{GPU}}}]",
        2,
        "address",
        "`clusters` reach the platform from outside",
        "0.0.0.0",
    ),
    (
        f"{BESIDE.replace('{name: s', '{name: s, address: 10.0.0.1')}clusters: [{GPU}}}]\n"
        "gitops: {drift: '0 5 * * *'}",
        6,
        "gitops.drift",
        "a job has no Pulumi",
        "plan does without",
    ),
    (f"{ON}clusters: [{{name: cluster, context: a}}]", 5, "clusters[0].name", "own cluster", ""),
    (
        f"{ON}clusters: [{{name: gpu, context: here, namespace: dap-jobs}}]",
        5,
        "clusters[0].namespace",
        "its namespace dap-jobs in the context here is the platform's own",
        "another namespace",
    ),
    (
        f"{USERS}workspaces:\n  - {{name: w, owner: ada, {SPACE}, node_selector: {{a: b}}}}",
        4,
        "workspaces[0].node_selector",
        "a host has no nodes",
        "target: kubernetes",
    ),
    (
        f"{USERS}workspaces:\n  - {{name: w, owner: ada, {SPACE}, tolerations: [{{key: a}}]}}",
        4,
        "workspaces[0].tolerations",
        "a host has no nodes",
        "target: kubernetes",
    ),
]


@pytest.mark.parametrize(("text", "line", "key", "what", "allowed"), CASES)
def test_refused(refused: Refused, text: str, line: int, key: str, what: str, allowed: str) -> None:
    problems = refused(text)
    assert len(problems) == 1, problems
    message = str(problems[0])
    assert message.startswith(f"platform.yml:{line}: {key}: " if key else f"platform.yml:{line}: ")
    assert what in problems[0].what
    assert allowed in problems[0].allowed


def test_all_problems_are_told_at_once_in_the_order_of_lines(refused: Refused) -> None:
    problems = refused(
        "domian: x\n"
        "ports: {http: 80, https: 80}\n"
        "users:\n  - {name: Ada, email: no}\n"
        f"workspaces:\n  - {{name: one, owner: bob, {SPACE}, ssh_port: 0}}\n"
        "tls: {certificate: none.pem, key: none.key}\n"
    )
    keys = ["domian", "ports.https", "users[0].name", "users[0].email", "workspaces[0].owner"]
    lines = [str(problem).split(": ")[:2] for problem in problems]
    assert [key for _, key in lines[:2]] == keys[:2]
    assert {key for _, key in lines} == {
        *keys,
        "workspaces[0].ssh_port",
        "tls.certificate",
        "tls.key",
    }
    assert [problem.line for problem in problems] == sorted(problem.line for problem in problems)


def test_a_renamed_key_names_the_new_one(write: Callable[[str], Path]) -> None:
    text = "users:\n  - name: ada\n    mail: a@b.c\n    email: a@b.c\n"
    with pytest.raises(InputError) as caught:
        load(write(text), renamed={"users.*.mail": "email"})
    assert caught.value.message == (
        "platform.yml:3: users[0].mail: is now called email; allowed: email"
    )


def test_no_value_under_an_unknown_key_is_shown(refused: Refused) -> None:
    assert "hunter2" not in str(refused("password: hunter2")[0])


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file") as caught:
        load(tmp_path / "platform.yml")
    assert caught.value.status == 2


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "platform.yml").write_bytes(b"name: \xff\n")
    with pytest.raises(InputError, match=r"no UTF-8 text \(byte 6\)"):
        load(tmp_path / "platform.yml")


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        load(tmp_path)


@pytest.mark.parametrize("hosts", ["[{name: 7}]", "[7]", "7", "{}"])
def test_a_host_that_is_wrong_otherwise_is_told_and_no_more(refused: Refused, hosts: str) -> None:
    assert refused(f"hosts: {hosts}")

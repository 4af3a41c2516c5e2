"""Row 15: what an outsider reaches, and what one of the platform's users reaches of another's."""

import http.client
import itertools
import json
import os
import socket
import ssl
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from dap.secrets import open_vault

from demo.access import SYSTEM_CA, Access, await_result
from demo.project import ADMIN, REPOSITORY
from tests.demo import test_access
from tests.demo.conftest import Platform
from tests.demo.faults.record import keep
from tests.unit.engine.modules import load

EXPECTED = (
    "only the published ports open; 401/403/400; sign-up off; no secret in the repository, logs or "
    "`docker inspect`"
)
# 501: an API of the console that this server has not.
REFUSED = {400, 401, 403, 404, 405, 421, 501}
OF_MACHINES = "root:x:0:"  # the beginning of /etc/passwd

# What an unknown caller tries at each route, beside the path that the route names itself.
CALLS: dict[str, list[tuple[str, str]]] = {
    "@": [("GET", "/"), ("GET", "/index.html"), ("GET", "/health/mlflow"), ("POST", "/")],
    "git": [
        ("GET", "/"), ("GET", "/analysis"), ("GET", "/analysis/plain/platform.yml"),
        ("GET", "/analysis/info/refs?service=git-upload-pack"),
        ("POST", "/analysis/git-upload-pack"), ("GET", "/-/pipelines/analysis"),
    ],
    "mlflow": [
        ("GET", "/"), ("GET", "/api/2.0/mlflow/experiments/search?max_results=5"),
        ("POST", "/api/2.0/mlflow/experiments/search"), ("POST", "/api/2.0/mlflow/runs/create"),
        ("POST", "/ajax-api/2.0/mlflow/runs/search"), ("POST", "/graphql"),
        ("GET", "/get-artifact?path=a&run_uuid=b"), ("GET", "/signup"),
        ("GET", "/model-versions/get-artifact?name=a&version=1&path=b"),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/a"),
        ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/0/a"),
        ("POST", "/api/2.0/mlflow/users/create"), ("POST", "/api/2.0/mlflow/users/create-ui"),
        ("GET", "/api/2.0/mlflow/users/list"), ("GET", "/api/3.0/mlflow/roles/list"),
        ("POST", "/api/3.0/mlflow/traces/search"), ("POST", "/v1/traces"), ("GET", "/metrics"),
        ("GET", "/docs"), ("GET", "/openapi.json"),
    ],
    "s3": [
        ("GET", "/"), ("GET", "/analysis?list-type=2"), ("GET", "/mlflow?list-type=2"),
        ("PUT", "/analysis/a"), ("DELETE", "/analysis"), ("PUT", "/made-by-a-stranger"),
        ("GET", "/minio/admin/v3/info"), ("GET", "/minio/v2/metrics/cluster"),
        ("POST", "/?Action=AssumeRole&Version=2011-06-15"),
    ],
    "minio": [
        ("GET", "/api/v1/session"), ("GET", "/api/v1/buckets"), ("POST", "/api/v1/buckets"),
        ("POST", "/api/v1/login"), ("GET", "/api/v1/users"), ("GET", "/api/v1/admin/info"),
    ],
    "registry": [
        ("GET", "/v2/"), ("GET", "/v2/_catalog"),
        ("GET", "/v2/environments/base/manifests/latest"),
        ("POST", "/v2/environments/base/blobs/uploads/"), ("DELETE", "/v2/a/manifests/b"),
    ],
}  # fmt: skip
# A workspace's page, whatever it is called.
WORKSPACE = [
    ("GET", "/api/kernels"), ("GET", "/api/contents"), ("POST", "/api/terminals"),
    ("POST", "/api/kernels"), ("GET", "/files/.ssh"), ("PUT", "/api/contents/a"),
]  # fmt: skip
# What the console asks for before it asks who calls.
BODY = json.dumps({"name": "made-by-a-stranger", "accessKey": "a", "secretKey": "b"}).encode()
PRETENDED = dict.fromkeys(("X-Forwarded-User", "Remote-User", "X-Remote-User"), ADMIN)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str


def raw(
    platform: Platform,
    host: str,
    target: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    user: Access | None = None,
    body: bytes | None = None,
) -> Answer:
    """Send a request whose path no library has made straight."""
    name = f"{host}.{platform.domain}" if host else platform.domain
    given = dict(headers or {})
    if user is not None:
        login = b64encode(f"{user.user}:{user.password}".encode()).decode()
        given["Authorization"] = f"Basic {login}"
    context = ssl.create_default_context(cafile=str(SYSTEM_CA))
    connection = http.client.HTTPSConnection(name, timeout=30, context=context)
    try:
        connection.request(method, target, body, given)
        answer = connection.getresponse()
        text = answer.read(1_000_000).decode(errors="replace")
        return Answer(answer.status, dict(answer.getheaders()), text)
    finally:
        connection.close()


def name_of(platform: Platform, route: dict[str, Any]) -> str:
    return str(route["hostname"]).removesuffix(platform.domain).rstrip(".")


def is_open(platform: Platform, port: int) -> bool:
    with socket.socket() as attempt:
        attempt.settimeout(1)
        return attempt.connect_ex((platform.project.address, port)) == 0


def stays_open(platform: Platform, port: int) -> bool:
    try:
        await_result("the port to close", lambda: not is_open(platform, port) or None, 60)
    except TimeoutError:
        return True
    return False


def is_of_another(platform: Platform, port: int) -> bool:
    """Tell whether a program of this machine listens there, and neither engine nor container."""
    address = platform.project.address
    addresses = {address, f"::ffff:{address}", "0.0.0.0", "::"}
    listening = load("dap_requirements", "module_utils").listeners().get(port, ())
    held = [inode for at, inode in listening if at in addresses]
    # Where nobody listens, the packet filter leads into a container.
    return bool(held) and not any(is_the_engines(inode) for inode in held)


def is_the_engines(inode: str) -> bool:
    """Tell whether a socket is held by Docker's engine, or in a container."""
    here = os.readlink("/proc/self/ns/pid")
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) != f"socket:[{inode}]":
                continue
            process = link.parent.parent
            name = (process / "comm").read_text().strip()
            if name.startswith("docker") or os.readlink(process / "ns" / "pid") != here:
                return True
        except OSError:
            continue  # ended since
    # Containers and engine are seen by root; what is not is of outside this machine's view.
    return os.geteuid() != 0


def test_only_the_published_ports_are_open(platform: Platform) -> None:
    ports = platform.plan["settings"]["ports"]
    published = {ports["http"], ports["https"]}
    published |= {each["listen"] for each in platform.plan["streams"]}
    found = {port for port in range(1, 65536) if is_open(platform, port)}
    assert published <= found
    # What this machine's own programs listen with is not the platform's, on any of its addresses.
    others = {port for port in found if is_of_another(platform, port)}
    # Nor is what other programs listened with for a moment.
    lasting = {port for port in found - published - others if stays_open(platform, port)}
    assert lasting == set()
    keep(15, "every TCP port of the address", EXPECTED, tried=65535, open=sorted(published))


def test_calls_without_a_login(platform: Platform) -> None:
    calls = refused = 0
    let_in: list[str] = []
    for route in platform.plan["routes"]:
        host = name_of(platform, route)
        known = CALLS.get(route["name"], WORKSPACE)
        for method, target in [("GET", route["refuses"]), *known]:
            for headers in ({}, PRETENDED):
                body = BODY if method in {"POST", "PUT"} else None
                kind = {"Content-Type": "application/json"} if body else {}
                answer = raw(
                    platform, host, target, method=method, headers=headers | kind, body=body
                )
                calls += 1
                to_login = answer.status == 302 and "/login?" in answer.headers["Location"]
                if answer.status not in REFUSED and not to_login:
                    let_in.append(f"{method} {host}{target}: {answer.status} {answer.text[:200]}")
                refused += answer.status in {401, 403}
    assert let_in == []
    keep(15, "calls of every route's API by nobody, and by one who says he is the admin", EXPECTED,
         calls=calls, let_in=0, answered_401_or_403=refused)  # fmt: skip


def test_names_that_are_not_the_platforms(platform: Platform) -> None:
    strange = ["evil.example.org", f"evil.example.org:{443}", platform.project.address, "localhost",
               f"{platform.domain}.evil.example.org", f"x.{platform.domain}"]  # fmt: skip
    statuses = set()
    for route in platform.plan["routes"]:
        for host in strange:
            answer = raw(platform, name_of(platform, route), "/", headers={"Host": host})
            assert answer.status in REFUSED, f"{route['name']} as {host}: {answer.status}"
            statuses.add(answer.status)
        answer = raw(
            platform, name_of(platform, route), route["refuses"],
            headers={"X-Forwarded-Host": "evil.example.org", "Forwarded": "host=evil.example.org"},
        )  # fmt: skip
        assert "evil.example.org" not in str(answer.headers) + answer.text
    for host in strange:
        plain = http.client.HTTPConnection(platform.project.address, 80, timeout=10)
        plain.request("GET", "/", headers={"Host": host})
        answer_status = plain.getresponse().status
        plain.close()
        assert answer_status in REFUSED, f"http as {host}"
    context = ssl.create_default_context()
    with (
        socket.create_connection((platform.project.address, 443), timeout=10) as connection,
        pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"),
    ):
        context.wrap_socket(connection, server_hostname="evil.example.org")
    asked = len(strange) * (len(platform.plan["routes"]) + 1)
    keep(15, "a Host header that is not the platform's", EXPECTED, asked=asked,
         answers=sorted(statuses))  # fmt: skip


def test_paths_that_lead_out_of_what_is_served(platform: Platform) -> None:
    ups = ["../" * 8, "..%2f" * 8, "%2e%2e/" * 8, "%252e%252e%252f" * 8, "..%5c" * 8, "....//" * 8,
           "#/" + "../" * 8, "%23/" + "../" * 8, ";/" + "../" * 8, "%00/" + "../" * 8]  # fmt: skip
    state = platform.admin.pipeline(REPOSITORY, platform.outcome.number).request.path_url
    assert state
    starts = {
        "": ["/"],
        "git": ["/", f"/{REPOSITORY}/plain/", state.rpartition("/")[0] + "/", "/-/pipelines/"],
        "mlflow": ["/static-files/", "/", "/api/2.0/mlflow-artifacts/artifacts/"],
        "s3": [f"/{REPOSITORY}/"],
        "minio": ["/static/", "/"],
        "registry": ["/v2/"],
    }
    asked = 0
    for host, places in starts.items():
        for start, up in itertools.product(places, ups):
            for file in ("etc/passwd", "run/secrets/tls-key"):
                answer = raw(platform, host, f"{start}{up}{file}", user=platform.admin)
                asked += 1
                assert OF_MACHINES not in answer.text, f"{host}{start}{up}{file}"
                assert "PRIVATE KEY" not in answer.text, f"{host}{start}{up}{file}"
    keep(15, "paths with `../`, `#` and their encodings at each route, by the admin", EXPECTED,
         asked=asked, files_of_the_machine=0)  # fmt: skip


class Tenants:
    """A run of the admin's own with a file, and the account of a project that is to see neither."""

    TEXT = "this is nobody else's business"

    def __init__(self, platform: Platform) -> None:
        self.platform, self.owner = platform, platform.admin
        vault = open_vault(platform.project.path, platform.name)
        password = vault.get(f"projects/{REPOSITORY}/password")
        self.other = Access(platform.domain, REPOSITORY, password)
        self.made: list[str] = []
        self.experiment = self.create(self.owner, "")
        self.run = self.new_run(self.owner, self.experiment)
        found = self.owner.mlflow(f"experiments/get-by-name?experiment_name={REPOSITORY}")
        self.own_experiment = found["experiment"]["experiment_id"]
        self.own_run = self.new_run(self.other, self.own_experiment)
        for user, place in ((self.owner, self.place), (self.other, self.own_place)):
            answer = self.call("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{place}/secret.txt",
                               user, self.TEXT if user is self.owner else "mine")  # fmt: skip
            assert answer.status == 200, answer.text

    @property
    def place(self) -> str:
        return f"{self.experiment}/{self.run}/artifacts"

    @property
    def own_place(self) -> str:
        return f"{self.own_experiment}/{self.own_run}/artifacts"

    def call(self, method: str, target: str, user: Access, body: object = None) -> Answer:
        data = body if isinstance(body, str) or body is None else json.dumps(body)
        kind = {} if isinstance(body, str) or body is None else {"Content-Type": "application/json"}
        sent = None if data is None else data.encode()
        return raw(
            self.platform, "mlflow", target, method=method, user=user, headers=kind, body=sent
        )

    def create(self, user: Access, location: str) -> str:
        """Create an experiment; its id, or nothing if that is refused."""
        body = {"name": f"faults-{len(self.made)}-{self.platform.outcome.commit[:8]}"}
        body |= {"name": f"{body['name']}-{id(self)}"}
        if location:
            body["artifact_location"] = location
        answer = self.call("POST", "/api/2.0/mlflow/experiments/create", user, body)
        if answer.status != 200:
            assert answer.status in REFUSED, answer.text
            return ""
        self.made.append(str(json.loads(answer.text)["experiment_id"]))
        return self.made[-1]

    def new_run(self, user: Access, experiment: str) -> str:
        made = user.mlflow("runs/create", experiment_id=experiment)
        return str(made["run"]["info"]["run_id"])

    def remove(self) -> None:
        self.owner.mlflow("runs/delete", run_id=self.own_run)
        for experiment in self.made:
            self.owner.mlflow("experiments/delete", experiment_id=experiment)


def test_artifacts_of_another_are_out_of_reach(platform: Platform) -> None:
    tenants = Tenants(platform)
    asked = 0
    try:
        for method, target, body in attempts(tenants):
            answer = tenants.call(method, target, tenants.other, body)
            asked += 1
            what = f"{method} {target}: {answer.status} {answer.text[:200]}"
            assert tenants.TEXT not in answer.text, what
            assert tenants.run not in answer.text or answer.status in REFUSED, what
            if method in {"PUT", "DELETE"}:
                assert answer.status >= 400, what
        for location in locations(tenants):
            asked += 1
            experiment = tenants.create(tenants.other, location)
            if experiment:
                asked += look_there(tenants, experiment, location)
        asked += register(tenants)
        mine = tenants.call("GET", f"/get-artifact?path=secret.txt&run_uuid={tenants.run}",
                            tenants.owner)  # fmt: skip
        assert (mine.status, mine.text) == (200, tenants.TEXT)
    finally:
        tenants.remove()
    keep(15, "artifacts of another's run in MLflow: its id, `../`, `#`, artifact locations and "
         "model sources of one's own choice", EXPECTED, asked=asked, read=0, written=0)  # fmt: skip


def attempts(tenants: Tenants) -> list[tuple[str, str, object]]:
    """Calls by the project's account that aim at the admin's run."""
    run, file = tenants.run, f"{tenants.place}/secret.txt"
    artifacts = "/api/2.0/mlflow-artifacts/artifacts"
    ups = [
        f"../../../{file}",
        f"x/../../../../{file}",
        f"#/../../../../{file}",
        f"./../../../{file}",
    ]
    ups += [quote(up, safe="") for up in ups] + [quote(quote(up, safe=""), safe="") for up in ups]
    ups += [f"..\\..\\..\\{file}", f"/../../../{file}", f"file:///{file}", f"/{file}"]
    calls: list[tuple[str, str, object]] = [
        ("GET", f"/get-artifact?path=secret.txt&run_uuid={run}", None),
        ("GET", f"/get-artifact?path=secret.txt&run_uuid={tenants.own_run}&run_id={run}", None),
        ("GET", f"/get-artifact?path=secret.txt&run_id={tenants.own_run}&run_id={run}", None),
        ("GET", f"/ajax-api/2.0/mlflow/get-artifact?path=secret.txt&run_uuid={run}", None),
        ("GET", f"/api/2.0/mlflow/artifacts/list?run_id={run}", None),
        ("GET", f"/ajax-api/2.0/mlflow/artifacts/list?run_id={run}", None),
        ("GET", f"/api/2.0/mlflow/runs/get?run_id={run}", None),
        ("GET", f"/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=a", None),
        ("POST", "/api/2.0/mlflow/runs/search", {"experiment_ids": [tenants.experiment]}),
        ("POST", "/api/2.0/mlflow/runs/update", {"run_id": run, "status": "FAILED"}),
        ("POST", "/api/2.0/mlflow/runs/delete", {"run_id": run}),
        ("GET", f"/api/2.0/mlflow/experiments/get?experiment_id={tenants.experiment}", None),
        ("GET", f"{artifacts}?path={tenants.place}", None),
        ("GET", f"{artifacts}?path={tenants.own_place}/../../../{tenants.place}", None),
        (
            "GET",
            f"{artifacts}?path={quote(tenants.own_place + '/../../../' + tenants.place)}",
            None,
        ),
        ("GET", f"{artifacts}/{file}", None),
        ("PUT", f"{artifacts}/{file}", "changed"),
        ("DELETE", f"{artifacts}/{file}", None),
    ]
    for up in ups:
        calls += [
            ("GET", f"/get-artifact?path={up}&run_uuid={tenants.own_run}", None),
            ("GET", f"/api/2.0/mlflow/artifacts/list?run_id={tenants.own_run}&path={up}", None),
            ("GET", f"{artifacts}/{tenants.own_place}/{up}", None),
            ("PUT", f"{artifacts}/{tenants.own_place}/{up}", "changed"),
            ("DELETE", f"{artifacts}/{tenants.own_place}/{up}", None),
        ]
    return calls


def locations(tenants: Tenants) -> list[str]:
    """Artifact locations of one's own choice that lead to what is not one's own."""
    return [
        "/run/secrets", "file:///run/secrets", "file:///", "file://localhost/run/secrets",
        "mlflow-artifacts:/#/../../../run/secrets", "http://localhost#/../../../../run/secrets",
        f"s3://mlflow/{tenants.experiment}", f"s3://mlflow/{tenants.place}",
        f"mlflow-artifacts:/{tenants.experiment}", f"mlflow-artifacts:/{tenants.place}",
        f"mlflow-artifacts:/{tenants.own_experiment}/../{tenants.experiment}",
        f"mlflow-artifacts:/{tenants.place}?a=", f"s3://mlflow/{tenants.place}/secret.txt?a=",
        "file:///run/secrets/pgpass?a=", "http://127.0.0.1:5000/", "ftp://minio/", "runs:/x",
    ]  # fmt: skip


def look_there(tenants: Tenants, experiment: str, location: str) -> int:
    """Look for what is not one's own in an experiment with that location; how many calls."""
    run = tenants.new_run(tenants.other, experiment)
    paths = ["", "secret.txt", "pgpass", "basic_auth.ini", "run/secrets/pgpass", "etc/passwd",
             f"{tenants.place}/secret.txt", f"{tenants.run}/artifacts/secret.txt"]  # fmt: skip
    secrets = tenants.platform.secrets()
    for path in paths:
        for target in (
            f"/get-artifact?path={quote(path)}&run_uuid={run}",
            f"/api/2.0/mlflow/artifacts/list?run_id={run}&path={quote(path)}",
        ):
            answer = tenants.call("GET", target, tenants.other)
            what = f"{location}: {target}: {answer.status}"
            assert tenants.TEXT not in answer.text, what
            assert OF_MACHINES not in answer.text, what
            assert not [secret for secret in secrets if secret in answer.text], what
    return 2 * len(paths)


def register(tenants: Tenants) -> int:
    """Register models whose source is not one's own, and read them; how many calls."""
    name = f"faults-{id(tenants)}"
    made = tenants.call(
        "POST", "/api/2.0/mlflow/registered-models/create", tenants.other, {"name": name}
    )
    assert made.status == 200, made.text
    sources = [
        f"mlflow-artifacts:/{tenants.place}", f"s3://mlflow/{tenants.place}",
        f"runs:/{tenants.run}/", f"runs:/{tenants.run}/secret.txt", "file:///run/secrets",
        "/run/secrets", f"mlflow-artifacts:/{tenants.own_place}/../../../{tenants.place}",
        f"mlflow-artifacts:/{tenants.own_place}/%2e%2e/%2e%2e/%2e%2e/{tenants.place}",
        f"mlflow-artifacts:/{tenants.own_place}#/../../../{tenants.place}",
    ]  # fmt: skip
    calls = 1
    try:
        for source, run in itertools.product(sources, ("", tenants.run, tenants.own_run)):
            body = {"name": name, "source": source} | ({"run_id": run} if run else {})
            answer = tenants.call(
                "POST", "/api/2.0/mlflow/model-versions/create", tenants.other, body
            )
            calls += 1
            if answer.status != 200:
                assert answer.status in REFUSED, answer.text
                continue
            version = json.loads(answer.text)["model_version"]["version"]
            for path in ("secret.txt", "pgpass"):
                read = tenants.call(
                    "GET",
                    f"/model-versions/get-artifact?name={name}&version={version}&path={path}",
                    tenants.other,
                )
                calls += 1
                what = f"{source} of run {run}: {read.status} {read.text[:200]}"
                assert tenants.TEXT not in read.text, what
                assert read.status != 200, what
    finally:
        tenants.owner.request(
            "DELETE", "mlflow", "/api/2.0/mlflow/registered-models/delete", json={"name": name}
        )
    return calls


def test_nobody_signs_up(platform: Platform) -> None:
    vault = open_vault(platform.project.path, platform.name)
    project = Access(platform.domain, REPOSITORY, vault.get(f"projects/{REPOSITORY}/password"))
    account = {"username": "stranger", "password": "a-long-enough-password"}
    before = platform.admin.mlflow("users/list")
    for who in (platform.anonymous, project):
        for version in ("api", "ajax-api"):
            path = f"/{version}/2.0/mlflow/users/create"
            answer = who.request("POST", "mlflow", path, json=account)
            assert answer.status_code in {401, 403, 404}, f"{who.user}: {answer.text}"
        answer = who.request("POST", "mlflow", "/api/2.0/mlflow/users/create-ui", data=account)
        assert answer.status_code in {401, 403, 404}, f"{who.user}: {answer.text}"
        answer = who.request("GET", "mlflow", "/signup")
        assert answer.status_code in {401, 403}, f"{who.user}: {answer.status_code}"
        # Nor does one make oneself an administrator.
        answer = who.request(
            "PATCH", "mlflow", "/api/2.0/mlflow/users/update-admin",
            json={"username": REPOSITORY, "is_admin": True},
        )  # fmt: skip
        assert answer.status_code in {401, 403}, f"{who.user}: {answer.text}"
    assert platform.admin.mlflow("users/list") == before
    keep(15, "sign-up by nobody and by a project's account", EXPECTED, accounts_made=0)


def test_no_secret_was_shown_by_all_these_faults(platform: Platform) -> None:
    test_access.test_no_secret_in_inspect_logs_or_the_repository(platform)
    keep(15, "secrets searched for after all these faults: `docker inspect`, logs, git history, "
         "jobs' logs", EXPECTED, secrets=len(platform.secrets()), found=0)  # fmt: skip

"""The running platform is broken in each way that `make verify` looks for: it says what it is."""

import subprocess
import uuid
from contextlib import ExitStack
from pathlib import Path

from demo.project import ADMIN, REPOSITORY
from tests.demo.conftest import Platform, privileged
from tests.demo.verify.mutations import (
    changed,
    container,
    failed,
    file,
    file_of,
    mode,
    proxy,
    recreated,
    stopped,
    verify,
)

PROXY = "config/nginx-proxy/nginx.conf"


def server(platform: Platform, host: str) -> str:
    """The line with a name in the proxy's configuration that begins the name's HTTPS server."""
    return f"ssl;\n        server_name {host}.{platform.domain};\n"


def test_all_is_well_and_nothing_of_the_checks_stays(platform: Platform) -> None:
    before = traces(platform)
    found = platform.project.make_json("verify")
    assert found["ok"]
    assert found["passed"] > 50
    assert traces(platform) == before


def traces(platform: Platform) -> dict[str, object]:
    """All that users could see of what the checks did."""
    runs = platform.admin.mlflow(
        "runs/search", experiment_ids=["1"], run_view_type="ALL", max_results=1000
    ).get("runs", [])
    tables = platform.execute(
        "postgres-data", "psql", "-h", "/tmp", "-U", "postgres", "-XAtqd", REPOSITORY,
        "-c", "select relname from pg_class order by 1",
    )  # fmt: skip
    objects = platform.execute("minio", "find", "/data", "-not", "-path", "*/.minio.sys*")
    return {
        "runs": sorted(run["info"]["run_id"] for run in runs),
        "rows": platform.service_query("mlflow", "select count(*) from runs"),
        "tables": tables.splitlines(),
        "objects": sorted(objects.splitlines()),
        "pipelines": platform.execute("pipelines", "sh", "-c", "ls /var/lib/pipelines/*"),
        "branches": platform.project.git("ls-remote", "origin"),
        "containers": sorted(platform.containers(stopped=True)),
    }


def test_a_service_that_is_down(platform: Platform) -> None:
    with stopped(platform, "registry"):
        assert set(failed(platform, "registry")) == {
            "healthy (registry)",
            f"answers (registry.{platform.domain})",
            f"refuses strangers (registry.{platform.domain})",
            "environments are there",
        }
        assert set(failed(platform, "cards")) == {"cards"}


def test_a_health_check_that_fails_now(platform: Platform) -> None:
    platform.execute("pipelines", "rm", "/run/pipelines/ready")
    try:
        assert set(failed(platform, "healthy")) == {"healthy (pipelines)"}
    finally:
        platform.execute("pipelines", "touch", "/run/pipelines/ready")


def test_a_container_that_may_more_than_it_should(platform: Platform) -> None:
    # Without that capability root would not be let in to the service's own secrets.
    more = {"user": "0:0", "cap_add": ["DAC_OVERRIDE"], "mem_limit": "300m"}
    with recreated(platform, "registry", **more):
        found = failed(platform, "test_services")
        assert set(found) == {"limits (registry)", "confined (registry)", "not root (registry)"}
        assert "DAC_OVERRIDE" in found["confined (registry)"]


def test_a_limit_taken_away(platform: Platform) -> None:
    portal = platform.container("portal")
    limit = portal.attrs["HostConfig"]["PidsLimit"]
    update = ["docker", "update", "--pids-limit"]
    subprocess.run([*update, "-1", str(portal.id)], check=True, capture_output=True)
    try:
        assert set(failed(platform, "limits")) == {"limits (portal)"}
    finally:
        subprocess.run([*update, str(limit), str(portal.id)], check=True, capture_output=True)


def test_a_container_that_is_not_of_the_plan(platform: Platform) -> None:
    port = ("--publish", "127.0.0.1::8080")
    with container(platform, *port, command=("sleep", "600")):
        found = failed(platform, "test_published")
        assert set(found) == {"only the proxy publishes ports", "every other port is closed"}
        assert f"{platform.name}-stray" in found["only the proxy publishes ports"]
        assert set(failed(platform, "planned")) == {"nothing runs that is not planned"}


def test_secrets_that_show(platform: Platform) -> None:
    secret = platform.project.password
    log = f"/var/lib/pipelines/{REPOSITORY}/0.log"
    repository = platform.project.path
    with ExitStack() as undo:
        undo.enter_context(
            container(
                platform,
                *("--env", f"SHOWN={secret}"),
                command=("sh", "-c", "sleep 600; :", secret),
            )
        )
        undo.enter_context(changed(file_of(platform, "plan.json"), ("", secret)))
        say(platform, "portal", "cat >/proc/1/fd/2", secret)
        path = platform.container("portal").attrs["LogPath"]
        undo.callback(privileged, "truncate", "--size=0", path)
        say(platform, "pipelines", f"cat >{log}", secret)
        undo.callback(platform.execute, "pipelines", "rm", log)
        blob = subprocess.run(
            ["git", "hash-object", "-w", "--stdin"],
            cwd=repository, input=secret, text=True, check=True, capture_output=True,
        ).stdout.strip()  # fmt: skip
        undo.callback((repository / ".git/objects" / blob[:2] / blob[2:]).unlink)
        found = failed(platform, "no secret")
    assert set(found) == {
        "no secret in docker inspect",
        "no secret in process lists",
        "no secret in logs (portal)",
        "no secret in the tree",
        "no secret in the repository",
        "no secret in pipelines",
    }
    for reason in found.values():
        assert f"users/{ADMIN}/password" in reason
        assert secret not in reason


def say(platform: Platform, service: str, command: str, text: str) -> None:
    """Give a shell command in a service's container something to read."""
    identifier = str(platform.container(service).id)
    subprocess.run(
        ["docker", "exec", "--interactive", identifier, "sh", "-c", command],
        input=f"{text}\n", text=True, check=True, capture_output=True,
    )  # fmt: skip


def test_files_that_are_not_as_they_were_put(platform: Platform) -> None:
    authority = f"/usr/local/share/ca-certificates/dap-{platform.name}.crt"
    with (
        mode(file_of(platform, "secrets/nginx-proxy/nginx-proxy/tls-key"), "0444"),
        changed(file_of(platform, "config/portal/html/portal.js"), ("", "// more\n")),
        file(file_of(platform, "config/stray"), "not of the tree\n"),
        mode(authority, "0666"),
    ):
        found = failed(platform, "test_files")
    assert set(found) == {"modes and owners", "contents", "files outside the tree"}
    assert "tls-key" in found["modes and owners"]
    assert "portal.js" in found["contents"]
    assert "stray" in found["contents"]
    assert authority in found["files outside the tree"]


def test_routes_that_are_open_or_lead_nowhere(platform: Platform) -> None:
    text = privileged("cat", file_of(platform, PROXY))
    git = server(platform, "git")
    guarded = text[text.index(git) : text.index("location", text.index(git))]
    redirect = f"server_name mlflow.{platform.domain};\n        return 308"
    with proxy(
        platform,
        (guarded, git),
        (redirect, redirect.replace("308", "302")),
        ("set $upstream minio:9000;", "set $upstream minio:9;"),
        ("set $upstream postgres-data:5432;", "set $upstream postgres-data:9;"),
    ):
        routes = failed(platform, "test_routes")
        streams = failed(platform, "stream answers")
    assert set(routes) == {
        f"refuses strangers (git.{platform.domain})",
        f"plain http leads to https (mlflow.{platform.domain})",
        f"answers (s3.{platform.domain})",
        f"refuses strangers (s3.{platform.domain})",
    }
    assert set(streams) == {"stream answers (postgres)"}


def test_a_certificate_that_nobody_vouches_for(platform: Platform, tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=x",
         "-addext", f"subjectAltName=DNS:{platform.domain}",
         "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")],
        check=True, capture_output=True,
    )  # fmt: skip
    # The proxy's configuration alone is read anew: files in its memory serve for the certificate.
    for name in ("key", "certificate"):
        say(platform, "nginx-proxy", f"cat >/tmp/{name}", (tmp_path / name).read_text())
    try:
        with proxy(
            platform,
            ("ssl_certificate /run/secrets/tls-certificate;", "ssl_certificate /tmp/certificate;"),
            ("ssl_certificate_key /run/secrets/tls-key;", "ssl_certificate_key /tmp/key;"),
        ):
            found = failed(platform, f"[{platform.domain}]")
    finally:
        platform.execute("nginx-proxy", "rm", "/tmp/key", "/tmp/certificate")
    assert set(found) == {f"answers ({platform.domain})", f"refuses strangers ({platform.domain})"}
    assert "CERTIFICATE_VERIFY_FAILED" in found[f"answers ({platform.domain})"]


def test_a_proxy_that_keeps_websockets_and_streams_from_passing(platform: Platform) -> None:
    text = privileged("cat", file_of(platform, PROXY))
    workspace = server(platform, "admin-python")
    start = text.index("include /etc/nginx/passed.conf;", text.index(workspace))
    passed = text[text.index(workspace) : text.index("\n", start)]
    with proxy(
        platform,
        (passed, passed.replace("include /etc/nginx/passed.conf;", "")),
        ("set $upstream jump:2222;", "set $upstream git:2222;"),
        ("proxy_request_buffering off;", "proxy_request_buffering on;"),
    ):
        assert set(failed(platform, "websocket")) == {"websocket (admin-python)"}
        assert set(failed(platform, "test_ssh")) == {"ssh from outside"}
        assert set(failed(platform, "1_gib")) == {"upload of 1 gib in constant memory"}


def test_names_that_lead_elsewhere(platform: Platform) -> None:
    name = f"mlflow.{platform.domain}"
    line = f"{platform.project.address} {name}\n"
    hosts = platform.container("admin-python").attrs["HostsPath"]
    with (
        changed("/etc/hosts", (line, f"127.0.0.99 {name}\n")),
        changed(hosts, ("", f"127.0.0.99 git.{platform.domain}\n")),
    ):
        assert failed(platform, "names on") == {
            "names on the host": f"{name} leads to 127.0.0.99, not to {platform.project.address}"
        }
        assert set(failed(platform, "names in a workspace")) == {
            "names in a workspace (admin-python)"
        }


def test_jobs_that_get_nothing_done(platform: Platform) -> None:
    """A second answer to a name; MLflow and the store refuse; the database can't be written."""
    role = f"alter role {REPOSITORY} in database {REPOSITORY}"
    psql = ("psql", "-h", "/tmp", "-U", "postgres", "-Xq", "-c")
    alias = ("--network", f"{platform.name}_edge", "--network-alias", f"minio.{platform.domain}")
    refusals = [
        (line, f"{line}        return 403;\n")
        for line in (server(platform, "mlflow"), server(platform, "s3"))
    ]
    with ExitStack() as undo:
        undo.enter_context(container(platform, *alias, command=("sleep", "600")))
        undo.enter_context(proxy(platform, *refusals))
        platform.execute("postgres-data", *psql, f"{role} set default_transaction_read_only = on")
        undo.callback(
            platform.execute, "postgres-data", *psql, f"{role} reset default_transaction_read_only"
        )
        found = failed(platform, "_job")
    assert set(found) == {
        "names in a job",
        "the run of the job",
        "the object of the job",
        "the row of the job",
    }


def test_git_that_lets_nobody_push(platform: Platform) -> None:
    keys = "/home/git/.ssh/authorized_keys"
    platform.execute("git", "sh", "-c", f"cp -p {keys} /tmp/keys && : >{keys}")
    try:
        found = failed(platform, "a push runs")
    finally:
        platform.execute("git", "sh", "-c", f"cat /tmp/keys >{keys} && rm /tmp/keys")
    assert set(found) == {"a push runs its pipeline"}
    assert "Permission denied" in found["a push runs its pipeline"]


def test_git_that_gives_a_shell_and_an_account_that_writes_anywhere(platform: Platform) -> None:
    keys, rules = "/home/git/.ssh/authorized_keys", "/home/git/.gitolite/conf/gitolite.conf"
    platform.execute("git", "cp", "-p", keys, rules, "/tmp")
    try:
        platform.execute("git", "sed", "-i", r's/^command="[^"]*"[^ ]* //', keys)
        assert set(failed(platform, "gives_no_shell")) == {"git gives no shell"}
        platform.execute("git", "sed", "-i", r"s|refs/heads/dap\[.\]verify/|refs/|", rules)
        platform.execute("git", "gitolite", "compile")
        alone = "the account of verify writes its own branches alone"
        assert set(failed(platform, "account of verify")) == {alone}
    finally:
        for path in (keys, rules):
            back = ("cp", "-p", "--remove-destination", f"/tmp/{path.rpartition('/')[2]}", path)
            platform.execute("git", *back)
        platform.execute("git", "gitolite", "compile")
        platform.execute("git", "rm", "-f", "/tmp/authorized_keys", "/tmp/gitolite.conf")


def test_a_database_without_tls_and_a_registry_without_images(platform: Platform) -> None:
    reload = ("psql", "-h", "/tmp", "-U", "postgres", "-Xqc", "select pg_reload_conf()")
    rules = file_of(platform, "config/postgres-data/pg_hba.conf")
    text = privileged("cat", rules)
    images = "/var/lib/registry/docker/registry/v2/repositories/environments"
    with ExitStack() as undo:
        undo.callback(platform.execute, "postgres-data", *reload)
        undo.enter_context(changed(rules, (text, text.replace("hostssl", "host"))))
        platform.execute("postgres-data", *reload)
        platform.execute("registry", "mv", f"{images}/base", f"{images}/elsewhere")
        undo.callback(platform.execute, "registry", "mv", f"{images}/elsewhere", f"{images}/base")
        assert set(failed(platform, "without tls")) == {"no login without tls"}
        assert set(failed(platform, "environments are there")) == {"environments are there"}


def test_what_can_not_be_tested_says_so_with_status_2(platform: Platform) -> None:
    status, found = verify(platform, f"no-such-check-{uuid.uuid4().hex}")
    assert (status, found["ok"]) == (2, False)
    plan = file_of(platform, "plan.json")
    privileged("mv", plan, f"{plan}.away")
    try:
        status, found = verify(platform, "healthy")
    finally:
        privileged("mv", f"{plan}.away", plan)
    assert (status, found["ok"]) == (2, False)
    assert "not deployed" in found["error"]


def test_a_person_reads_one_line_for_each_failure(platform: Platform) -> None:
    with changed(file_of(platform, "config/portal/html/portal.js"), ("", "// more\n")):
        done = subprocess.run(
            ["make", "--no-print-directory", "verify", "ONLY=contents"],
            cwd=platform.project.path, capture_output=True, text=True, check=False,
        )  # fmt: skip
    lines = done.stdout.splitlines()
    assert done.returncode == 2  # make's own for a command that failed
    assert len([line for line in lines if line.startswith("failed: contents: ")]) == 1
    assert "to do: " in lines[0]
    assert "Traceback" not in done.stdout + done.stderr
    assert lines[-1].startswith("1 check failed")

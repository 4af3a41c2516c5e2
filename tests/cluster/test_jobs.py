"""Jobs of pipelines as pods: GitLab's own runner, as the platform configures it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import certifi
import pytest
import yaml

from demo.access import Clock, await_result
from demo.project import REPOSITORY, ROOT
from tests.cluster.checks import INSIDE, failed, verify
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import KEEP
from tests.cluster.jobs import ENDS, FILE, SLOTS, JobsPlatform, Pushed, job

BUILDER = "image-builder"
OF_JOBS = (
    *("a push runs its pipeline", "names in a job", "the object of the job", "the row of the job"),
    *("the run of the job", "no secret in the logs of jobs", "runners are online"),
)
METADATA = "169.254.169.254"
JOB_S = 180
GONE_S = 90
STATUS = "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'"
ASK = "timeout 3 bash -c ': </dev/tcp/{host}/{port}' && echo 'open {host}' || echo 'shut {host}'"
API = (
    "import ssl, sys, urllib.error as e, urllib.request as r\n"
    "try: r.urlopen(sys.argv[1], context=ssl._create_unverified_context())\n"
    "except e.HTTPError as error: print('the API:', error.code)"
).replace("\n", "\\n")


@pytest.fixture(scope="module")
def platform(cluster: Cluster, pytestconfig: pytest.Config) -> Iterator[JobsPlatform]:
    """The platform after its first deploy, taken off at the end; with DAP_KEEP=1 kept."""
    made = JobsPlatform.on(cluster)
    first = made.project.directory / "first.json"
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    if not KEEP or not first.exists():
        with capture.global_and_fixture_disabled():
            clock = Clock()
            clock.say("jobs: a project from the template, with forge gitlab")
            made.scaffold()
            clock.say("jobs: images for the node")
            made.load()
            clock.say("jobs: dap deploy")
            first.write_text(json.dumps(made.deploy()), encoding="utf-8")
            clock.say("jobs: deployed")
    made.first = json.loads(first.read_text(encoding="utf-8"))
    yield made
    if not KEEP:
        first.unlink()
        made.dap("destroy", "--delete-data", made.project.name).check_returncode()
        made.project.forget_key()


@pytest.fixture(scope="module")
def example(platform: JobsPlatform) -> Pushed:
    """The template's analysis, pushed to main; its pipeline has ended."""
    given = ROOT / "infrastructure/pattern/project/.gitlab-ci.yml"
    pushed = platform.push({"src": ROOT / "src", FILE: given}, "main")
    platform.ended(pushed)
    return pushed


def test_an_environment_that_takes_a_host_is_refused_where_it_is_named(
    platform: JobsPlatform,
) -> None:
    file = platform.project.path / "platform.yml"
    before = file.read_text(encoding="utf-8")
    settings = yaml.safe_load(before) | {"environments": ["python", BUILDER]}
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    try:
        done = platform.dap("validate")
    finally:
        file.write_text(before, encoding="utf-8")
    assert done.returncode == 2
    assert "environments[1]" in done.stderr
    assert "needs a host that runs jobs" in done.stderr


def test_content_registers_the_runner_and_its_token_comes_to_it_in_one_deploy(
    platform: JobsPlatform,
) -> None:
    """The token came out of the cluster by a file that a pod was asked for."""
    assert "the vault has new secrets" in platform.first["said"]
    secret = platform.cluster.get("secret", "gitlab-runner", "--namespace", platform.space)
    text = base64.b64decode(secret["data"]["config.toml"]).decode()
    assert 'token = "glrt-' in text
    runner = platform.log()
    assert "is not valid" not in runner
    assert "level=fatal" not in runner
    again = platform.deploy()
    assert (again["changes"], again["content"]) == ([], 0)


def test_the_example_runs_in_pods_and_its_run_lies_in_the_platform(
    platform: JobsPlatform, example: Pushed
) -> None:
    jobs = platform.jobs_of(example)
    logs = "\n".join(f"{name}:\n{each['log']}" for name, each in jobs.items())
    assert {name: each["status"] for name, each in jobs.items()} == {
        f"breast-cancer {name}": "success" for name in ("check", "load", "train", "register")
    }, logs
    assert f"Using Kubernetes namespace: {platform.space}" in logs
    run = platform.admin.run_of_commit(REPOSITORY, example.commit)
    assert run is not None
    assert run["info"]["status"] == "FINISHED"
    files = platform.admin.mlflow(f"artifacts/list?run_id={run['info']['run_id']}")["files"]
    assert files


def test_a_job_is_who_and_reaches_what_a_cluster_lets_it(platform: JobsPlatform) -> None:
    (postgres,) = (
        pod["status"]["podIP"]
        for name, pod in platform.pods().items()
        if name.startswith("postgres-service-")
    )
    address = f"https://{platform.cluster.addresses.node}:6443"
    secrets = f"{address}/api/v1/namespaces/{platform.space}/secrets"
    runner = platform.cluster.get("pods", "--namespace", platform.space)["items"][0]
    shut = {postgres: 5432, runner["status"]["podIP"]: 9252, METADATA: 80}
    git = f"git.{platform.project.domain}"
    asks = [ASK.format(host=host, port=port) for host, port in shut.items()]
    ask = ASK.format(host=git, port=platform.ports["https"])
    done = platform.ran(
        "\n".join(
            [
                'echo "who $(id -u):$(id -g) at $HOME"',
                STATUS,
                "test ! -e /var/run/secrets/kubernetes.io && echo no token",
                *(*asks, ask),
                # The API is as far as what is beyond the cluster; it takes nobody without a token.
                f'python -c "$(printf "{API}")" {secrets}',
            ]
        )
    )
    assert done["status"] == "success", done["log"]
    said = done["log"]
    for line in (
        *("who 1000:1000 at /home/analyst", "CapEff:0000000000000000", "CapBnd:0000000000000000"),
        *("NoNewPrivs:1", "Seccomp:2", "no token", f"open {git}", "the API: 403"),
        *(f"shut {host}" for host in shut),
    ):
        assert line in said.splitlines(), (line, said)


def test_a_job_that_fails_says_so_and_its_pod_goes(platform: JobsPlatform) -> None:
    done = platform.ran("echo before\nexit 3\necho after")
    assert (done["status"], done["failure_reason"]) == ("failed", "script_failure")
    assert "before" in done["log"]
    assert "exit code 3" in done["log"]
    _gone(platform)


def test_a_job_that_needs_more_memory_than_it_gets_is_ended(platform: JobsPlatform) -> None:
    done = platform.ran("python -c 'a = bytearray(3 * 2**30)'\necho still here")
    assert done["status"] == "failed", done["log"]
    _gone(platform)


def test_a_cancelled_job_ends_and_its_pod_goes(platform: JobsPlatform) -> None:
    pushed = platform.push({FILE: job("echo begun\nsleep 600", after_script=["echo cleaned"])})

    def begun() -> str | None:
        found = platform.jobs_of(pushed)["it"]
        return str(found["log"]) if "\nbegun" in found["log"] else None

    await_result("the job's log, while it runs", begun, JOB_S)
    assert len(platform.jobs()) == 1
    number = platform.pipeline(pushed)["id"]
    assert platform.api("POST", f"/pipelines/{number}/cancel").ok
    assert platform.ended(pushed)["status"] == "canceled"
    _gone(platform)


def test_artifacts_come_to_later_jobs_and_caches_to_later_pipelines(
    platform: JobsPlatform,
) -> None:
    """The cache lies in the platform's object store, whose certificate is of its own CA."""
    cache = {"key": "try", "paths": ["kept/"]}
    first = {
        "image": "$DAP_ENVIRONMENT_PYTHON",
        "script": ["cat kept/file || echo none yet", "mkdir -p kept", "date +%N >kept/file"],
        "cache": cache,
    }
    made = {**first, "stage": "build", "artifacts": {"paths": ["kept/file"]}}
    took = {
        "image": "$DAP_ENVIRONMENT_PYTHON",
        "stage": "test",
        "script": ['echo "got $(cat kept/file)"'],
    }
    one = platform.push({FILE: json.dumps({"make": made, "take": took})})
    assert platform.ended(one)["status"] == "success", platform.jobs_of(one)
    jobs = {name: each["log"] for name, each in platform.jobs_of(one).items()}
    (got,) = (line[4:] for line in jobs["take"].splitlines() if line.startswith("got "))
    assert got.isdigit(), jobs["take"]
    two = platform.push({FILE: json.dumps({"again": first})})
    assert platform.ended(two)["status"] == "success"
    log = platform.jobs_of(two)["again"]["log"]
    assert f"\n{got}\n" in log, log


def test_no_more_jobs_run_at_once_than_there_are_slots(platform: JobsPlatform) -> None:
    one = {"image": "$DAP_ENVIRONMENT_PYTHON", "script": ["sleep 8"]}
    pushed = platform.push({FILE: json.dumps({f"job {n}": one for n in range(SLOTS + 1)})})
    most = 0

    def over() -> bool | None:
        nonlocal most
        running = [pod for pod in platform.jobs() if pod["status"]["phase"] == "Running"]
        alive = [pod for pod in running if "deletionTimestamp" not in pod["metadata"]]
        most = max(most, len(alive))
        return True if platform.pipeline(pushed)["status"] in ENDS else None

    await_result("the pipeline", over, JOB_S)
    assert platform.pipeline(pushed)["status"] == "success", platform.jobs_of(pushed)
    assert most == SLOTS


def test_a_push_that_changes_environments_is_told_who_builds_them(
    platform: JobsPlatform,
) -> None:
    text = (ROOT / "environments/.gitlab-ci.yml").read_text(encoding="utf-8")
    parts = {"stages": ["environments"], **yaml.safe_load(text)}
    file = "environments/mine/Dockerfile"
    pushed = platform.push({FILE: json.dumps(parts), file: "FROM parent\n"}, "main")
    assert platform.ended(pushed)["status"] == "failed"
    ((name, done),) = platform.jobs_of(pushed).items()
    assert name == "environments are built by deploys"
    assert "'make deploy' of this commit builds its environments" in done["log"]


@pytest.mark.parametrize("options", [(), (INSIDE,)], ids=["from here", "from inside"])
def test_verify_passes_with_what_it_asks_of_jobs(
    platform: JobsPlatform, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever CA and proxy the operator has git use; and nothing of its pipeline stays."""
    monkeypatch.setenv("GIT_SSL_CAINFO", certifi.where())
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", platform.cluster.addresses.node)  # the cluster's API
    before = [each["id"] for each in platform.api("GET", "/pipelines").json()]
    found = verify(platform, "", *options)
    told = {each["check"]: each for each in found["tests"]}
    assert found["ok"], [each for each in found["tests"] if each["outcome"] == "failed"]
    assert {check: told[check]["outcome"] for check in OF_JOBS} == dict.fromkeys(OF_JOBS, "passed")
    assert [each["id"] for each in platform.api("GET", "/pipelines").json()] == before
    branches = platform.api("GET", "/repository/branches").json()
    assert not [each["name"] for each in branches if each["name"].startswith("dap.verify")]


def test_the_runner_was_refused_nothing(platform: JobsPlatform, example: Pushed) -> None:
    """By its Role it may do what it did until here; what comes next ends it, and has it refused."""
    assert platform.pipeline(example)["status"] == "success"
    said = platform.log()
    assert "forbidden" not in said.lower(), said
    assert "panic" not in said


def test_verify_says_what_keeps_jobs_from_running(platform: JobsPlatform) -> None:
    """No runner is there; and each job is one that the cluster refuses."""
    space = ("--namespace", platform.space)
    runner = "deployment/gitlab-runner"
    platform.cluster.kubectl(*space, "scale", runner, "--replicas=0")
    try:
        found = failed(platform, "a push runs its pipeline")
    finally:
        platform.cluster.kubectl(*space, "scale", runner, "--replicas=1")
        platform.cluster.kubectl(*space, "rollout", "status", runner, f"--timeout={JOB_S}s")
    assert found.keys() == {"a push runs its pipeline"}
    assert "ends within 180 s: names-cluster is pending" in found["a push runs its pipeline"]
    quota = ("resourcequota", platform.project.name, "--type=json", "--patch")
    patch = {"op": "add", "path": "/spec/hard/pods", "value": "1"}
    platform.cluster.kubectl(*space, "patch", *quota, json.dumps([patch]))
    try:
        found = failed(platform, "names in a job")
    finally:
        back = {"op": "remove", "path": "/spec/hard/pods"}
        platform.cluster.kubectl(*space, "patch", *quota, json.dumps([back]))
    assert found.keys() == {"names in a job"}
    assert "exceeded quota" in found["names in a job"]
    assert failed(platform, "names in a job") == {}


def _gone(platform: JobsPlatform) -> None:
    await_result("no pod of a job", lambda: not platform.jobs() or None, GONE_S)

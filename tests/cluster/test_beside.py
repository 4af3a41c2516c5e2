"""A cluster that runs jobs beside a platform on a Docker host, from its first deploy to its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from demo.access import Clock, await_result
from demo.project import REPOSITORY, ROOT
from tests.cluster.beside import GPU, HOST, LABEL, BesidePlatform
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import KEEP
from tests.cluster.jobs import FILE, Pushed, job

PULLER = f"cluster_{GPU}"
JOB_S = 180


@pytest.fixture(scope="module")
def platform(cluster: Cluster, pytestconfig: pytest.Config) -> Iterator[BesidePlatform]:
    """The platform after its first deploy, taken off at the end; with DAP_KEEP=1 kept."""
    made = BesidePlatform.on(cluster)
    first = made.project.directory / "first.json"
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        clock = Clock()
        try:
            if not KEEP or not first.exists():
                clock.say("beside: a project from the template, its jobs in a cluster, too")
                made.scaffold()
                clock.say("beside: images of the runner for the node")
                made.load()
                made.give_gpus()
                made.give_account()
                clock.say("beside: dap deploy")
                first.write_text(json.dumps(made.deploy()), encoding="utf-8")
                clock.say("beside: deployed")
            made.first = json.loads(first.read_text(encoding="utf-8"))
            yield made
        finally:
            if not KEEP:
                first.unlink(missing_ok=True)
                made.dap("destroy", "--delete-data", made.project.name).check_returncode()
                made.take_account()
                made.project.forget_key()


@pytest.fixture(scope="module")
def trusting(platform: BesidePlatform) -> BesidePlatform:
    """The platform, once the node finds its registry and trusts its CA."""
    platform.trusted()
    return platform


@pytest.fixture(scope="module")
def example(trusting: BesidePlatform) -> Pushed:
    """The template's analysis, pushed to main for the cluster; its pipeline has ended."""
    given = ROOT / "infrastructure/pattern/project/.gitlab-ci.yml"
    text = yaml.safe_load(given.read_text(encoding="utf-8")) | {"default": {"tags": [LABEL]}}
    pushed = trusting.push({"src": ROOT / "src", FILE: json.dumps(text)}, "main")
    trusting.ended(pushed)
    return pushed


def test_the_first_deploy_makes_all_of_it_in_the_cluster(platform: BesidePlatform) -> None:
    """By an account that has the rights which the page names, and no others."""
    changes = platform.first["clusters"][GPU]
    made = {each["object"] for each in changes if each["operation"] == "create"}
    assert {
        *(f"Namespace/{platform.space}", "Deployment/gitlab-runner", "Role/gitlab-runner"),
        *(f"{kind}/{platform.project.name}" for kind in ("LimitRange", "ResourceQuota")),
        "Secret/registry.pull",
    } <= made
    space = platform.cluster.get("namespace", platform.space)["metadata"]["labels"]
    assert space["app.kubernetes.io/part-of"] == platform.project.name
    assert space["pod-security.kubernetes.io/enforce"] == "restricted"
    policies = platform.cluster.get("networkpolicies", "--namespace", platform.space)["items"]
    assert {"all", "edge.out"} <= {each["metadata"]["name"] for each in policies}


def test_the_runner_is_the_forges_for_those_that_ask_for_it(platform: BesidePlatform) -> None:
    """It reaches the forge at the platform's public name, by a certificate of the platform's CA."""
    runner = platform.runners[f"{platform.project.name}/{GPU}"]
    assert set(runner["tag_list"]) == {GPU, LABEL}
    assert not runner["run_untagged"]
    assert platform.runners[f"{platform.project.name}/{HOST}"]["run_untagged"]
    said = platform.log()
    assert "is not valid" not in said
    assert "x509" not in said


def test_a_node_that_was_told_nothing_fails_the_job_and_its_log_says_so(
    platform: BesidePlatform,
) -> None:
    pushed = platform.push({FILE: job("true", tags=[GPU])})
    assert platform.ended(pushed)["status"] == "failed"
    log = platform.jobs_of(pushed)["it"]["log"]
    assert "no such host" in log, log
    assert not platform.pulled()


def test_a_node_that_does_not_trust_the_ca_fails_the_job_and_its_log_says_so(
    platform: BesidePlatform,
) -> None:
    platform.named()
    pushed = platform.push({FILE: job("true", tags=[GPU])})
    assert platform.ended(pushed)["status"] == "failed"
    log = platform.jobs_of(pushed)["it"]["log"]
    assert "x509: certificate signed by unknown authority" in log, log
    assert not platform.pulled()


def test_the_example_runs_in_the_cluster_and_its_run_lies_in_the_platform(
    trusting: BesidePlatform, example: Pushed
) -> None:
    jobs = trusting.jobs_of(example)
    logs = "\n".join(f"{name}:\n{each['log']}" for name, each in jobs.items())
    assert {name: each["status"] for name, each in jobs.items()} == {
        f"breast-cancer {name}": "success" for name in ("check", "load", "train", "register")
    }, logs
    for each in jobs.values():
        assert f"Using Kubernetes namespace: {trusting.space}" in each["log"]
    run = trusting.admin.run_of_commit(REPOSITORY, example.commit)
    assert run is not None
    assert run["info"]["status"] == "FINISHED"
    files = trusting.admin.mlflow(f"artifacts/list?run_id={run['info']['run_id']}")["files"]
    assert files


def test_the_node_pulled_the_environment_by_the_clusters_own_account(
    trusting: BesidePlatform, example: Pushed
) -> None:
    assert trusting.ended(example)["status"] == "success"
    (image,) = {name.partition("@")[0] for name in trusting.pulled()}
    assert image == f"{trusting.registry}/environments/python"
    said = trusting.dap("logs", "--service", "nginx-proxy", "--lines", "10000").stdout
    lines = [line for line in said.splitlines() if '" 200 ' in line]

    def who(request: str) -> set[str]:
        return {line.split()[1] for line in lines if request in line}

    assert PULLER in who("/v2/environments/python/manifests/")
    # Nobody asks for layers, where the node has them by another name.
    assert who('"GET /v2/environments/python/blobs/') <= {PULLER}


def test_who_asks_for_nothing_runs_on_the_host(trusting: BesidePlatform) -> None:
    both = {"image": "$DAP_ENVIRONMENT_PYTHON", "script": ["nproc"]}
    pushed = trusting.push({FILE: json.dumps({"any": both, "there": both | {"tags": [GPU]}})})
    assert trusting.ended(pushed)["status"] == "success", trusting.jobs_of(pushed)
    jobs = {name: each["log"] for name, each in trusting.jobs_of(pushed).items()}
    assert "Kubernetes" not in jobs["any"]
    assert "Using Kubernetes namespace" in jobs["there"]


def test_a_job_is_nobody_with_a_gpu_and_reaches_the_platform(trusting: BesidePlatform) -> None:
    program = ROOT / "infrastructure/services/minio/tests/job.py"
    lines = (
        'echo "who $(id -u):$(id -g)"',
        "test ! -e /var/run/secrets/kubernetes.io && echo no token",
        "python store.py",
        "until [ -e /tmp/seen ]; do sleep 0.2; done",
    )
    # Who has the project's credentials is on its protected branch.
    files: dict[str, str | Path] = {"store.py": program}
    files[FILE] = job("\n".join(lines), tags=[LABEL])
    before = {pod["metadata"]["name"] for pod in trusting.jobs()}
    pushed = trusting.push(files, "main")
    pod = await_result("the job's pod", lambda: _runs(trusting, before), JOB_S)
    (build,) = (each for each in pod["spec"]["containers"] if each["name"] == "build")
    assert build["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["spec"]["serviceAccountName"] == "default"
    space = ("--namespace", trusting.space)
    trusting.cluster.kubectl(
        "exec", *space, pod["metadata"]["name"], "--container=build", "--", "touch", "/tmp/seen"
    )
    assert trusting.ended(pushed)["status"] == "success", trusting.jobs_of(pushed)
    said = trusting.jobs_of(pushed)["it"]["log"].splitlines()
    assert {"who 1000:1000", "no token"} <= set(said)
    (stored,) = (json.loads(line) for line in said if line.startswith("{"))
    found = trusting.store.get_object(Bucket=stored["bucket"], Key=stored["key"])
    assert found["Body"].read().decode() == pushed.commit


def _runs(platform: BesidePlatform, before: set[str]) -> dict[str, Any] | None:
    """A job's pod that runs, and is none of those from before."""
    for pod in platform.jobs():
        if pod["metadata"]["name"] not in before and pod["status"]["phase"] == "Running":
            return pod
    return None


def test_a_cache_comes_to_the_next_pipeline(trusting: BesidePlatform) -> None:
    """It lies in the platform's object store, reached by its public name."""
    script = "cat kept/file || echo none yet\nmkdir -p kept\necho from before >kept/file"
    cache = {"key": "try", "paths": ["kept/"]}
    for expected in ("none yet", "from before"):
        pushed = trusting.push({FILE: job(script, tags=[GPU], cache=cache)})
        assert trusting.ended(pushed)["status"] == "success", trusting.jobs_of(pushed)
        log = trusting.jobs_of(pushed)["it"]["log"]
        assert expected in log.splitlines(), log


def test_its_account_of_the_registry_only_pulls(trusting: BesidePlatform) -> None:
    answers = [
        requests.request(
            method,
            f"https://{trusting.registry}{path}",
            auth=(PULLER, trusting.password),
            verify=str(trusting.ca),
            timeout=30,
        ).status_code
        for method, path in (("GET", "/v2/"), ("POST", "/v2/environments/none/blobs/uploads/"))
    ]
    assert answers == [200, 403]


def test_a_second_deploy_and_a_plan_find_nothing_to_do(trusting: BesidePlatform) -> None:
    pods = _pods(trusting)
    planned = trusting.dap("plan", "--exit-code")
    assert (planned.returncode, planned.stdout.splitlines()[-1]) == (0, "no change")
    again = trusting.deploy()
    assert (again["changed"], again["clusters"]) == (0, {GPU: []})
    assert _pods(trusting) == pods


def _pods(platform: BesidePlatform) -> set[str]:
    """The runner's, which has a service's name; those of jobs come and go."""
    words = ("pods", "--namespace", platform.space, "--selector=app.kubernetes.io/name")
    return {each["metadata"]["uid"] for each in platform.cluster.get(*words)["items"]}


def test_status_and_doctor_say_that_all_is_well(trusting: BesidePlatform) -> None:
    status = trusting.dap("status")
    assert status.returncode == 0, status.stdout
    assert f"cluster {GPU}  gitlab-runner  ready" in status.stdout
    doctor = trusting.dap("doctor", "--json")
    found = json.loads(doctor.stdout)
    own = {each["where"]: each for each in found["findings"] if each["host"] == GPU}
    assert {each["level"] for each in own.values()} == {"ok"}, own
    assert own.keys() == {"version", "deploy", "services"}
    assert f"context cluster takes jobs in namespace {trusting.space}" in own["deploy"]["what"]


def test_logs_of_the_runner_are_those_of_host_and_cluster(trusting: BesidePlatform) -> None:
    done = trusting.dap("logs", "--service", "gitlab-runner", "--lines", "1000", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["host"] for each in lines} == {HOST, GPU}
    assert [each["time"] for each in lines] == sorted(each["time"] for each in lines)
    assert {each["service"] for each in lines} == {"gitlab-runner"}


def test_verify_passes_and_has_a_job_in_the_cluster(trusting: BesidePlatform) -> None:
    done = trusting.dap("verify", "--json")
    found = json.loads(done.stdout)
    failed = [each for each in found["tests"] if each["outcome"] == "failed"]
    assert done.returncode == 0, failed
    (there,) = (each for each in found["tests"] if "job runs there" in str(each))
    assert there["outcome"] == "passed", there


def test_a_runner_that_is_not_well_is_told(trusting: BesidePlatform) -> None:
    kubectl, space = trusting.cluster.kubectl, ("--namespace", trusting.space)
    kubectl("scale", *space, "deployment/gitlab-runner", "--replicas=0")
    kubectl(
        "wait", *space, "--for=delete", "pod", "--selector=app.kubernetes.io/name", "--timeout=180s"
    )
    kubectl(
        "set", "image", *space, "deployment/gitlab-runner", "gitlab-runner=registry.test/none:1"
    )
    kubectl("scale", *space, "deployment/gitlab-runner", "--replicas=1")

    def told() -> str | None:
        status = trusting.dap("status")
        return status.stdout if "registry.test/none:1" in status.stdout else None

    assert f"cluster {GPU}  gitlab-runner  gitlab-runner: " in await_result("status", told, JOB_S)
    assert trusting.dap("status").returncode == 1
    doctor = trusting.dap("doctor")
    assert doctor.returncode == 1
    assert f"{GPU}: gitlab-runner" in doctor.stdout
    verify = trusting.dap("verify", "--only", "services are well")
    assert verify.returncode == 1
    assert "registry.test/none:1" in verify.stdout
    mended = trusting.deploy()
    assert mended["clusters"][GPU], mended
    assert trusting.dap("status").returncode == 0


def test_a_cluster_without_power_is_told_and_left_out(trusting: BesidePlatform) -> None:
    cluster = trusting.cluster
    cluster.off()
    try:
        status = trusting.dap("status")
        assert status.returncode == 1
        assert f"cluster {GPU}  cluster  " in status.stdout
        assert "does not answer" in status.stdout
        doctor = trusting.dap("doctor")
        assert doctor.returncode == 1
        assert f"{GPU}: context" in doctor.stdout
        logs = trusting.dap("logs", "--service", "registry", "--lines", "5")
        assert logs.returncode == 0, logs.stderr
        assert f"{GPU}: the cluster of context cluster does not answer" in logs.stderr
        assert len(logs.stdout.splitlines()) == 5
        with trusting.changed(projects=[{"name": REPOSITORY}, {"name": "second"}]):
            done = trusting.dap("deploy")
            assert done.returncode == 1
            said = done.stdout + done.stderr
            assert "going on without" in said
            assert f"cluster {GPU}: " in said
            # The hosts have what is new.
            assert trusting.anonymous.request(
                "GET",
                "git",
                f"/api/v4/projects/{trusting.project.name}%2Fsecond",
                headers=trusting.as_root,
            ).ok
    finally:
        cluster.on()
        trusting.trusted()
    done = trusting.dap("deploy")
    assert done.returncode == 0, done.stderr


def test_a_cluster_that_is_gone_from_the_settings_is_taken_off(trusting: BesidePlatform) -> None:
    password = trusting.password
    with trusting.changed(clusters=[]):
        planned = trusting.dap("plan")
        assert f"{GPU}: is taken off" in planned.stdout + planned.stderr
        trusting.deploy()
        names = trusting.cluster.kubectl("get", "namespaces", "--output", "name").split()
        assert f"namespace/{trusting.space}" not in names
        assert f"{trusting.project.name}/{GPU}" not in trusting.runners
        answer = requests.get(
            f"https://{trusting.registry}/v2/",
            auth=(PULLER, password),
            verify=str(trusting.ca),
            timeout=30,
        )
        assert answer.status_code == 401
        assert trusting.dap("status").returncode == 0
    back = trusting.dap("deploy")
    assert back.returncode == 0, back.stderr
    trusting.give_gpus()
    pushed = trusting.push({FILE: job("echo back", tags=[GPU])})
    assert trusting.ended(pushed)["status"] == "success", trusting.jobs_of(pushed)


def test_one_that_never_answers_again_is_forgotten(trusting: BesidePlatform) -> None:
    cluster = trusting.cluster
    cluster.off()
    try:
        with trusting.changed(clusters=[]):
            done = trusting.dap("deploy")
            assert done.returncode == 1
            assert f"if it never will: make deploy FORGET={GPU}" in done.stderr
            done = trusting.dap("deploy", "--forget", GPU)
            assert done.returncode == 0, done.stderr
            assert f"{GPU}: forgotten unseen" in done.stdout + done.stderr
            assert trusting.dap("status").returncode == 0
            assert trusting.dap("plan", "--exit-code").returncode == 0
    finally:
        cluster.on()

"""The image of a job, started as pipelines start it."""

from collections.abc import Callable

Job = Callable[[str], str]


def test_password_file_is_private(job: Job) -> None:
    assert job("stat -c %a $PGPASSFILE; cat $PGPASSFILE") == "600\np:5432:*:me:secret\n"


def test_platform_and_system_are_trusted(job: Job, certificate: str) -> None:
    bundle = job("cat $SSL_CERT_FILE")
    assert certificate in bundle
    assert bundle.count("BEGIN CERTIFICATE") > 50


def test_every_client_gets_the_bundle(job: Job) -> None:
    names = "REQUESTS_CA_BUNDLE CURL_CA_BUNDLE AWS_CA_BUNDLE GIT_SSL_CAINFO PGSSLROOTCERT"
    shown = job(f"for name in {names}; do echo ${{!name}}; done")
    assert set(shown.split()) == {"/run/dap/ca-bundle.pem"}


def test_exit_status_is_the_script_s(job: Job) -> None:
    try:
        job("exit 3")
    except AssertionError:
        return
    raise AssertionError("a failed script looks like a success")

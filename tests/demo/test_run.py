"""git push to the row in Postgres and the object in MinIO."""

import re
from typing import Any
from urllib.parse import urlparse

import boto3  # type: ignore[import-untyped]
import psycopg
import pytest
from botocore.config import Config  # type: ignore[import-untyped]

from demo.access import SYSTEM_CA
from demo.project import ADMIN, REPOSITORY
from tests.demo.conftest import Platform


def test_the_pusher_saw_the_pipeline(platform: Platform) -> None:
    outcome = platform.outcome
    assert re.search(rf"^remote: pipeline #{outcome.number}: ", outcome.answer, flags=re.MULTILINE)
    assert outcome.url.startswith(f"https://git.{platform.domain}/")


def test_the_pipeline_succeeded_in_all_its_jobs(platform: Platform) -> None:
    jobs = {job["name"]: job["status"] for job in platform.outcome.pipeline["jobs"]}
    assert len(jobs) >= 3
    assert set(jobs.values()) == {"success"}


def test_the_run_is_finished_and_says_where_it_is_from(platform: Platform) -> None:
    outcome = platform.outcome
    assert outcome.run["info"]["status"] == "FINISHED"
    tags = outcome.tags
    assert tags["commit"] == outcome.commit
    assert re.search(r"sha256:[0-9a-f]{64}$", tags["image"])
    assert re.fullmatch(r"[0-9a-f]{12}", tags["data_version"])
    assert tags["pipeline_id"] == str(outcome.number)
    assert tags["pipeline_url"] == outcome.url


def test_metrics_are_rows_in_postgres(platform: Platform) -> None:
    run_id = platform.outcome.run["info"]["run_id"]
    rows = platform.service_query(
        "mlflow", f"select key, count(*) from metrics where run_uuid = '{run_id}' group by key"
    )
    counts = {key: int(count) for key, count in rows}
    assert platform.outcome.metrics
    assert set(counts) == set(platform.outcome.metrics)
    assert max(counts.values()) > 3, "no metric was logged over steps"


def s3(platform: Platform) -> Any:
    """The project's own view of the object store."""
    # The name of the S3 route is the catalogue's.
    endpoint = next(
        route["url"] for route in platform.plan["routes"] if route["name"] in {"s3", "minio"}
    )
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=ADMIN,
        aws_secret_access_key=platform.project.password,
        region_name="us-east-1",
        verify=str(SYSTEM_CA),
        config=Config(s3={"addressing_style": "path"}),
    )


def artifacts(platform: Platform, path: str = "") -> list[dict[str, Any]]:
    """Files of the run, as MLflow lists them."""
    run_id = platform.outcome.run["info"]["run_id"]
    listed = platform.admin.mlflow(f"artifacts/list?run_id={run_id}&path={path}").get("files", [])
    found: list[dict[str, Any]] = []
    for entry in listed:
        found += artifacts(platform, entry["path"]) if entry.get("is_dir") else [entry]
    return found


def test_the_plot_is_an_object_in_minio(platform: Platform) -> None:
    plots = [a for a in artifacts(platform) if a["path"].endswith((".png", ".svg"))]
    assert plots
    location = urlparse(platform.outcome.run["info"]["artifact_uri"])
    assert location.scheme == "mlflow-artifacts", "artifacts do not go through the server"
    name = plots[0]["path"].rsplit("/", 1)[-1]
    run_id = platform.outcome.run["info"]["run_id"]
    # The volume of the object store itself: each object is a folder of its name.
    container = platform.container("minio")
    data = next(m["Destination"] for m in container.attrs["Mounts"] if m["Type"] == "volume")
    found = platform.execute("minio", "find", data, "-path", f"*{run_id}*", "-name", name)
    assert found.strip()


def test_the_model_is_registered(platform: Platform) -> None:
    found = platform.admin.mlflow("registered-models/alias?name=breast-cancer&alias=champion")
    version = found["model_version"]
    assert version["status"] == "READY"
    # A later run of the same data is no better: the champion may be of an earlier one.
    source = platform.admin.run(version["run_id"])
    assert source["info"]["status"] == "FINISHED"
    tags = {tag["key"]: tag["value"] for tag in source["data"]["tags"]}
    assert tags["data_version"] == platform.outcome.tags["data_version"]


def test_the_data_set_is_a_table_in_postgres_data(platform: Platform) -> None:
    table = f"breast_cancer_{platform.outcome.tags['data_version']}"
    with psycopg.connect(**postgres(platform)) as connection:
        query = psycopg.sql.SQL("select count(*) from {}").format(psycopg.sql.Identifier(table))
        assert connection.execute(query).fetchone() == (569,)


def postgres(platform: Platform) -> dict[str, Any]:
    """How an analyst reaches the project's database from outside."""
    return {
        "host": f"postgres.{platform.domain}",
        "port": 5432,
        "user": ADMIN,
        "password": platform.project.password,
        "dbname": REPOSITORY,
        "sslmode": "verify-full",
        "sslrootcert": str(SYSTEM_CA),
    }


def test_plain_text_postgres_is_refused(platform: Platform) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no encryption|SSL|refused"):
        psycopg.connect(**{**postgres(platform), "sslmode": "disable"})


def test_the_projects_bucket_takes_and_gives(platform: Platform) -> None:
    client = s3(platform)
    client.put_object(Bucket=REPOSITORY, Key="tests/object", Body=b"bytes")
    assert client.get_object(Bucket=REPOSITORY, Key="tests/object")["Body"].read() == b"bytes"
    client.delete_object(Bucket=REPOSITORY, Key="tests/object")

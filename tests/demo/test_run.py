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
    assert re.fullmatch(r"[0-9a-f]{12,64}", tags["data_version"].removeprefix("sha256:"))
    assert tags["pipeline"] == str(outcome.number)


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


def test_the_model_is_registered_with_its_signature(platform: Platform) -> None:
    models = platform.admin.mlflow("registered-models/search").get("registered_models", [])
    versions = [v for m in models for v in m.get("latest_versions", [])]
    run_id = platform.outcome.run["info"]["run_id"]
    found = platform.admin.mlflow("model-versions/search").get("model_versions", [])
    versions += found
    assert versions, "no registered model"
    # A second run of the same data is no better than the first and is not registered.
    first = [v for v in versions if v["run_id"] == run_id] or versions
    model = platform.admin.mlflow(f"runs/get?run_id={first[0]['run_id']}")["run"]
    assert model["info"]["status"] == "FINISHED"


def test_the_data_set_is_a_table_in_postgres_data(platform: Platform) -> None:
    version = platform.outcome.tags["data_version"].removeprefix("sha256:")
    with (
        psycopg.connect(
            host=f"postgres.{platform.domain}",
            port=5432,
            user=ADMIN,
            password=platform.project.password,
            dbname=REPOSITORY,
            sslmode="verify-full",
            sslrootcert=str(SYSTEM_CA),
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "select table_schema, table_name from information_schema.tables"
            " where table_schema not in ('pg_catalog', 'information_schema')"
        )
        tables = cursor.fetchall()
        assert any(version[:8] in "".join(names) for names in tables) or tables
        rows = 0
        for schema, table in tables:
            query = psycopg.sql.SQL("select count(*) from {}").format(
                psycopg.sql.Identifier(schema, table)
            )
            cursor.execute(query)
            [count] = cursor.fetchone() or [0]
            rows = max(rows, count)
    assert rows > 100


def test_plain_text_postgres_is_refused(platform: Platform) -> None:
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(
            host=f"postgres.{platform.domain}",
            port=5432,
            user=ADMIN,
            password=platform.project.password,
            dbname=REPOSITORY,
            sslmode="disable",
        )


def test_the_projects_bucket_takes_and_gives(platform: Platform) -> None:
    client = s3(platform)
    client.put_object(Bucket=REPOSITORY, Key="tests/object", Body=b"bytes")
    assert client.get_object(Bucket=REPOSITORY, Key="tests/object")["Body"].read() == b"bytes"
    client.delete_object(Bucket=REPOSITORY, Key="tests/object")

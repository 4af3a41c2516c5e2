"""Editors' documented requirements, Jupyter's protocols, and a notebook that needs no set-up."""

import json
import uuid

import pytest

from demo.project import REPOSITORY
from tests.demo.conftest import Platform
from tests.demo.workspaces.client import Client
from tests.demo.workspaces.jupyter import Jupyter

MINE = "admin-python"

# VS Code Remote-SSH asks for glibc 2.28, libstdc++ with GLIBCXX_3.4.25, bash, tar, curl or wget and
# TCP forwarding; JetBrains Gateway for glibc, SFTP, and places where programs run.
REQUIREMENTS = r"""
set -eu
ldd --version | sed -n '1s/.* //p'
grep -aohE 'GLIBCXX_3\.4\.[0-9]+' /usr/lib/*/libstdc++.so.6 | sort -Vu | tail -1
uname -sm
for program in bash tar gzip curl ps git; do
    command -v "$program" >/dev/null || echo "no $program"
done
for place in "$HOME" /tmp; do
    printf '#!/bin/bash\necho runs\n' >"$place/.dap-test"
    chmod +x "$place/.dap-test"
    "$place/.dap-test"
    rm "$place/.dap-test"
done
"""


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.rsplit("_", 1)[-1].split("."))


def test_editors_find_what_they_ask_for(admin: Client) -> None:
    lines = admin.said(MINE, "bash", given=REQUIREMENTS).splitlines()
    assert version(lines[0]) >= (2, 28)
    assert version(lines[1]) >= (3, 4, 25)
    assert lines[2] in {"Linux x86_64", "Linux aarch64"}
    assert lines[3:] == ["runs", "runs"]


@pytest.mark.parametrize("shell", ["bash -lc true", "bash -lic true", "sh -c true"])
def test_shells_print_nothing_that_an_editor_would_read(admin: Client, shell: str) -> None:
    done = admin.run(MINE, f"{shell} 2>&1 | grep -v 'job control\\|terminal process group'; true")
    assert done.stdout == ""


def test_sftp_is_a_subsystem_that_sees_the_home(admin: Client) -> None:
    done = admin.said("-b", "-", MINE, program="sftp", given="pwd\n")
    assert "/home/analyst" in done


@pytest.fixture
def jupyter(peopled: Platform) -> Jupyter:
    [route] = [each for each in peopled.plan["routes"] if each["name"] == MINE]
    return Jupyter(route["url"], peopled.project.password)


def test_a_cell_runs_by_the_kernel_protocol_through_the_proxy(jupyter: Jupyter) -> None:
    kernel = jupyter.start_kernel()
    try:
        assert jupyter.execute(kernel, "x = 6 * 7") == ""
        code = "import os; print(x, os.environ['PGHOST'])"
        assert jupyter.execute(kernel, code).startswith("42 postgres.")
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            jupyter.execute(kernel, "1 / 0")
    finally:
        jupyter.end_kernel(kernel)


CELLS = """
import boto3, mlflow, psycopg
s3 = boto3.client("s3")
s3.put_object(Bucket=PROJECT, Key=NAME, Body=b"13")
value = int(s3.get_object(Bucket=PROJECT, Key=NAME)["Body"].read())
s3.delete_object(Bucket=PROJECT, Key=NAME)
---
with psycopg.connect() as database:
    (total,) = database.execute("select sum(n) from generate_series(1, %s) n", [value]).fetchone()
---
mlflow.set_experiment(PROJECT)
with mlflow.start_run(run_name=NAME) as run:
    mlflow.log_metric("total", total)
    mlflow.log_text(str(total), "total.txt")
print(run.info.run_id)
"""


def test_a_notebook_reaches_mlflow_s3_and_postgres_without_set_up(
    peopled: Platform, admin: Client
) -> None:
    name = f"dap-test-{uuid.uuid4().hex[:8]}"
    first = f"PROJECT, NAME = {REPOSITORY!r}, {name!r}"
    cells = [
        {"cell_type": "code", "source": source.strip(), "metadata": {}, "outputs": []}
        | {"execution_count": None, "id": str(number)}
        for number, source in enumerate([first, *CELLS.split("---")])
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    place = f"/tmp/{name}.ipynb"
    admin.said(MINE, f"cat >{place}", given=json.dumps(notebook))
    admin.said(MINE, f"jupyter execute --inplace {place}")
    done = json.loads(admin.said(MINE, f"cat {place} && rm {place}"))
    run = "".join(done["cells"][-1]["outputs"][-1]["text"]).strip().splitlines()[-1]
    found = peopled.admin.run(run)
    try:
        assert found["info"]["status"] == "FINISHED"
        assert found["info"]["run_name"] == name
        assert {each["key"]: each["value"] for each in found["data"]["metrics"]} == {"total": 91.0}
        files = peopled.admin.mlflow(f"artifacts/list?run_id={run}")["files"]
        assert [each["path"] for each in files] == ["total.txt"]
    finally:
        peopled.admin.mlflow("runs/delete", run_id=run)

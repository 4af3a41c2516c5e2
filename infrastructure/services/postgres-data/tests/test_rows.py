"""Rows of jobs are in the database, which nobody reaches without TLS or without a password."""

from __future__ import annotations

import re
import socket
import struct
from typing import Any

from acceptance import Deployed, Ran, expect

SERVICE = "postgres-data"
LOGS = "make logs SERVICE=postgres-data; the job's log is on the page of its pipeline"


def query(platform: Deployed, database: str, statement: str) -> str:
    """Return what a statement gives, as the superuser whom the container alone lets in."""
    command = ("psql", "-h", "/tmp", "-U", "postgres", "-XAtqd", database, "-c", statement)
    return platform.execute(SERVICE, *command).strip()


def test_the_row_of_the_job(platform: Deployed, pipeline: Ran, job: dict[str, Any]) -> None:
    table = job["table"]
    expect(re.fullmatch(r"dap_verify_[0-9a-f]{12}", table), f"the table is called {table}", LOGS)
    found = query(platform, job["database"], f"select proof from {table}")
    query(platform, job["database"], f"drop table {table}")
    expect(found == pipeline.commit, "the row is not what the job wrote", LOGS)


def test_no_login_without_tls(platform: Deployed) -> None:
    """PostgreSQL's protocol 3.0: a start message without the request for TLS is refused."""
    stream = next(s for s in platform.prepared.plan.streams if s.service == SERVICE)
    words = b"user\0postgres\0database\0postgres\0\0"
    with socket.create_connection((platform.address, stream.listen), timeout=10) as client:
        client.sendall(struct.pack(">II", len(words) + 8, 3 << 16) + words)
        answer = client.makefile("rb").read(1)
    expect(answer == b"E", "it starts to talk without TLS", "make deploy")

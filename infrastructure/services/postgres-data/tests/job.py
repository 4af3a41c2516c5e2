#!/usr/bin/env python3
# environment: python
"""Makes a table with a row in the project's database, with the credentials that every job has."""

import json
import os

import psycopg

commit = os.environ["CI_COMMIT_SHA"]
table = f"dap_verify_{commit[:12]}"
with psycopg.connect() as connection:
    connection.execute(f"create table {table} (proof text)")
    connection.execute(f"insert into {table} values (%s)", [commit])
    database = connection.info.dbname
print(json.dumps({"database": database, "table": table}))

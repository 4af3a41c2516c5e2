#!/usr/bin/env python3
# environment: python
"""Puts an object into the project's bucket, with the credentials that every job has."""

import json
import os

import boto3

commit = os.environ["CI_COMMIT_SHA"]
bucket, key = os.environ["S3_BUCKET"], f"dap.verify/{commit}"
boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=commit.encode())
print(json.dumps({"bucket": bucket, "key": key}))

"""Data in objects as `dap reproduce` needs it: `s3://BUCKET/KEY`, or a prefix of keys."""

from __future__ import annotations

import configparser
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from dap.errors import DapError
from dap.reproduce.model import Account

KIND = "s3://"
GONE = {"NoSuchBucket", "NoSuchKey", "404"}


def has(account: Account, data: str) -> bool | None:
    """Tell if there is an object of this key, or below this prefix, in the default store."""
    if not data.startswith(KIND):
        return None
    place = urlsplit(data)
    keys, values = configparser.ConfigParser(), configparser.ConfigParser()
    keys.read(account.files["AWS_SHARED_CREDENTIALS_FILE"])
    values.read(account.files["AWS_CONFIG_FILE"])
    client = boto3.client(
        "s3",
        endpoint_url=values["default"]["endpoint_url"],
        region_name=values["default"]["region"],
        aws_access_key_id=keys["default"]["aws_access_key_id"],
        aws_secret_access_key=keys["default"]["aws_secret_access_key"],
        verify=str(account.files["DAP_CA_CERTIFICATE"]),
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )
    try:
        found = client.list_objects_v2(
            Bucket=place.netloc, Prefix=place.path.removeprefix("/"), MaxKeys=1
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in GONE:
            return False
        raise DapError(f"the store does not say if {data} is there: {error}") from error
    except BotoCoreError as error:
        raise DapError(f"the store does not say if {data} is there: {error}") from error
    return bool(found["KeyCount"])

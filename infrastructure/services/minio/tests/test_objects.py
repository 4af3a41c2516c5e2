"""Objects of jobs are in the store, and large ones pass through the proxy."""

from __future__ import annotations

import configparser
import datetime
import hashlib
import hmac
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from acceptance import Deployed, Ran, expect, expect_none
from tenacity import Retrying, stop_after_delay, wait_fixed

GIB = 1024**3
CLEAN_S = 60
BLOCK = bytes(1024**2)
# Sixteenth and quarter of the upload: it passes through and is not collected.
GROWTH = {"proxy": 64 * 1024**2, "store": 256 * 1024**2}
LOGS = "make logs SERVICE=minio, or nginx-proxy; is there room on the disk?"


@dataclass(frozen=True)
class Store:
    """The store as a project's job is told to reach it."""

    session: requests.Session
    endpoint: str
    bucket: str
    region: str
    access_key: str
    secret_key: str

    def request(self, method: str, key: str, content: Any = b"") -> requests.Response:
        """Send a request about an object, signed as AWS has it (Signature Version 4, 2012)."""
        host = urlsplit(self.endpoint).netloc
        path = quote(f"/{self.bucket}/{key}")
        now = datetime.datetime.now(datetime.UTC)
        time, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        headers = {"host": host, "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": time}
        signed = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        asked = f"{method}\n{path}\n\n{lines}\n{signed}\nUNSIGNED-PAYLOAD"
        scope = f"{day}/{self.region}/s3/aws4_request"
        digest = hashlib.sha256(asked.encode()).hexdigest()
        signing = f"AWS4{self.secret_key}".encode()
        for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{digest}"):
            signing = hmac.digest(signing, part.encode(), "sha256")
        credential = f"Credential={self.access_key}/{scope}"
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 {credential},SignedHeaders={signed},Signature={signing.hex()}"
        )
        url = f"{self.endpoint}{path}"
        return self.session.request(method, url, headers=headers, data=content, timeout=120)


class Zeros:
    """A file of zeros of `size` bytes, made while it is read."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._size = size

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        size = min(self._left, len(BLOCK), size if size >= 0 else self._left)
        self._left -= size
        return BLOCK[:size]


@pytest.fixture
def store(platform: Deployed, web: requests.Session) -> Store:
    if not platform.settings.projects:
        pytest.skip("there is no project that has a bucket")
    client = platform.client(platform.identity("project", platform.settings.projects[0].name))
    keys, places = configparser.ConfigParser(), configparser.ConfigParser()
    keys.read_string(client.files["AWS_SHARED_CREDENTIALS_FILE"])
    places.read_string(client.files["AWS_CONFIG_FILE"])
    if platform.settings.storage.default != "builtin":
        web.verify = True
    return Store(
        web,
        client.environment["S3_ENDPOINT_URL"].rstrip("/"),
        client.environment["S3_BUCKET"],
        places["default"]["region"],
        keys["default"]["aws_access_key_id"],
        keys["default"]["aws_secret_access_key"],
    )


@pytest.fixture
def key(store: Store) -> Iterator[str]:
    """A key that nobody uses; its object is deleted afterwards."""
    key = f"dap.verify/{uuid.uuid4().hex}"
    yield key
    # What broke an upload may take a moment to come up again.
    for attempt in Retrying(stop=stop_after_delay(CLEAN_S), wait=wait_fixed(0.5), reraise=True):
        with attempt:
            store.request("DELETE", key).raise_for_status()


def test_the_object_of_the_job(store: Store, pipeline: Ran, job: dict[str, Any]) -> None:
    answer = store.request("GET", job["key"])
    store.request("DELETE", job["key"]).raise_for_status()
    expect(answer.ok, f"the object is not there: {answer.status_code}", LOGS)
    expect(answer.text == pipeline.commit, "the object is not what the job wrote", LOGS)


def test_upload_of_1_gib_in_constant_memory(platform: Deployed, store: Store, key: str) -> None:
    if platform.settings.storage.default != "builtin":
        pytest.skip("the store is outside: what it does with memory is its own affair")
    watched = {"proxy": platform.entry, "store": "minio"}
    with platform.service_host.growth(watched) as grown:
        try:
            answer = store.request("PUT", key, Zeros(GIB))
        except requests.RequestException as error:
            expect(False, f"the upload breaks off: {error}", LOGS)
            return
    expect(answer.ok, f"the upload answers {answer.status_code}: {answer.text[:200]}", LOGS)
    there = store.request("HEAD", key).headers.get("Content-Length")
    expect(there == str(GIB), f"{there} bytes are there", LOGS)
    expect_none(
        (
            f"the {name} takes {grown[name] >> 20} MiB more memory, at most {limit >> 20} are right"
            for name, limit in GROWTH.items()
            if grown[name] > limit
        ),
        "is it as rendered? make verify ONLY=contents",
    )

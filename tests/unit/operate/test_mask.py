"""No form of a secret passes, and nothing else is touched."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from dap.mask import masking

SECRET = 'pass/wörd "7" & more'
KEY = "-----BEGIN KEY-----\nbGluZSBvbmUgb2Yga2V5\nbGluZSB0d28gb2Yga2V5\n-----END KEY-----\n"
MASK = masking(
    {"a": SECRET, "a/longer": f"{SECRET}-and-on", "tls/key": KEY, "tls/certificate": "public-text"}
)


@pytest.mark.parametrize(
    "text",
    [
        f"said {SECRET}!",
        f"said {SECRET}-and-on!",
        f"GET /?password={quote(SECRET, safe='')} 200",
        json.dumps({"password": SECRET}),
        json.dumps({"password": SECRET}, ensure_ascii=False),
        "key bGluZSB0d28gb2Yga2V5 of it",
    ],
)
def test_a_secret_is_masked(text: str) -> None:
    masked = MASK(text)
    assert "[masked]" in masked
    assert "more" not in masked
    assert "b2Yga2V5" not in masked
    assert (masked[0], masked[-1]) == (text[0], text[-1])


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
def test_base64_at_any_place(before: str) -> None:
    plain = f"{before}{SECRET} and then".encode()
    for coded in (base64.b64encode(plain), base64.urlsafe_b64encode(plain)):
        masked = MASK(f"Basic {coded.decode()}")
        assert "[masked]" in masked
        # What is left on either side holds less than three characters of it.
        left, _, right = masked.removeprefix("Basic ").partition("[masked]")
        assert len(left) <= len(base64.b64encode(before.encode())) + 1
        assert len(right) <= len(base64.b64encode(b" and then")) + 4


def test_all_else_stays() -> None:
    for text in ("public-text", "-----BEGIN KEY-----", "pass", ""):
        assert MASK(text) == text
    assert masking({})("anything") == "anything"
    assert masking({"short": "abc"})("abcdef") == "abcdef"

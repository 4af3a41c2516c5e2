"""Amounts of Kubernetes, as the API and settings write them."""

from __future__ import annotations

import pytest
from dap.stack.quantity import quantity


@pytest.mark.parametrize(("said", "is_"), [("500m", 0.5), ("2", 2), ("1Gi", 2**30), (0, 0)])
def test_an_amount_is_a_number(said: str | int, is_: float) -> None:
    assert float(quantity(said)) == is_

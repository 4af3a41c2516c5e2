"""Amounts as Kubernetes writes them: 100m, 1Gi."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from kubernetes.utils.quantity import parse_quantity

# The client's own types end here.
_parsed: Callable[[str], Decimal] = parse_quantity


def quantity(text: object) -> Decimal:
    """Return the number that an amount stands for; bytes, or processors.

    Raises:
        ValueError: it is none.
    """
    return _parsed(str(text))

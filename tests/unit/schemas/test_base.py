"""Bodies that are no bodies."""

from __future__ import annotations

import pytest

from server.domain.errors import Malformed
from server.schemas.base import decode_body
from server.schemas.bookings import QuantityRequest


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"quantity":' + b"[" * 100_000 + b"]" * 100_000 + b"}"],
    ids=["never closed", "in a field"],
)
def test_a_body_nested_without_end_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode_body(body, QuantityRequest)

"""provider   a local provider that answers as told
client     a GatewayClient that does not wait between its tries; ``client.pauses`` has the waits
impatient  one that soon gives an answer up
attempt    makes AttemptFacts; order makes a PaymentOrder"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from server.domain.gateway import AttemptFacts, PaymentOrder
from server.gateways.client import GatewayClient
from server.settings import GatewaySettings
from tests.provider import Provider, running_provider

STARTED = datetime(2026, 9, 1, 6, 0, tzinfo=UTC)


class HastyClient(GatewayClient):
    """Keeps the pauses between tries instead of making them."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.pauses: list[float] = []
        super().__init__(settings, sleep=self._note, jitter=lambda: 0.5)

    async def _note(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running_provider() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[HastyClient]:
    client = HastyClient(GatewaySettings())
    yield client
    await client.close()


@pytest.fixture
async def impatient() -> AsyncIterator[HastyClient]:
    client = HastyClient(GatewaySettings(read_seconds=0.1))
    yield client
    await client.close()


@pytest.fixture
def attempt() -> Callable[..., AttemptFacts]:
    def make(**changes: Any) -> AttemptFacts:
        facts: dict[str, Any] = {
            "reference": "PY-77",
            "amount": 150_050,
            "currency": "NPR",
            "created_at": STARTED,
        }
        return AttemptFacts(**facts | changes)

    return make


@pytest.fixture
def order() -> Callable[..., PaymentOrder]:
    def make(**changes: Any) -> PaymentOrder:
        facts: dict[str, Any] = {
            "reference": "PY-77",
            "amount": 150_050,
            "currency": "NPR",
            "title": "Satyanarayan Puja",
            "note": "Booking BK-1",
            "return_url": "https://app.example/pay/return/PY-77",
            "cancel_url": "https://app.example/pay/cancel/PY-77",
            "website_url": "https://app.example",
            "created_at": STARTED,
        }
        return PaymentOrder(**facts | changes)

    return make

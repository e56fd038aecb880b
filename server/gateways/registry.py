"""Which gateways there are, and which of them run.

A further one is its module, its section of the settings and one line here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from server.domain.booking import PaymentMethod
from server.domain.gateway import PaymentGateway
from server.gateways.client import GatewayClient
from server.gateways.esewa import EsewaGateway
from server.gateways.khalti import KhaltiGateway
from server.settings import Settings

Provider = tuple[str, Callable[[Any, GatewayClient], PaymentGateway]]
PROVIDERS: Final[dict[PaymentMethod, Provider]] = {
    PaymentMethod.KHALTI: ("khalti", KhaltiGateway),
    PaymentMethod.ESEWA: ("esewa", EsewaGateway),
}
"""Method, the name of its section in the settings, and its class."""


@asynccontextmanager
async def open_gateways(
    settings: Settings,
) -> AsyncIterator[Mapping[PaymentMethod, PaymentGateway]]:
    """Build the gateways that are enabled, on one HTTP client, and close it at the end."""
    client = GatewayClient(settings.gateways)
    try:
        yield build(settings, client)
    finally:
        await client.close()


def build(settings: Settings, client: GatewayClient) -> dict[PaymentMethod, PaymentGateway]:
    """Build the gateways that are enabled, in the order of the table."""
    sections = {method: getattr(settings, name) for method, (name, _) in PROVIDERS.items()}
    return {
        method: gateway(sections[method], client)
        for method, (_, gateway) in PROVIDERS.items()
        if sections[method].enabled
    }

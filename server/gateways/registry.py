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
from server.gateways.connectips import ConnectIpsGateway
from server.gateways.esewa import EsewaGateway
from server.gateways.imepay import ImePayGateway
from server.gateways.khalti import KhaltiGateway
from server.settings import Settings, SettingsError


def _stripe(section: Any, client: GatewayClient) -> PaymentGateway:
    # Stripe's library takes a quarter of a second to load, and few installations use it.
    from server.gateways.stripe import StripeGateway

    return StripeGateway(section, client)


Provider = tuple[str, Callable[[Any, GatewayClient], PaymentGateway]]
PROVIDERS: Final[dict[PaymentMethod, Provider]] = {
    PaymentMethod.KHALTI: ("khalti", KhaltiGateway),
    PaymentMethod.ESEWA: ("esewa", EsewaGateway),
    PaymentMethod.CONNECT_IPS: ("connect_ips", ConnectIpsGateway),
    PaymentMethod.IME_PAY: ("ime_pay", ImePayGateway),
    PaymentMethod.STRIPE: ("stripe", _stripe),
}
"""Method, the name of its section in the settings, and what makes it."""


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
    """Build the gateways that are enabled, in the order of the table.

    Raises
    ------
    SettingsError
        If a key file cannot be read, and in production if a gateway runs with test keys.
    """
    built = {}
    for method, (name, gateway) in PROVIDERS.items():
        section = getattr(settings, name)
        if not section.enabled:
            continue
        built[method] = gateway(section, client)
        if settings.is_production and built[method].traits.is_test:
            raise SettingsError([f"{name}: runs with test keys or at a test host"])
    return built

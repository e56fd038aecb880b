"""Stripe's gateway against ``localstripe``, somebody else's stand-in, for what that supports.

It runs as a process of its own. It knows intents, refunds and signed webhooks; it knows no
Checkout Sessions and no ``amount_received``, and it makes a refund twice under one key.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from server.domain.errors import ForgedCallback
from server.domain.gateway import AttemptFacts, Outcome, RefundOrder, RefundState
from server.gateways.client import GatewayClient
from server.gateways.stripe import StripeGateway
from server.loopback import free_port
from server.settings import GatewaySettings, StripeSettings
from tests.sandbox_control import Ear, listening_ear

# The program of the environment that runs the tests, else one on the path.
PROGRAM = shutil.which("localstripe", path=str(Path(sys.executable).parent)) or shutil.which(
    "localstripe"
)
SECRET = "whsec_localstripe"
KEY = "sk_test_localstripe"
START_SECONDS = 60
pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="localstripe is not installed"),
    pytest.mark.skipif(not socket.has_ipv6, reason="localstripe listens on IPv6"),
]


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    assert PROGRAM
    address = f"http://127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *("--from-scratch", "--port", address.rpartition(":")[2]),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient() as client, asyncio.timeout(START_SECONDS):
            while not await answers(client, address):
                assert process.returncode is None, "localstripe has ended"
                await asyncio.sleep(0.05)
        yield address
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def answers(client: httpx.AsyncClient, address: str) -> bool:
    try:
        return (await client.get(f"{address}/v1/refunds", auth=(KEY, ""))).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
async def client() -> AsyncIterator[GatewayClient]:
    client = GatewayClient(GatewaySettings())
    yield client
    await client.close()


@pytest.fixture
def gateway(url: str, client: GatewayClient) -> StripeGateway:
    settings = StripeSettings(enabled=True, api_url=url, secret_key=KEY, webhook_secret=SECRET)
    return StripeGateway(settings, client, tries=0)


@pytest.fixture
async def buyer(url: str) -> AsyncIterator[stripe.StripeClient]:
    """The customer's side: pays intents by card."""
    http = stripe.HTTPXClient(timeout=20)
    yield stripe.StripeClient(KEY, http_client=http, base_addresses={"api": url})
    await http.close_async()


@pytest.fixture
async def ear(url: str) -> AsyncIterator[Ear]:
    async with listening_ear() as listening:
        body = {"url": listening.url, "secret": SECRET}
        async with httpx.AsyncClient(base_url=url, auth=(KEY, "")) as http:
            response = await http.post("/_config/webhooks/ours", json=body)
            assert response.status_code == 200, response.text
        yield listening


async def intent(buyer: stripe.StripeClient, reference: str, **changes: Any) -> str:
    params: Any = {
        "amount": 150_050,
        "currency": "npr",
        "metadata": {"payment_id": reference},
        "payment_method": "pm_card_visa",
        "confirm": True,
    }
    made = await buyer.v1.payment_intents.create_async(params | changes)
    return made.id


def facts(intent_id: str, reference: str) -> AttemptFacts:
    return AttemptFacts(
        reference=reference,
        amount=150_050,
        currency="NPR",
        created_at=datetime.now(UTC),
        gateway_id=intent_id,
        transaction_id=intent_id,
    )


async def test_a_paid_intent_is_read(gateway: StripeGateway, buyer: stripe.StripeClient) -> None:
    intent_id = await intent(buyer, "PY-1")
    verdict = await gateway.verify(facts(intent_id, "PY-1"), datetime.now(UTC))
    assert verdict.outcome is Outcome.PAID
    assert (verdict.reference, verdict.currency) == ("PY-1", "NPR")
    assert verdict.transaction_id == intent_id
    # It does not tell what was received: such a success is not a clean one.
    assert verdict.amount is None
    assert verdict.mismatches == ("amount",)


async def test_an_unpaid_and_a_cancelled_intent_are_read(
    gateway: StripeGateway, buyer: stripe.StripeClient
) -> None:
    intent_id = await intent(buyer, "PY-2", confirm=False)
    verdict = await gateway.verify(facts(intent_id, "PY-2"), datetime.now(UTC))
    assert verdict.outcome is Outcome.UNCHANGED
    await buyer.v1.payment_intents.cancel_async(intent_id)
    verdict = await gateway.verify(facts(intent_id, "PY-2"), datetime.now(UTC))
    assert verdict.outcome is Outcome.FAILED


async def test_an_unknown_intent_is_looked_at(gateway: StripeGateway) -> None:
    verdict = await gateway.verify(facts("pi_absent", "PY-3"), datetime.now(UTC))
    assert (verdict.outcome, verdict.review) == (Outcome.UNKNOWN, "unknown-at-the-provider")


async def test_refunds_are_made_and_counted(
    gateway: StripeGateway, buyer: stripe.StripeClient
) -> None:
    attempt = facts(await intent(buyer, "PY-4"), "PY-4")
    for number, amount in enumerate((50_000, 100_050)):
        order = RefundOrder(id=f"PY-4-R{number}", amount=amount, is_full=False, reason="cancelled")
        answer = await gateway.refund(attempt, order)
        assert answer.state is RefundState.DONE
        assert answer.gateway_id
    verdict = await gateway.verify(attempt, datetime.now(UTC))
    assert verdict.refunded == 150_050


async def test_a_refund_of_an_unpaid_intent_is_refused(
    gateway: StripeGateway, buyer: stripe.StripeClient
) -> None:
    intent_id = await intent(buyer, "PY-5", payment_method=None, confirm=False)
    order = RefundOrder(id="PY-5-R1", amount=50_000, is_full=False)
    answer = await gateway.refund(facts(intent_id, "PY-5"), order)
    assert answer.state is RefundState.FAILED


async def test_its_webhooks_are_accepted_with_their_secret_only(
    gateway: StripeGateway, buyer: stripe.StripeClient, ear: Ear, client: GatewayClient, url: str
) -> None:
    intent_id = await intent(buyer, "PY-6")

    def told() -> list[tuple[dict[str, str], bytes]]:
        # Webhooks come a second late: those of payments before may come here too.
        return [
            (headers, body)
            for _, headers, body in ear.heard
            if intent_id.encode() in body and b"payment_intent.succeeded" in body
        ]

    await ear.until(lambda: bool(told()))
    ((headers, body),) = told()
    (notice,) = gateway.read_webhook(headers, body, datetime.now(UTC))
    assert notice.kind == "payment_intent.succeeded"
    assert (notice.reference, notice.transaction_id) == ("PY-6", intent_id)
    assert notice.verdict is not None
    assert notice.verdict.outcome is Outcome.PAID
    with pytest.raises(ForgedCallback):
        gateway.read_webhook(headers, body + b" ", datetime.now(UTC))
    other = StripeSettings(api_url=url, secret_key=KEY, webhook_secret="whsec_other")
    with pytest.raises(ForgedCallback):
        StripeGateway(other, client).read_webhook(headers, body, datetime.now(UTC))

"""Every gateway, against a server that speaks its provider's protocol, over real HTTP.

One suite for all: what a customer does on the provider's page, what comes back, and what the
gateway then makes of the provider's word. The stand-ins check signatures and keys for real.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from server.domain.booking import PaymentMethod
from server.domain.errors import (
    ForgedCallback,
    GatewayMisconfigured,
    GatewayUnavailable,
    NotFound,
)
from server.domain.gateway import (
    ActionKind,
    AttemptFacts,
    Claim,
    Outcome,
    PaymentGateway,
    PaymentOrder,
    RefundOrder,
    RefundState,
    ReturnHint,
    Verdict,
    WebhookNotice,
)
from server.gateways.client import GatewayClient
from server.gateways.khalti import WIDGET_TOKEN
from server.gateways.registry import build
from server.sandbox import keys
from server.settings import (
    ConnectIpsSettings,
    EsewaSettings,
    GatewaySettings,
    ImePaySettings,
    KhaltiSettings,
    Settings,
    StripeSettings,
)
from tests.payment_keys import write_pfx
from tests.sandbox_control import SandboxControl, listening_ear, running_sandbox

SHOP = "http://127.0.0.1:9/pay"
PFX_PASSWORD = "1234"
WEBHOOK_SECRET = "whsec_contract"
METHODS = {
    "khalti": PaymentMethod.KHALTI,
    "esewa": PaymentMethod.ESEWA,
    "esewa-v1": PaymentMethod.ESEWA,
    "connectips": PaymentMethod.CONNECT_IPS,
    "imepay": PaymentMethod.IME_PAY,
    "stripe": PaymentMethod.STRIPE,
}
every = pytest.mark.parametrize("name", METHODS)
# The older form of eSewa tells nobody who does not bring an id that came through the browser.
asked = pytest.mark.parametrize("name", [name for name in METHODS if name != "esewa-v1"])


@dataclass
class Trip:
    """One payment from its start on, and the customer's browser on its way."""

    sandbox: SandboxControl
    gateway: PaymentGateway
    provider: str
    order: PaymentOrder
    facts: AttemptFacts
    page: str
    """The provider's name of its page for this payment."""

    async def act(self, action: str, **fields: str) -> ReturnHint | None:
        """Press a button there; what comes back to us, if anything does."""
        response = await self.sandbox.act(self.provider, self.page, action, **fields)
        if response.status_code != 303:
            assert response.status_code == 200, response.text
            return None
        url = urlsplit(response.headers["location"])
        hint = self.gateway.read_return(self.facts, dict(parse_qsl(url.query)))
        self.facts = dataclasses.replace(self.facts, details={**self.facts.details, **hint.details})
        return hint

    async def verify(self, **later: float) -> Verdict:
        now = self.facts.created_at + timedelta(seconds=5) + timedelta(**later)
        return await self.gateway.verify(self.facts, now)

    async def paid(self) -> Verdict:
        """Pay, come back, and take the provider's word."""
        await self.act("pay")
        verdict = await self.verify()
        assert verdict.outcome is Outcome.PAID
        self.facts = dataclasses.replace(self.facts, transaction_id=verdict.transaction_id)
        return verdict


class HastyClient(GatewayClient):
    """Does not wait between its tries."""

    def __init__(self) -> None:
        super().__init__(GatewaySettings(), sleep=self._go_on)

    async def _go_on(self, seconds: float) -> None:
        return


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[SandboxControl]:
    async with running_sandbox() as control:
        yield control


@pytest.fixture
async def sandbox(running: SandboxControl) -> SandboxControl:
    await running.client.post("/_sandbox/reset")
    await running.register(
        stripe_webhook="",
        stripe_webhook_secret=WEBHOOK_SECRET,
        connectips_success=f"{SHOP}/success",
        connectips_failure=f"{SHOP}/failure",
    )
    return running


@pytest.fixture
async def client() -> AsyncIterator[GatewayClient]:
    client = HastyClient()
    yield client
    await client.close()


@pytest.fixture(scope="module")
def pfx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pfx(tmp_path_factory.mktemp("keys") / "CREDITOR.pfx", PFX_PASSWORD)


@pytest.fixture
def settings(running: SandboxControl, pfx: Path) -> Settings:
    url = running.url
    return Settings(
        khalti=KhaltiSettings(
            enabled=True,
            api_url=f"{url}/khalti/api/v2/",
            refund_url=f"{url}/khalti/api/",
            secret_key="05bf95cc57244045b8df5fad06748dab",
            widget_secret_key="test_secret_key_f59e8b7d18b4499ca40f68195a846e9b",
        ),
        esewa=EsewaSettings(
            enabled=True,
            product_code="EPAYTEST",
            secret_key="8gBm/:&EnhH.1/q",
            form_url=f"{url}/esewa/api/epay/main/v2/form",
            status_url=f"{url}/esewa/api/epay/transaction/status/",
            v1_form_url=f"{url}/esewa/epay/main",
            v1_verify_url=f"{url}/esewa/epay/transrec",
        ),
        connect_ips=ConnectIpsSettings(
            enabled=True,
            base_url=f"{url}/connectips",
            merchant_id="550",
            app_id="MER-550-APP-1",
            app_name="PanditYatra",
            app_password="Abcd@123",
            key_path=str(pfx),
            key_password=PFX_PASSWORD,
        ),
        ime_pay=ImePaySettings(
            enabled=True,
            base_url=f"{url}/imepay",
            merchant_code="PANDIT",
            module="PANDIT",
            user="pandityatra",
            password="secret",
        ),
        stripe=StripeSettings(
            enabled=True,
            api_url=f"{url}/stripe",
            secret_key=keys.STRIPE_SECRET_KEY,
            webhook_secret=WEBHOOK_SECRET,
        ),
    )


def section_of(name: str) -> str:
    return {"connectips": "connect_ips", "imepay": "ime_pay", "esewa-v1": "esewa"}.get(name, name)


def section_less(name: str) -> str:
    """What the sandbox calls the gateway."""
    return name.removesuffix("-v1")


def changed(settings: Settings, name: str, **changes: Any) -> Settings:
    section = dataclasses.replace(getattr(settings, section_of(name)), **changes)
    return dataclasses.replace(settings, **{section_of(name): section})


def gateway_of(name: str, settings: Settings, client: GatewayClient) -> PaymentGateway:
    alone = Settings(**{section_of(name): getattr(settings, section_of(name))})
    if name == "esewa-v1":
        alone = changed(alone, name, use_v1=True)
    return build(alone, client)[METHODS[name]]


def new_order(amount: int = 150_050, currency: str = "NPR") -> PaymentOrder:
    reference = f"PY-{secrets.token_hex(6)}"
    return PaymentOrder(
        reference=reference,
        amount=amount,
        currency=currency,
        title="Satyanarayan Puja",
        note="Booking BK-1",
        return_url=f"{SHOP}/return/{reference}",
        cancel_url=f"{SHOP}/cancel/{reference}",
        website_url="http://127.0.0.1:9",
        created_at=datetime.now(UTC),
        customer_name="Sita",
    )


async def browse(sandbox: SandboxControl, action: Any) -> httpx.Response:
    """Do in the browser what the shop's page says."""
    if action.kind is ActionKind.FORM:
        return await sandbox.client.post(action.url, data=dict(action.fields))
    assert action.kind is ActionKind.REDIRECT
    return await sandbox.client.get(action.url)


StartTrip = Callable[..., Any]


@pytest.fixture
def trip(sandbox: SandboxControl, settings: Settings, client: GatewayClient) -> StartTrip:
    async def start(name: str, order: PaymentOrder | None = None) -> Trip:
        order = order or new_order()
        gateway = gateway_of(name, settings, client)
        started = await gateway.start(order)
        answer = await browse(sandbox, started.action)
        page = answer.headers["location"] if answer.status_code == 303 else started.action.url
        assert answer.status_code in (200, 303), answer.text
        provider, _, payment = urlsplit(page).path.strip("/").split("/")
        facts = AttemptFacts(
            reference=order.reference,
            amount=order.amount,
            currency=order.currency,
            created_at=order.created_at,
            gateway_id=started.gateway_id,
            details=started.details,
        )
        return Trip(sandbox, gateway, provider, order, facts, unquote(payment))

    return start


def assert_clean(verdict: Verdict, trip: Trip) -> None:
    """The provider tells of this payment and no other, in full, and nothing contradicts."""
    assert verdict.outcome is Outcome.PAID
    assert verdict.amount in (trip.order.amount, None)
    assert verdict.amount is not None or trip.provider == "imepay"
    assert verdict.currency in (trip.order.currency, None)
    assert verdict.reference in (trip.order.reference, None)
    assert verdict.gateway_id in (trip.facts.gateway_id, None)
    assert verdict.reference or verdict.gateway_id
    assert verdict.transaction_id
    assert verdict.mismatches == ()
    assert verdict.review == ""


@every
async def test_what_is_paid_there_is_paid_here(trip: StartTrip, name: str) -> None:
    journey = await trip(name)
    hint = await journey.act("pay")
    assert hint.claim in (Claim.PAID, Claim.UNKNOWN if name == "connectips" else Claim.PAID)
    assert hint.mismatches == ()
    assert_clean(await journey.verify(), journey)
    assert_clean(await journey.verify(), journey)


@every
@pytest.mark.parametrize("amount", [10_000, 150_000, 150_005, 99_999_999])
async def test_amounts_arrive_to_the_paisa(
    trip: StartTrip, sandbox: SandboxControl, name: str, amount: int
) -> None:
    journey = await trip(name, new_order(amount))
    assert (await sandbox.row(journey.order.reference))["amount"] == amount
    assert_clean(await journey.paid(), journey)


@every
async def test_before_anything_is_paid_nothing_is(trip: StartTrip, name: str) -> None:
    verdict = await (await trip(name)).verify()
    assert verdict.outcome in (Outcome.UNCHANGED, Outcome.IN_PROGRESS)


@every
async def test_a_payment_without_a_way_back_is_found_by_asking(trip: StartTrip, name: str) -> None:
    journey = await trip(name)
    assert await journey.act("pay-and-close") is None
    if name == "esewa-v1":
        assert (await journey.verify()).outcome is Outcome.UNCHANGED
        return
    assert_clean(await journey.verify(), journey)


@every
@pytest.mark.parametrize("action", ["cancel", "fail"])
async def test_what_is_not_paid_there_fails_here(
    trip: StartTrip, sandbox: SandboxControl, name: str, action: str
) -> None:
    journey = await trip(name)
    hint = await journey.act(action)
    assert hint is None or hint.claim is not Claim.PAID
    # Stripe's page stays open for another card, or another mind, until it expires.
    await sandbox.advance(3600)
    verdict = await journey.verify(hours=1)
    expected = Outcome.UNCHANGED if name == "esewa-v1" else Outcome.FAILED
    assert verdict.outcome is expected
    assert verdict.review == ""


@every
async def test_what_is_pending_there_is_open_here_until_it_is_paid(
    trip: StartTrip, name: str
) -> None:
    journey = await trip(name)
    await journey.act("later")
    verdict = await journey.verify()
    assert verdict.outcome in (Outcome.IN_PROGRESS, Outcome.UNCHANGED)
    assert_clean(await journey.paid(), journey)


@every
async def test_what_expired_there_fails_here(
    trip: StartTrip, sandbox: SandboxControl, name: str
) -> None:
    journey = await trip(name)
    await sandbox.advance(2 * 3600)
    verdict = await journey.verify(hours=2)
    assert verdict.outcome is (Outcome.UNCHANGED if name == "esewa-v1" else Outcome.FAILED)
    assert verdict.review == ""


@asked
async def test_a_success_after_a_failure_is_a_success(
    trip: StartTrip, sandbox: SandboxControl, name: str
) -> None:
    await sandbox.order(name, "late-success", seconds=60.0)
    journey = await trip(name)
    await journey.act("pay")
    assert (await journey.verify()).outcome is not Outcome.PAID
    await sandbox.advance(61)
    assert_clean(await journey.verify(), journey)


@every
@pytest.mark.parametrize("mode", ["drop", "bad-gateway", "service-down"])
async def test_a_question_that_fails_is_asked_again(
    trip: StartTrip, sandbox: SandboxControl, name: str, mode: str
) -> None:
    journey = await trip(name)
    await journey.act("pay")
    await sandbox.order(
        section_less(name), mode, on="verify", count=2, on_payment=journey.order.reference
    )
    assert_clean(await journey.verify(), journey)


@every
async def test_a_provider_that_is_away_decides_nothing(
    trip: StartTrip, sandbox: SandboxControl, name: str
) -> None:
    journey = await trip(name)
    await journey.act("pay")
    trouble = {"mode": "bad-gateway", "count": 50, "on_payment": journey.order.reference}
    await sandbox.order_all(
        section_less(name), {**trouble, "on": "verify"}, {**trouble, "on": "confirm"}
    )
    with pytest.raises(GatewayUnavailable):
        await journey.verify(hours=2)


@pytest.mark.parametrize("name", ["khalti", "imepay"])
@pytest.mark.parametrize("mode", ["drop", "bad-gateway"])
async def test_a_start_that_is_lost_is_no_payment(
    settings: Settings, client: GatewayClient, sandbox: SandboxControl, name: str, mode: str
) -> None:
    gateway = gateway_of(name, settings, client)
    await sandbox.order(name, mode, on="start", count=50)
    order = new_order()
    with pytest.raises(GatewayUnavailable):
        await gateway.start(order)
    facts = AttemptFacts(
        reference=order.reference,
        amount=order.amount,
        currency=order.currency,
        created_at=order.created_at,
    )
    verdict = await gateway.verify(facts, order.created_at + timedelta(hours=1))
    assert verdict.outcome is Outcome.FAILED


async def test_a_start_that_stripe_did_not_answer_is_made_once(
    settings: Settings, client: GatewayClient, sandbox: SandboxControl
) -> None:
    gateway = gateway_of("stripe", settings, client)
    await sandbox.order("stripe", "drop", on="start")
    order = new_order()
    started = await gateway.start(order)
    assert (await sandbox.row(order.reference))["id"] == started.gateway_id


async def test_a_confirmation_that_is_lost_is_made_again(
    trip: StartTrip, sandbox: SandboxControl
) -> None:
    journey = await trip("imepay")
    await journey.act("pay")
    await sandbox.order("imepay", "drop", on="confirm", on_payment=journey.order.reference)
    assert_clean(await journey.verify(), journey)
    paths = [entry["url"] for entry in await sandbox.log(gateway="imepay")]
    assert [path.rpartition("/")[2] for path in paths[-3:]] == ["Confirm", "Recheck", "Confirm"]


@every
async def test_words_that_nobody_knows_move_nothing(
    trip: StartTrip, sandbox: SandboxControl, name: str
) -> None:
    journey = await trip(name)
    await journey.act("pay")
    await sandbox.order(section_less(name), "unknown-status", on_payment=journey.order.reference)
    verdict = await journey.verify(hours=1)
    if name == "esewa-v1":
        assert verdict.outcome is Outcome.UNCHANGED
    else:
        assert (verdict.outcome, verdict.review) == (Outcome.UNKNOWN, "unknown-status")


@asked
async def test_another_amount_is_reported_as_it_is(
    trip: StartTrip, sandbox: SandboxControl, name: str
) -> None:
    await sandbox.order(name, "changed-amount", where="answer", value=10_000)
    journey = await trip(name)
    await journey.act("pay-and-close")
    verdict = await journey.verify()
    assert verdict.amount == 10_000 or "amount" in verdict.mismatches


@asked
async def test_another_reference_is_reported_as_it_is(
    trip: StartTrip, sandbox: SandboxControl, name: str
) -> None:
    await sandbox.order(name, "changed-reference", where="answer", value="OTHER-1")
    journey = await trip(name)
    await journey.act("pay-and-close")
    verdict = await journey.verify()
    assert "OTHER-1" in (verdict.reference, verdict.gateway_id) or "reference" in verdict.mismatches


@pytest.mark.parametrize("name", METHODS)
async def test_the_answer_of_another_payment_does_not_fit(
    trip: StartTrip, sandbox: SandboxControl, name: str
) -> None:
    cheap = await trip(name, new_order(10_000))
    await cheap.paid()
    await sandbox.order(section_less(name), "replay-other")
    dear = await trip(name)
    hint = await dear.act("pay")
    assert hint.mismatches
    assert hint.details == {}
    if name == "stripe":
        return
    # Whatever the browser said, only the payment itself is asked about.
    verdict = await dear.verify()
    if name == "esewa-v1":
        assert verdict.outcome is Outcome.UNCHANGED
    else:
        assert_clean(verdict, dear)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("esewa", "wrong-signature"),
        ("esewa", "missing-signature"),
        ("esewa", "reflected-signature"),
        ("esewa", "changed-amount"),
        ("esewa", "changed-reference"),
    ],
)
async def test_a_return_that_the_provider_has_not_signed_is_refused(
    trip: StartTrip, sandbox: SandboxControl, name: str, mode: str
) -> None:
    await sandbox.order(name, mode)
    journey = await trip(name)
    with pytest.raises(ForgedCallback):
        await journey.act("pay")
    assert_clean(await journey.verify(), journey)


async def test_a_failure_that_is_told_as_paid_is_refused(
    trip: StartTrip, sandbox: SandboxControl
) -> None:
    await sandbox.order("esewa", "changed-status")
    journey = await trip("esewa")
    with pytest.raises(ForgedCallback):
        await journey.act("cancel")
    assert (await journey.verify()).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("esewa", "comma-amount"),
        ("esewa", "number-amount"),
        ("connectips", "misspelt-status"),
        ("connectips", "swapped-numbers"),
        ("imepay", "swapped-numbers"),
    ],
)
async def test_odd_but_true_answers_are_believed(
    trip: StartTrip, sandbox: SandboxControl, name: str, mode: str
) -> None:
    await sandbox.order(name, mode)
    journey = await trip(name)
    hint = await journey.act("pay")
    assert hint.mismatches == ()
    assert_clean(await journey.verify(), journey)


@every
async def test_a_claim_is_no_proof(trip: StartTrip, sandbox: SandboxControl, name: str) -> None:
    await sandbox.order(section_less(name), "redirect-says-paid")
    journey = await trip(name)
    await journey.act("pay")
    assert (await journey.verify()).outcome is not Outcome.PAID


@asked
async def test_a_claimed_failure_is_none_either(
    trip: StartTrip, sandbox: SandboxControl, name: str
) -> None:
    await sandbox.order(name, "redirect-says-failed")
    journey = await trip(name)
    await journey.act("pay")
    assert_clean(await journey.verify(), journey)


@pytest.mark.parametrize("name", ["khalti", "esewa", "stripe"])
async def test_what_went_back_at_the_provider_is_seen(trip: StartTrip, name: str) -> None:
    journey = await trip(name)
    await journey.paid()
    await journey.act("refund")
    verdict = await journey.verify()
    assert verdict.outcome is Outcome.REFUNDED
    assert verdict.refunded in (journey.order.amount, None)


@pytest.mark.parametrize("name", ["khalti", "esewa", "stripe"])
async def test_what_went_back_in_part_is_seen(trip: StartTrip, name: str) -> None:
    journey = await trip(name)
    await journey.paid()
    await journey.act("partial-refund", amount="100.50")
    verdict = await journey.verify()
    assert verdict.outcome is Outcome.PARTLY_REFUNDED
    assert verdict.refunded == 10_050 or verdict.review == "size-of-refund-unknown"


def refund_of(journey: Trip, amount: int, number: int = 1) -> RefundOrder:
    return RefundOrder(
        id=f"{journey.order.reference}-R{number}",
        amount=amount,
        is_full=amount == journey.order.amount,
    )


@every
async def test_a_refund_goes_back_or_is_for_staff(
    trip: StartTrip, sandbox: SandboxControl, name: str
) -> None:
    journey = await trip(name)
    await journey.paid()
    answer = await journey.gateway.refund(journey.facts, refund_of(journey, journey.order.amount))
    row = await sandbox.row(journey.order.reference)
    if not journey.gateway.traits.can_refund:
        assert answer.state is RefundState.MANUAL
        assert row["refunded"] == 0
        return
    assert answer.state is RefundState.DONE
    assert row["refunded"] == journey.order.amount
    assert (await journey.verify()).outcome is Outcome.REFUNDED


@pytest.mark.parametrize("name", ["khalti", "stripe"])
async def test_refunds_in_parts_add_up_and_end(
    trip: StartTrip, sandbox: SandboxControl, name: str
) -> None:
    journey = await trip(name)
    await journey.paid()
    for number, (amount, state) in enumerate(
        [
            (100_000, RefundState.DONE),
            (50_051, RefundState.FAILED),
            (50_050, RefundState.DONE),
            (1_000, RefundState.FAILED),
        ]
    ):
        answer = await journey.gateway.refund(journey.facts, refund_of(journey, amount, number))
        assert answer.state is state
        if state is RefundState.DONE:
            refunded = journey.facts.refunded + amount
            journey.facts = dataclasses.replace(journey.facts, refunded=refunded)
    assert (await sandbox.row(journey.order.reference))["refunded"] == journey.order.amount
    assert (await journey.verify()).outcome is Outcome.REFUNDED


@pytest.mark.parametrize(
    ("name", "state"), [("khalti", RefundState.UNKNOWN), ("stripe", RefundState.DONE)]
)
async def test_a_refund_with_a_lost_answer_is_made_once(
    trip: StartTrip, sandbox: SandboxControl, name: str, state: RefundState
) -> None:
    journey = await trip(name)
    await journey.paid()
    await sandbox.order(name, "refund-timeout", seconds=0.5, on_payment=journey.order.reference)
    answer = await journey.gateway.refund(journey.facts, refund_of(journey, journey.order.amount))
    # Stripe is asked again under the same key; Khalti has none, so it is looked up instead.
    assert answer.state is state
    assert (await journey.verify()).outcome is Outcome.REFUNDED
    assert (await sandbox.row(journey.order.reference))["refunded"] == journey.order.amount


@pytest.mark.parametrize("name", ["khalti", "stripe"])
async def test_a_refund_that_is_refused_has_failed(
    trip: StartTrip, sandbox: SandboxControl, name: str
) -> None:
    journey = await trip(name)
    await journey.paid()
    await sandbox.order(name, "refund-declined", on_payment=journey.order.reference)
    answer = await journey.gateway.refund(journey.facts, refund_of(journey, journey.order.amount))
    assert answer.state is RefundState.FAILED
    assert answer.reason
    assert (await sandbox.row(journey.order.reference))["refunded"] == 0


async def test_stripe_never_makes_a_refund_twice(trip: StartTrip, sandbox: SandboxControl) -> None:
    journey = await trip("stripe")
    await journey.paid()
    refund = refund_of(journey, 50_000)
    first = await journey.gateway.refund(journey.facts, refund)
    second = await journey.gateway.refund(journey.facts, refund)
    assert first.gateway_id == second.gateway_id
    assert (await sandbox.row(journey.order.reference))["refunded"] == 50_000


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("khalti", {"secret_key": "0" * 32}),
        ("imepay", {"password": "wrong"}),
        ("imepay", {"module": "OTHER"}),
        ("stripe", {"secret_key": "sk_test_wrong"}),
    ],
)
@pytest.mark.logs_errors("gateway_refused_us")
async def test_wrong_keys_are_an_alarm_not_a_refusal(
    settings: Settings, client: GatewayClient, sandbox: SandboxControl, name: str, wrong: Any
) -> None:
    gateway = gateway_of(name, changed(settings, name, **wrong), client)
    with pytest.raises(GatewayMisconfigured):
        await gateway.start(new_order())


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("esewa", {"secret_key": "wrong"}), ("connectips", {"app_password": "wrong"})],
)
@pytest.mark.logs_errors("gateway_refused_us")
async def test_forms_and_questions_with_wrong_keys_are_not_taken(
    settings: Settings, client: GatewayClient, sandbox: SandboxControl, name: str, wrong: Any
) -> None:
    gateway = gateway_of(name, changed(settings, name, **wrong), client)
    order = new_order()
    started = await gateway.start(order)
    answer = await browse(sandbox, started.action)
    if name == "esewa":
        assert answer.status_code >= 400
        assert await sandbox.ledger(reference=order.reference) == []
        return
    facts = AttemptFacts(
        reference=order.reference,
        amount=order.amount,
        currency=order.currency,
        created_at=order.created_at,
    )
    with pytest.raises(GatewayMisconfigured):
        await gateway.verify(facts, order.created_at)


async def test_a_form_under_another_key_is_not_taken(
    settings: Settings, client: GatewayClient, sandbox: SandboxControl, tmp_path: Path
) -> None:
    other = write_pfx(tmp_path / "other.pfx", PFX_PASSWORD, rsa.generate_private_key(65537, 2048))
    own = changed(settings, "connectips", key_path=str(other))
    gateway = gateway_of("connectips", own, client)
    order = new_order()
    answer = await browse(sandbox, (await gateway.start(order)).action)
    assert answer.status_code == 403
    facts = AttemptFacts(
        reference=order.reference,
        amount=order.amount,
        currency=order.currency,
        created_at=order.created_at,
    )
    with pytest.raises(GatewayUnavailable):
        await gateway.verify(facts, order.created_at + timedelta(hours=1))


@every
async def test_only_stripe_sends_webhooks(
    settings: Settings, client: GatewayClient, name: str
) -> None:
    gateway = gateway_of(name, settings, client)
    expected = ForgedCallback if name == "stripe" else NotFound
    with pytest.raises((expected,)):
        gateway.read_webhook({}, b"{}", datetime.now(UTC))


async def test_stripes_webhooks_tell_of_a_payment_and_its_refund(
    trip: StartTrip, sandbox: SandboxControl
) -> None:
    async with listening_ear() as ear:
        await sandbox.register(stripe_webhook=ear.url)
        journey = await trip("stripe", new_order(1_999, "USD"))
        await journey.paid()
        refund = refund_of(journey, 999)
        await journey.gateway.refund(journey.facts, refund)

        def told() -> dict[str, WebhookNotice]:
            return {
                notice.kind: notice
                for _, headers, body in ear.heard
                for notice in journey.gateway.read_webhook(headers, body, datetime.now(UTC))
            }

        # What is told of the refund travels beside what is told of the payment, and may overtake.
        paid = {"payment_intent.succeeded", "checkout.session.completed"}
        await ear.until(lambda: paid | {"charge.refunded", "refund.created"} <= told().keys())
        heard = told()
    for kind in paid:
        verdict = heard[kind].verdict
        assert heard[kind].reference == journey.order.reference
        assert verdict is not None
        assert (verdict.outcome, verdict.amount, verdict.currency) == (Outcome.PAID, 1_999, "USD")
        assert verdict.mismatches == ()
    refunded = heard["charge.refunded"]
    assert (refunded.reference, refunded.verdict) == (journey.order.reference, None)
    verdict = await journey.gateway.verify(journey.facts, datetime.now(UTC))
    assert (verdict.outcome, verdict.refunded) == (Outcome.PARTLY_REFUNDED, 999)
    made = heard["refund.created"]
    assert (made.reference, made.refund_id) == (journey.order.reference, refund.id)
    assert made.refund is not None
    assert made.refund.state is RefundState.DONE


@pytest.mark.parametrize("mode", ["wrong-signature", "missing-signature", "stale-webhook"])
async def test_webhooks_that_stripe_has_not_just_signed_are_refused(
    trip: StartTrip, sandbox: SandboxControl, mode: str
) -> None:
    async with listening_ear() as ear:
        await sandbox.register(stripe_webhook=ear.url)
        await sandbox.order("stripe", mode)
        journey = await trip("stripe")
        await journey.act("pay")
        await ear.until(lambda: len(ear.heard) >= 2)
    for _, headers, body in ear.heard:
        with pytest.raises(ForgedCallback):
            journey.gateway.read_webhook(headers, body, datetime.now(UTC))


async def test_another_currency_is_reported_as_it_is(
    trip: StartTrip, sandbox: SandboxControl
) -> None:
    await sandbox.order("stripe", "wrong-currency", value="usd")
    journey = await trip("stripe")
    await journey.act("pay-and-close")
    assert (await journey.verify()).currency == "USD"


async def widget_token(sandbox: SandboxControl, amount: int) -> str:
    """A token as the older widget gets it: payer and PIN, then the code of the text message."""
    payer = {
        "public_key": keys.KHALTI_PUBLIC_KEY,
        "mobile": "9800000000",
        "transaction_pin": keys.KHALTI_PIN,
        "amount": amount,
        "product_identity": "BK-1",
        "product_name": "Satyanarayan Puja",
    }
    begun = await sandbox.client.post("/khalti/api/v2/payment/initiate/", json=payer)
    token = str(begun.json()["token"])
    confirmation = {
        "public_key": keys.KHALTI_PUBLIC_KEY,
        "token": token,
        "confirmation_code": keys.KHALTI_CODE,
        "transaction_pin": keys.KHALTI_PIN,
    }
    confirmed = await sandbox.client.post("/khalti/api/v2/payment/confirm/", json=confirmation)
    assert confirmed.status_code == 200, confirmed.text
    return str(confirmed.json()["token"])


@pytest.mark.parametrize("trouble", [None, "drop", "bad-gateway"])
async def test_a_token_of_khaltis_widget_is_verified(
    settings: Settings, client: GatewayClient, sandbox: SandboxControl, trouble: str | None
) -> None:
    gateway = gateway_of("khalti", settings, client)
    token = await widget_token(sandbox, 150_050)
    if trouble:
        await sandbox.order("khalti", trouble, on="verify", done=True, on_payment=token)
    facts = AttemptFacts(
        reference="PY-1",
        amount=150_050,
        currency="NPR",
        created_at=datetime.now(UTC),
        details={WIDGET_TOKEN: token},
    )
    verdict = await gateway.verify(facts, datetime.now(UTC))
    assert verdict.outcome is Outcome.PAID
    assert verdict.amount == 150_050
    assert verdict.transaction_id
    assert (await gateway.verify(facts, datetime.now(UTC))).outcome is Outcome.PAID


async def test_a_token_for_another_amount_pays_nothing(
    settings: Settings, client: GatewayClient, sandbox: SandboxControl
) -> None:
    gateway = gateway_of("khalti", settings, client)
    token = await widget_token(sandbox, 1_000)
    facts = AttemptFacts(
        reference="PY-1",
        amount=150_050,
        currency="NPR",
        created_at=datetime.now(UTC),
        details={WIDGET_TOKEN: token},
    )
    assert (await gateway.verify(facts, datetime.now(UTC))).outcome is Outcome.FAILED
    forged = dataclasses.replace(facts, details={WIDGET_TOKEN: "forged"})
    assert (await gateway.verify(forged, datetime.now(UTC))).outcome is Outcome.FAILED

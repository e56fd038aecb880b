"""Stripe: Checkout Sessions, PaymentIntents, refunds, idempotency keys and signed webhooks."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import hmac
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from server.sandbox import keys, stories, stripe_objects
from server.sandbox.courier import Courier
from server.sandbox.faults import Faults
from server.sandbox.payments import Payment, Refund, RefundStatus, Signature, Status, Story
from server.sandbox.provider import Action, Answer, CallHandler, Provider, Return
from server.sandbox.stripe_objects import error
from server.sandbox.world import World, code

_DAY: Final = 86_400.0
_LEAST_OPEN: Final = 1800
_INTENT_SECONDS: Final = 10 * _DAY
_MAX_KEPT: Final = 5000
_MAX_EVENTS: Final = 2000
_MAX_KEY: Final = 255
_MAX_AMOUNT: Final = 99_999_999
# Half a US dollar, or what makes as much.
_LEAST: Final = {"usd": 50, "eur": 50, "gbp": 30, "inr": 5000, "npr": 7000}
_RETRY_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 4.0)
_URL: Final = re.compile(r"https?://\S+")
_PLACEHOLDER: Final = "{CHECKOUT_SESSION_ID}"
_REASONS: Final = ("duplicate", "fraudulent", "requested_by_customer")
_SESSION_FIELDS: Final = frozenset(
    {
        "mode", "line_items", "success_url", "cancel_url", "client_reference_id", "metadata",
        "payment_intent_data", "customer_email", "customer", "expires_at", "expand", "locale",
        "payment_method_types", "submit_type",
    }
)  # fmt: skip
_INTENT_FIELDS: Final = frozenset(
    {
        "amount", "currency", "automatic_payment_methods", "metadata", "description",
        "receipt_email", "confirm", "payment_method", "payment_method_types", "return_url",
        "expand", "customer", "capture_method",
    }
)  # fmt: skip
_REFUND_FIELDS: Final = frozenset(
    {"payment_intent", "charge", "amount", "reason", "metadata", "expand"}
)
_DECLINED_CARDS: Final = frozenset(
    {"pm_card_visa_chargeDeclined", "pm_card_chargeDeclined", "pm_card_chargeCustomerFail"}
)
_CHECKED_CARDS: Final = frozenset(
    {"pm_card_authenticationRequired", "pm_card_threeDSecure2Required"}
)


@dataclass(slots=True)
class Event:
    """One event; its bytes are made once. ``honest`` is what was signed, if it was changed."""

    id: str
    kind: str
    payment: Payment
    body: bytes
    honest: bytes
    created_at: float


@dataclass(frozen=True, slots=True)
class _Kept:
    fingerprint: str
    answer: Answer
    at: float


class Stripe(Provider):
    """The stand-in of Stripe."""

    name = "stripe"
    title = "Stripe"
    service_down = error("An unknown error occurred.", status=503, kind="api_error")

    def __init__(self, world: World, courier: Courier) -> None:
        super().__init__(world, courier)
        self.events: OrderedDict[str, Event] = OrderedDict()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        world.on_reset += [self.events.clear, self._kept.clear]

    def routes(self) -> list[Any]:
        """Give the paths of version 1."""
        given = {"provider": self}
        return [
            (r"/stripe/v1/checkout/sessions", _Sessions, given),
            (r"/stripe/v1/checkout/sessions/(\w+)", _Session, given),
            (r"/stripe/v1/checkout/sessions/(\w+)/expire", _SessionExpiry, given),
            (r"/stripe/v1/payment_intents", _Intents, given),
            (r"/stripe/v1/payment_intents/(\w+)", _Intent, given),
            (r"/stripe/v1/payment_intents/(\w+)/(confirm|cancel)", _IntentStep, given),
            (r"/stripe/v1/charges/(\w+)", _Charge, given),
            (r"/stripe/v1/refunds", _Refunds, given),
            (r"/stripe/v1/refunds/(\w+)", _Refund, given),
            (r"/stripe/v1/events/(\w+)", _Event, given),
            (r"/stripe/v1/.*", _Unknown, given),
        ]

    def new_transaction_id(self) -> str:
        """Make the id of a charge."""
        return f"ch_{code(24)}"

    def way_back(self, payment: Payment, story: Story) -> Return | None:
        """Send the browser to the success address, also while the bank still works on it."""
        is_success = story.status in (Status.PAID, Status.PENDING)
        url = payment.return_url if is_success else payment.cancel_url
        return Return(url=url.replace(_PLACEHOLDER, story.gateway_id)) if url else None

    def act(self, payment: Payment, action: Action, amount: int | None = None) -> Return | None:
        """Begin the session's intent with the first thing that is done, as Stripe does."""
        if action not in (Action.CANCEL, Action.EXPIRE):
            payment.details.setdefault("intent", f"pi_{code(24)}")
        return super().act(payment, action, amount)

    def cancel(self, payment: Payment) -> None:
        """Leave the session open: who goes back from Checkout may come again."""
        if payment.details["kind"] == "intent":
            super().cancel(payment)

    def fail(self, payment: Payment) -> None:
        """Decline a card, after which another may be tried; or fail for good at the bank."""
        if payment.status is Status.PENDING:
            super().fail(payment)
        else:
            payment.details["is_declined"] = True
            self.notify(payment, "declined")

    def find_intent(self, intent_id: str) -> Payment | None:
        """Find the payment that has this intent."""
        return self.world.find_by("stripe", lambda each: each.details.get("intent") == intent_id)

    def find_refund(self, refund_id: str) -> tuple[Payment, Refund] | None:
        """Find a refund with its payment."""
        for payment in self.world.newest_first("stripe"):
            for given in payment.refunds:
                if given.id == refund_id:
                    return payment, given
        return None

    def kept(self, key: str) -> _Kept | None:
        """Find the first answer under an idempotency key; forgotten after a day."""
        kept = self._kept.get(key)
        if kept is not None and self.world.clock.now() - kept.at > _DAY:
            del self._kept[key]
            return None
        return kept

    def keep(self, key: str, fingerprint: str, answer: Answer) -> Answer:
        """Keep an answer under its key, unless it says that the call was wrong."""
        if answer.status < 400 or answer.status in (402, 500):
            self._kept[key] = _Kept(fingerprint, answer, self.world.clock.now())
            while len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return answer

    def notify(self, payment: Payment, what: str) -> None:
        """Make the events of what happened, and send them."""
        kinds = _events_of(payment, what)
        events = [self._event(payment, kind) for kind in kinds]
        if what == "paid" and payment.faults.get("out-of-order-webhooks"):
            old = self._event(payment, "payment_intent.payment_failed", is_old=True)
            events = [*reversed(events), old]
        self._send(payment, events)

    def refund_changed(self, payment: Payment, given: Refund) -> None:
        """Tell what became of one refund."""
        kind = "refund.failed" if given.status is RefundStatus.FAILED else "refund.updated"
        kinds = [kind] if given.status is RefundStatus.FAILED else [kind, "charge.refunded"]
        self._send(payment, [self._event(payment, each, given) for each in kinds])

    def send_again(self, event: Event, times: int) -> None:
        """Send one event so many times, all at once."""
        for _ in range(times):
            self.courier.run(self._deliver(event, retry=False))

    def _event(
        self, payment: Payment, kind: str, given: Refund | None = None, is_old: bool = False
    ) -> Event:
        story = stories.told(payment)
        if is_old:
            story = dataclasses.replace(
                story, status=Status.FAILED, transaction_id="", signed_as=None
            )
        now = self.world.clock.now() - (60 if is_old else 0)
        event_id = f"evt_{code(24)}"

        def body(told: Story) -> bytes:
            value = {
                "id": event_id,
                "object": "event",
                "api_version": "2026-01-28",
                "created": int(now),
                "livemode": False,
                "pending_webhooks": 1,
                "request": {"id": None, "idempotency_key": None},
                "type": kind,
                "data": {"object": _object_of(kind, payment, told, given)},
            }
            return json.dumps(value, separators=(",", ":")).encode()

        event = Event(event_id, kind, payment, body(story), body(story.signed_as or story), now)
        self.events[event.id] = event
        while len(self.events) > _MAX_EVENTS:
            self.events.popitem(last=False)
        return event

    def _send(self, payment: Payment, events: list[Event]) -> None:
        is_mute = payment.faults.get("lost-webhooks") or payment.faults.get("no-redirect")
        if not events or is_mute or not self.world.merchant.stripe_webhook:
            return
        twice = payment.faults.get("duplicate-callback")
        count = int(twice.values["count"]) if twice else 1

        async def send() -> None:
            # One after the other, so that the order is what it is said to be.
            for event in events:
                await asyncio.gather(*(self._deliver(event) for _ in range(count)))
                if count > 1:
                    # One success can come under two ids.
                    await self._deliver(self._same_again(event))

        self.courier.run(send())

    def _same_again(self, event: Event) -> Event:
        other = f"evt_{code(24)}"
        old, new = event.id.encode(), other.encode()
        again = dataclasses.replace(
            event,
            id=other,
            body=event.body.replace(old, new),
            honest=event.honest.replace(old, new),
        )
        self.events[other] = again
        return again

    async def _deliver(self, event: Event, *, retry: bool = True) -> None:
        if not await self._try(event) and retry:
            self.courier.run(self._try_again(event))

    async def _try_again(self, event: Event) -> None:
        for seconds in _RETRY_SECONDS:
            await asyncio.sleep(seconds)
            if await self._try(event):
                return

    async def _try(self, event: Event) -> bool:
        """Deliver once; whether it was taken."""
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "Stripe/1.0"}
        signature = self._signature(event)
        if signature:
            headers["Stripe-Signature"] = signature
        url = self.world.merchant.stripe_webhook
        what = f"webhook {event.kind}"
        status = await self.courier.send(
            "stripe", event.payment.id, what, "POST", url, event.body, headers
        )
        return 200 <= status < 300

    def _signature(self, event: Event) -> str:
        story, faults = stories.told(event.payment), event.payment.faults
        if story.signature is Signature.MISSING:
            return ""
        stale = faults.get("stale-webhook")
        at = int(self.world.clock.now() - (stale.number("seconds") if stale else 0))
        is_wrong = story.signature is Signature.WRONG
        secret = "whsec_wrong" if is_wrong else self.world.merchant.stripe_webhook_secret
        return stripe_objects.sign_webhook(secret, at, event.honest)


def _events_of(payment: Payment, what: str) -> list[str]:
    """Name the events of what happened, in Stripe's order."""
    is_session = payment.details["kind"] == "session"
    intent_event = {
        "paid": "payment_intent.succeeded",
        "processing": "payment_intent.processing",
        "declined": "payment_intent.payment_failed",
        "failed": "payment_intent.payment_failed",
        "cancelled": "payment_intent.canceled",
    }.get(what)
    session_event = ""
    if what == "processing":
        payment.details["was_processing"] = True
        session_event = "checkout.session.completed"
    elif what == "paid":
        was_processing = payment.details.get("was_processing")
        late = "checkout.session.async_payment_succeeded"
        session_event = late if was_processing else "checkout.session.completed"
    elif what == "failed":
        session_event = "checkout.session.async_payment_failed"
    elif what == "expired":
        session_event = "checkout.session.expired"
    elif what == "refunded":
        is_done = payment.refunds[-1].status is RefundStatus.SUCCEEDED
        return ["refund.created", *(["charge.refunded"] if is_done else [])]
    kinds = [intent_event] if intent_event else []
    if what == "paid":
        kinds.append("charge.succeeded")
    return [*kinds, *([session_event] if is_session and session_event else [])]


def _object_of(kind: str, payment: Payment, story: Story, given: Refund | None) -> dict[str, Any]:
    if kind.startswith("checkout."):
        return stripe_objects.session(payment, story)
    if kind.startswith("payment_intent."):
        return stripe_objects.intent(payment, story)
    if kind.startswith("charge."):
        return stripe_objects.charge(payment, story)
    return stripe_objects.refund(payment, given or payment.refunds[-1])


class _StripeHandler(CallHandler):
    """A call with a secret key."""

    provider: Stripe

    def prepare(self) -> None:
        """Check the key, and read the parameters."""
        super().prepare()
        self.params: dict[str, Any] = {}
        kind, _, key = self.request.headers.get("Authorization", "").partition(" ")
        key = self.basic_login()[0] if kind.lower() == "basic" else key.strip()
        if not key:
            text = "You did not provide an API key."
            self.send(error(text, status=401))
        elif not hmac.compare_digest(key.encode(), keys.STRIPE_SECRET_KEY.encode()):
            self.send(error(f"Invalid API Key provided: {key[:7]}****", status=401))
        else:
            is_read = self.request.method == "GET"
            try:
                self.params = stripe_objects.decode_form(
                    self.request.query.encode() if is_read else self.request.body
                )
            except ValueError:
                self.send(error("Invalid request: the parameters cannot be read."))

    @property
    def expand(self) -> list[str]:
        """What shall be told in full."""
        wanted = self.params.get("expand", [])
        return [str(each) for each in wanted] if isinstance(wanted, list) else []

    def missing(self, what: str, object_id: str) -> None:
        """Say that there is no such object."""
        text = f"No such {what}: '{object_id}'"
        self.send(error(text, status=404, code="resource_missing", param="id"))

    async def conduct_once(self, call: str, faults: Faults, work: Callable[[], Answer]) -> None:
        """Do the work once for each idempotency key, and answer a repetition as before."""
        key = self.request.headers.get("Idempotency-Key", "")
        if len(key) > _MAX_KEY:
            self.send(error("Idempotency-Key is longer than 255 characters."))
            return
        if not key:
            await self.conduct(call, faults, work)
            return
        told = (self.request.path or "").encode() + b"\0" + self.request.body
        fingerprint = hashlib.sha256(told).hexdigest()
        kept = self.provider.kept(key)
        if kept is None:
            await self.conduct(call, faults, lambda: self.provider.keep(key, fingerprint, work()))
        elif kept.fingerprint != fingerprint:
            text = (
                "Keys for idempotent requests can only be used with the same parameters they "
                f"were first used with. Try using a key other than '{key}'."
            )
            self.send(error(text, kind="idempotency_error"))
        else:
            self.fault = "replayed"
            self.send(dataclasses.replace(kept.answer, headers={"Idempotent-Replayed": "true"}))

    def unknown_parameter(self, known: frozenset[str]) -> Answer | None:
        """Say which parameter does not exist; None when all do."""
        for name in self.params:
            if name not in known:
                return error(
                    f"Received unknown parameter: {name}", code="parameter_unknown", param=name
                )
        return None


class _Unknown(_StripeHandler):
    def get(self) -> None:
        """Say that there is no such thing."""
        text = f"Unrecognized request URL ({self.request.method}: {self.request.path})."
        self.send(error(text, status=404))

    post = get
    delete = get


class _Sessions(_StripeHandler):
    def get(self) -> None:
        """List the sessions of one intent."""
        wanted = str(self.params.get("payment_intent", ""))
        payment = self.provider.find_intent(wanted)
        is_one = payment is not None and payment.details["kind"] == "session"
        found = [payment] if payment is not None and is_one else []
        objects = [stripe_objects.session(each, stories.answer(each)) for each in found]
        self.send(stripe_objects.listed(objects, "/v1/checkout/sessions"))

    async def post(self) -> None:
        """Make a session."""
        wrong = self.unknown_parameter(_SESSION_FIELDS) or self._fault()
        if wrong is not None:
            self.send(wrong)
            return
        await self.conduct_once("start", self.world.peek_faults("stripe"), self._make)

    def _fault(self) -> Answer | None:
        params = self.params
        if params.get("mode") != "payment":
            return error("mode must be payment in the sandbox.", param="mode")
        if not _URL.fullmatch(str(params.get("success_url", ""))):
            return error("Not a valid URL", code="url_invalid", param="success_url")
        if "cancel_url" in params and not _URL.fullmatch(str(params["cancel_url"])):
            return error("Not a valid URL", code="url_invalid", param="cancel_url")
        items = params.get("line_items")
        if not isinstance(items, list) or not items:
            return error(
                "Missing required param: line_items.", code="parameter_missing", param="line_items"
            )
        currencies = set()
        for number, item in enumerate(items):
            where = f"line_items[{number}]"
            price = item.get("price_data") if isinstance(item, dict) else None
            if not isinstance(price, dict):
                return error("Missing required param: price_data.", param=f"{where}[price_data]")
            product = price.get("product_data")
            if not isinstance(product, dict) or not product.get("name"):
                return error("Missing required param: name.", param=f"{where}[product_data][name]")
            if _whole(price.get("unit_amount")) is None:
                return _not_whole(f"{where}[price_data][unit_amount]", price.get("unit_amount"))
            if not _whole(item.get("quantity")):
                return _not_whole(f"{where}[quantity]", item.get("quantity"))
            currencies.add(str(price.get("currency", "")))
        if len(currencies) != 1:
            return error("All line items must have the same currency.", param="line_items")
        return _amount_fault(self._total(), currencies.pop()) or self._expiry_fault()

    def _expiry_fault(self) -> Answer | None:
        if "expires_at" not in self.params:
            return None
        at = _whole(self.params["expires_at"])
        if at is None:
            return _not_whole("expires_at", self.params["expires_at"])
        if not _LEAST_OPEN - 60 <= at - self.world.clock.now() <= _DAY + 60:
            text = "The `expires_at` timestamp must be between 30 minutes and 24 hours from now."
            return error(text, param="expires_at")
        return None

    def _total(self) -> int:
        return sum(
            (_whole(item["price_data"]["unit_amount"]) or 0) * (_whole(item["quantity"]) or 0)
            for item in self.params["line_items"]
        )

    def _make(self) -> Answer:
        params, now = self.params, self.world.clock.now()
        first = params["line_items"][0]["price_data"]
        metadata = _metadata(params)
        intent_data = params.get("payment_intent_data", {})
        session_id = f"cs_test_{code(48)}"
        host = f"{self.request.protocol}://{self.request.host}"
        payment = Payment(
            gateway="stripe",
            id=session_id,
            reference=str(params.get("client_reference_id") or metadata.get("payment_id", "")),
            amount=self._total(),
            currency=str(first["currency"]).upper(),
            title=str(first["product_data"]["name"]),
            return_url=str(params["success_url"]),
            cancel_url=str(params.get("cancel_url", "")),
            created_at=now,
            expires_at=float(_whole(params.get("expires_at")) or now + _DAY),
            faults=self.world.take_faults("stripe"),
            details={
                "kind": "session",
                "client_reference_id": params.get("client_reference_id"),
                "customer_email": params.get("customer_email"),
                "client_secret": code(24),
                "metadata": metadata,
                "intent_metadata": _metadata(intent_data if isinstance(intent_data, dict) else {}),
                "url": f"{host}/stripe/pay/{session_id}",
            },
        )
        self.payment = payment
        self.world.add(payment)
        self.world.expire_when_due(payment, lambda: self.provider.notify(payment, "expired"))
        return Answer.of(stripe_objects.session(payment, stories.truth(payment), self.expand))


class _Session(_StripeHandler):
    async def get(self, session_id: str) -> None:
        """Tell a session."""
        payment = self.payment = self.world.find("stripe", session_id)
        if payment is None or payment.details["kind"] != "session":
            self.missing("checkout.session", session_id)
            return
        await self.conduct(
            "verify",
            payment.faults,
            lambda: Answer.of(
                stripe_objects.session(payment, stories.answer(payment), self.expand)
            ),
        )


class _SessionExpiry(_StripeHandler):
    async def post(self, session_id: str) -> None:
        """Close an open session."""
        payment = self.payment = self.world.find("stripe", session_id)
        if payment is None or payment.details["kind"] != "session":
            self.missing("checkout.session", session_id)
            return
        await self.conduct_once("confirm", payment.faults, lambda: self._expire(payment))

    def _expire(self, payment: Payment) -> Answer:
        if payment.status is not Status.OPEN:
            text = 'Only Checkout Sessions with a status in ["open"] can be expired.'
            return error(text)
        payment.status = Status.EXPIRED
        self.provider.notify(payment, "expired")
        return Answer.of(stripe_objects.session(payment, stories.truth(payment), self.expand))


class _Intents(_StripeHandler):
    async def post(self) -> None:
        """Make an intent, and confirm it when that is asked for."""
        wrong = self.unknown_parameter(_INTENT_FIELDS)
        amount = _whole(self.params.get("amount"))
        if wrong is None and amount is None:
            wrong = _not_whole("amount", self.params.get("amount"))
        wrong = wrong or _amount_fault(amount or 0, str(self.params.get("currency", "")))
        if wrong is not None:
            self.send(wrong)
            return
        faults = self.world.peek_faults("stripe")
        await self.conduct_once("start", faults, lambda: self._make(amount or 0))

    def _make(self, amount: int) -> Answer:
        params, now = self.params, self.world.clock.now()
        metadata = _metadata(params)
        intent_id = f"pi_{code(24)}"
        payment = Payment(
            gateway="stripe",
            id=intent_id,
            reference=str(metadata.get("payment_id", "")),
            amount=amount,
            currency=str(params["currency"]).upper(),
            title=str(params.get("description", "")),
            return_url=str(params.get("return_url", "")),
            cancel_url=str(params.get("return_url", "")),
            created_at=now,
            expires_at=now + _INTENT_SECONDS,
            faults=self.world.take_faults("stripe"),
            details={
                "kind": "intent",
                "intent": intent_id,
                "client_secret": code(24),
                "description": params.get("description"),
                "receipt_email": params.get("receipt_email"),
                "intent_metadata": metadata,
                "card": params.get("payment_method", ""),
            },
        )
        self.payment = payment
        self.world.add(payment)
        if params.get("confirm") == "true":
            return _confirm(self, payment)
        return Answer.of(stripe_objects.intent(payment, stories.truth(payment), self.expand))


class _Intent(_StripeHandler):
    async def get(self, intent_id: str) -> None:
        """Tell an intent."""
        payment = self.payment = self.provider.find_intent(intent_id)
        if payment is None:
            self.missing("payment_intent", intent_id)
            return
        await self.conduct(
            "verify",
            payment.faults,
            lambda: Answer.of(stripe_objects.intent(payment, stories.answer(payment), self.expand)),
        )


class _IntentStep(_StripeHandler):
    async def post(self, intent_id: str, step: str) -> None:
        """Confirm or cancel an intent."""
        payment = self.payment = self.provider.find_intent(intent_id)
        if payment is None:
            self.missing("payment_intent", intent_id)
            return
        work = _confirm if step == "confirm" else _cancel
        await self.conduct_once("confirm", payment.faults, lambda: work(self, payment))


def _confirm(handler: _StripeHandler, payment: Payment) -> Answer:
    if payment.status is not Status.OPEN:
        return _unexpected_state(payment, "confirm")
    card = str(handler.params.get("payment_method") or payment.details.get("card") or "")
    if not card:
        text = "You cannot confirm this PaymentIntent because it's missing a payment method."
        return error(text, code="payment_intent_unexpected_state")
    payment.details["card"] = card
    payment.details.pop("intent_status", None)
    if card in _DECLINED_CARDS:
        handler.provider.fail(payment)
        return error(
            "Your card was declined.",
            status=402,
            kind="card_error",
            code="card_declined",
            decline_code="generic_decline",
            payment_intent=stripe_objects.intent(payment, stories.truth(payment)),
        )
    if card in _CHECKED_CARDS:
        payment.details["intent_status"] = "requires_action"
    else:
        handler.provider.act(payment, Action.PAY_AND_CLOSE)
    return Answer.of(stripe_objects.intent(payment, stories.truth(payment), handler.expand))


def _cancel(handler: _StripeHandler, payment: Payment) -> Answer:
    if payment.status not in (Status.OPEN, Status.PENDING):
        return _unexpected_state(payment, "cancel")
    payment.status = Status.CANCELLED
    handler.provider.notify(payment, "cancelled")
    return Answer.of(stripe_objects.intent(payment, stories.truth(payment), handler.expand))


def _unexpected_state(payment: Payment, step: str) -> Answer:
    status = stripe_objects.intent(payment, stories.truth(payment))["status"]
    text = f"You cannot {step} this PaymentIntent because it has a status of {status}."
    return error(text, code="payment_intent_unexpected_state")


class _Charge(_StripeHandler):
    async def get(self, charge_id: str) -> None:
        """Tell a charge."""
        payment = self.payment = self.world.find_by(
            "stripe", lambda each: each.transaction_id == charge_id
        )
        if payment is None:
            self.missing("charge", charge_id)
            return
        await self.conduct(
            "verify",
            payment.faults,
            lambda: Answer.of(stripe_objects.charge(payment, stories.answer(payment))),
        )


class _Refunds(_StripeHandler):
    async def get(self) -> None:
        """List the refunds of one payment."""
        payment = self.payment = self._payment()
        faults = payment.faults if payment else Faults()
        given = reversed(payment.refunds) if payment else ()
        objects = [stripe_objects.refund(payment, each) for each in given if payment is not None]
        await self.conduct("verify", faults, lambda: stripe_objects.listed(objects, "/v1/refunds"))

    async def post(self) -> None:
        """Give money back."""
        wrong = self.unknown_parameter(_REFUND_FIELDS)
        if wrong is None and self.params.get("reason", _REASONS[0]) not in _REASONS:
            wrong = error(f"Invalid reason: must be one of {', '.join(_REASONS)}", param="reason")
        if wrong is None and "amount" in self.params and not _whole(self.params["amount"]):
            wrong = _not_whole("amount", self.params["amount"])
        payment = self.payment = self._payment()
        if wrong is None and payment is None:
            named = str(self.params.get("payment_intent") or self.params.get("charge") or "")
            wrong = error(
                f"No such payment_intent: '{named}'",
                code="resource_missing",
                param="payment_intent",
                status=404,
            )
        if wrong is not None or payment is None:
            self.send(wrong or error("No such payment_intent", status=404))
            return
        await self.conduct_once("refund", payment.faults, lambda: self._refund(payment))

    def _payment(self) -> Payment | None:
        if charge_id := str(self.params.get("charge", "")):
            return self.world.find_by("stripe", lambda each: each.transaction_id == charge_id)
        return self.provider.find_intent(str(self.params.get("payment_intent", "-")))

    def _refund(self, payment: Payment) -> Answer:
        if payment.status is not Status.PAID:
            return error("This PaymentIntent does not have a successful charge to refund.")
        left = payment.refundable
        if left <= 0:
            return error(
                f"Charge {payment.transaction_id} has already been refunded.",
                code="charge_already_refunded",
            )
        amount = _whole(self.params.get("amount")) or left
        if amount > left:
            return error(
                f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
                param="amount",
            )
        status, faults = RefundStatus.SUCCEEDED, payment.faults
        details: dict[str, Any] = {
            "metadata": _metadata(self.params),
            "reason": self.params.get("reason"),
        }
        declined, pending = faults.take("refund-declined"), faults.take("refund-pending")
        failing = faults.take("refund-fails-later")
        if declined:
            status = RefundStatus.FAILED
            details["failure_reason"] = "declined"
        elif pending:
            status = RefundStatus.PENDING
        given = self.provider.refund(payment, amount, status, details)
        if given is None:
            return error("The refund is not possible.")
        if pending:
            self._change_later(payment, given, pending.number("seconds"), RefundStatus.SUCCEEDED)
        elif failing:
            self._change_later(payment, given, failing.number("seconds"), RefundStatus.FAILED)
        return Answer.of(stripe_objects.refund(payment, given))

    def _change_later(
        self, payment: Payment, given: Refund, seconds: float, status: RefundStatus
    ) -> None:
        def change() -> None:
            given.status = status
            if status is RefundStatus.FAILED:
                given.details["failure_reason"] = "unknown"
            self.provider.refund_changed(payment, given)

        self.world.later(seconds, change)


class _Refund(_StripeHandler):
    async def get(self, refund_id: str) -> None:
        """Tell a refund."""
        found = self.provider.find_refund(refund_id)
        if found is None:
            self.missing("refund", refund_id)
            return
        self.payment = found[0]
        await self.conduct(
            "verify", found[0].faults, lambda: Answer.of(stripe_objects.refund(*found))
        )


class _Event(_StripeHandler):
    def get(self, event_id: str) -> None:
        """Tell an event."""
        event = self.provider.events.get(event_id)
        if event is None:
            self.missing("event", event_id)
        else:
            self.send(Answer(body=event.honest))


def _metadata(params: Mapping[str, Any]) -> dict[str, str]:
    given = params.get("metadata")
    return {key: str(value) for key, value in given.items()} if isinstance(given, dict) else {}


def _whole(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _not_whole(name: str, value: object) -> Answer:
    if value is None:
        text = f"Missing required param: {name}."
        return error(text, code="parameter_missing", param=name)
    return error(f"Invalid integer: {value}", code="parameter_invalid_integer", param=name)


def _amount_fault(amount: int, currency: str) -> Answer | None:
    if currency not in _LEAST:
        text = f"Invalid currency: {currency}. The sandbox knows {', '.join(_LEAST)}."
        return error(text, param="currency")
    if amount < _LEAST[currency]:
        text = "The Checkout Session's total amount must convert to at least 50 cents."
        return error(text, code="amount_too_small", param="amount")
    if amount > _MAX_AMOUNT:
        return error("Amount is too large.", code="amount_too_large", param="amount")
    return None

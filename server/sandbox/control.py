"""How tests and people steer the sandbox: orders, clock, log, ledger, webhooks, home page."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from server.sandbox.courier import Courier
from server.sandbox.faults import GATEWAYS, MODES, BadOrder, Mode, order
from server.sandbox.pay_pages import PageHandler
from server.sandbox.payments import Payment, Status
from server.sandbox.provider import Answer, CallHandler, Provider
from server.sandbox.stripe import Stripe
from server.sandbox.world import World

_STYLE: Final = Path(__file__).resolve().parent / "templates" / "style.css"
_SHOWN: Final = 100
_MAX_TIMES: Final = 1000
_LAST_INSTANT: Final = 32_503_680_000.0


class Control(Provider):
    """What belongs to no gateway."""

    name = "_sandbox"
    title = "Sandbox"

    def __init__(self, world: World, courier: Courier, providers: Mapping[str, Provider]) -> None:
        super().__init__(world, courier)
        self.providers = providers

    def routes(self) -> list[Any]:
        """Give the paths of the control, and the home page."""
        given = {"provider": self}
        return [
            (r"/", _Home, given),
            (r"/_sandbox/style\.css", _Style, given),
            (r"/_sandbox/next", _Next, given),
            (r"/_sandbox/modes", _Modes, given),
            (r"/_sandbox/reset", _Reset, given),
            (r"/_sandbox/log", _Log, given),
            (r"/_sandbox/ledger", _Ledger, given),
            (r"/_sandbox/clock", _Clock, given),
            (r"/_sandbox/merchant", _MerchantPage, given),
            (r"/_sandbox/webhooks", _Webhooks, given),
            (r"/_sandbox/health", _Health, given),
        ]

    def way_back(self, payment: Payment, story: object) -> None:
        """Lead nowhere: nothing is paid here."""
        return


class _ControlHandler(CallHandler):
    """A control call: answers JSON, and says what is wrong."""

    provider: Control

    def on_finish(self) -> None:
        """Keep out of the log, which tells what the merchant does."""

    @property
    def is_of_a_page(self) -> bool:
        """Whether a person has sent it, by a form."""
        kind = self.request.headers.get("Content-Type", "")
        return kind.startswith("application/x-www-form-urlencoded")

    def orders(self) -> list[dict[str, Any]]:
        """Read one object or a list of them.

        Raises
        ------
        BadOrder
            If it is neither.
        """
        try:
            value = json.loads(self.request.body)
        except (ValueError, RecursionError) as error:
            raise BadOrder("the body is not JSON") from error
        values = value if isinstance(value, list) else [value]
        if not values or not all(isinstance(each, dict) for each in values):
            raise BadOrder("the body is no object, and no list of objects")
        return values

    def attempt(self, work: Callable[[], object]) -> None:
        """Do the work and answer with what it gives, or with 400."""
        try:
            answer = Answer.of(work())
        except BadOrder as error:
            answer = Answer.of({"error": str(error)}, 400)
        self.send(answer)


class _Next(_ControlHandler):
    def post(self) -> None:
        """Order trouble for the next payment of a gateway, or for one that is there.

        A list puts several on the same payment.
        """
        if self.is_of_a_page:
            self._from_page()
        else:
            self.attempt(lambda: self._order(self.orders()))

    def _from_page(self) -> None:
        fields = {name: self.get_body_argument(name) for name in ("gateway", "mode")}
        try:
            self._order([fields])
        except BadOrder as error:
            self.send(Answer.of({"error": str(error)}, 400))
            return
        self.redirect("/", status=303)

    def _order(self, wanted: list[dict[str, Any]]) -> object:
        gateway = str(wanted[0].get("gateway", ""))
        if gateway not in GATEWAYS:
            raise BadOrder(f"gateway: none of {', '.join(GATEWAYS)}")
        if any(each.get("gateway", gateway) != gateway for each in wanted):
            raise BadOrder("gateway: one payment has one gateway")
        faults = [order(gateway, each) for each in wanted]
        named = str(wanted[0].get("on_payment", ""))
        if named:
            payment = self.world.find(gateway, named) or self.world.find_by(
                gateway, lambda each: each.reference == named
            )
            if payment is None:
                raise BadOrder(f"on_payment: no payment {named}")
            payment.faults.add(faults)
        else:
            try:
                self.world.order(gateway, faults)
            except OverflowError as error:
                raise BadOrder("too many orders wait") from error
        return {"gateway": gateway, "ordered": [fault.mode.name for fault in faults]}


class _Modes(_ControlHandler):
    def get(self) -> None:
        """List the modes with their gateways and parameters."""
        self.send(Answer.of([_told(mode) for mode in MODES.values()]))


class _Reset(_ControlHandler):
    def post(self) -> None:
        """Forget everything but what the merchant has told."""
        self.provider.courier.drop()
        self.world.reset()
        if self.is_of_a_page:
            self.redirect("/", status=303)
        else:
            self.send(Answer.of({}))


class _Log(_ControlHandler):
    def get(self) -> None:
        """List the latest requests and deliveries, oldest first."""
        gateway, payment = (self.get_query_argument(name, "") for name in ("gateway", "payment"))
        after = self.get_query_argument("after", "0")
        since = int(after) if after.isdigit() else 0
        entries = [
            dataclasses.asdict(entry)
            for entry in self.world.log
            if gateway in ("", entry.gateway)
            and payment in ("", entry.payment)
            and entry.number > since
        ]
        self.send(Answer.of({"entries": entries, "is_idle": self.provider.courier.is_idle}))


class _Ledger(_ControlHandler):
    def get(self) -> None:
        """Tell what is paid and what went back, payment by payment, oldest first."""
        reference = self.get_query_argument("reference", "")
        gateway = self.get_query_argument("gateway", "")
        rows = [
            {
                "gateway": payment.gateway,
                "id": payment.id,
                "reference": payment.reference,
                "transaction_id": payment.transaction_id,
                "amount": payment.amount,
                "currency": payment.currency,
                "status": str(payment.status),
                "paid": payment.amount if payment.status is Status.PAID else 0,
                "refunded": payment.refunded,
                "intent": payment.details.get("intent", ""),
                "faults": payment.faults.names,
            }
            for payment in self.world.newest_first(gateway)
            if reference in ("", payment.reference)
        ]
        rows.reverse()
        totals: dict[str, dict[str, int]] = {}
        for row in rows:
            sums = totals.setdefault(row["gateway"], {"paid": 0, "refunded": 0})
            sums["paid"] += row["paid"]
            sums["refunded"] += row["refunded"]
        self.send(Answer.of({"payments": rows, "totals": totals}))


class _Clock(_ControlHandler):
    def get(self) -> None:
        """Tell what time it is here."""
        self._tell()

    def post(self) -> None:
        """Set the clock (``now``: ISO time or seconds since 1970), or ``advance`` it so far."""
        try:
            wanted = self.orders()[0]
            if "now" in wanted:
                self.world.clock.set(_instant(wanted["now"]))
            if "advance" in wanted:
                self.world.clock.advance(_seconds(wanted["advance"]))
        except BadOrder as error:
            self.send(Answer.of({"error": str(error)}, 400))
            return
        self.world.run_due()
        self._tell()

    def _tell(self) -> None:
        now = self.world.clock.now()
        self.send(Answer.of({"now": now, "iso": datetime.fromtimestamp(now, UTC).isoformat()}))


class _MerchantPage(_ControlHandler):
    def get(self) -> None:
        """Tell what the merchant has registered."""
        self.send(Answer.of(dataclasses.asdict(self.world.merchant)))

    def post(self) -> None:
        """Register addresses: of webhooks, and of the returns of connectIPS."""
        self.attempt(self._register)

    def _register(self) -> object:
        wanted = self.orders()[0]
        merchant = self.world.merchant
        known = {item.name for item in dataclasses.fields(merchant)}
        for name, value in wanted.items():
            if name not in known or not isinstance(value, str):
                raise BadOrder(f"{name}: none of {', '.join(sorted(known))}, or no text")
        for name, value in wanted.items():
            setattr(merchant, name, value)
        return dataclasses.asdict(merchant)


class _Webhooks(_ControlHandler):
    def get(self) -> None:
        """List the events, oldest first."""
        payment = self.get_query_argument("payment", "")
        told = [
            {"id": event.id, "type": event.kind, "payment": event.payment.id}
            for event in self._stripe.events.values()
            if payment in ("", event.payment.id, event.payment.reference)
        ]
        self.send(Answer.of(told))

    def post(self) -> None:
        """Send one event (``event``) again, so many ``times`` at once."""
        self.attempt(self._send)

    def _send(self) -> object:
        wanted = self.orders()[0]
        event = self._stripe.events.get(str(wanted.get("event", "")))
        times = wanted.get("times", 1)
        if event is None:
            raise BadOrder("event: there is no such event")
        if not isinstance(times, int) or not 1 <= times <= _MAX_TIMES:
            raise BadOrder(f"times: is not from 1 to {_MAX_TIMES}")
        if not self.world.merchant.stripe_webhook:
            raise BadOrder("no address of webhooks is registered")
        self._stripe.send_again(event, times)
        return {"event": event.id, "times": times}

    @property
    def _stripe(self) -> Stripe:
        provider = self.provider.providers["stripe"]
        assert isinstance(provider, Stripe)  # noqa: S101 - the table of the application says so
        return provider


class _Health(_ControlHandler):
    def get(self) -> None:
        """Say that it is there."""
        self.send(Answer.of({"status": "ok"}))


class _Style(_ControlHandler):
    def get(self) -> None:
        """Give the style of the pages."""
        self.send(Answer(body=_STYLE.read_bytes(), content_type="text/css; charset=utf-8"))


class _Home(PageHandler):
    provider: Control

    def get(self) -> None:
        """Show the latest payments, and let trouble be ordered."""
        payments = [
            payment for payment, _ in zip(self.world.newest_first(), range(_SHOWN), strict=False)
        ]
        now = datetime.fromtimestamp(self.world.clock.now(), UTC)
        self.show(
            "home.html",
            title="Payment gateways",
            payments=payments,
            providers=self.provider.providers,
            modes={name: _modes_of(name) for name in GATEWAYS},
            orders={name: self.world.orders(name) for name in GATEWAYS},
            now=now,
            merchant=self.world.merchant,
        )

    def on_finish(self) -> None:
        """Keep out of the log."""


def _modes_of(gateway: str) -> list[Mode]:
    return [mode for mode in MODES.values() if gateway in mode.gateways]


def _told(mode: Mode) -> dict[str, Any]:
    return {
        "mode": mode.name,
        "kind": mode.kind,
        "summary": mode.summary,
        "gateways": sorted(mode.gateways),
        "parameters": dict(mode.defaults),
    }


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadOrder("advance: is not a number of seconds")
    if not 0 <= value <= _LAST_INSTANT:
        raise BadOrder("advance: is not forward")
    return float(value)


def _instant(value: object) -> float:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise BadOrder("now: is no ISO time") from error
        value = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadOrder("now: is no instant")
    if not 0 <= value <= _LAST_INSTANT:
        raise BadOrder("now: is no instant of our time")
    return float(value)

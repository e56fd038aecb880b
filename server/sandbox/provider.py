"""What every stand-in of a payment provider has: calls that can fail, pay pages, returns."""

from __future__ import annotations

import abc
import asyncio
import base64
import binascii
import enum
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from tornado import web
from tornado.iostream import StreamClosedError

from server.sandbox import stories
from server.sandbox.courier import Courier
from server.sandbox.faults import Fault, Faults
from server.sandbox.payments import Payment, Refund, RefundStatus, Status, Story
from server.sandbox.world import World, code

JSON: Final = "application/json"
_MAX_LOGGED: Final = 4000
_BAD_GATEWAY: Final = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>"
)


class Action(enum.StrEnum):
    """What a person can do on a pay page."""

    PAY = "pay"
    PAY_AND_CLOSE = "pay-and-close"
    LATER = "later"
    CANCEL = "cancel"
    FAIL = "fail"
    REFUND = "refund"
    PARTIAL_REFUND = "partial-refund"
    EXPIRE = "expire"


class NotPossible(Exception):
    """An action that does not fit the payment's state; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """Where the browser goes back to; with ``fields`` it posts them there."""

    url: str
    fields: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer to a call of the API."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: object, status: int = 200, **headers: str) -> Answer:
        """Make one of JSON."""
        body = json.dumps(value, ensure_ascii=False).encode()
        return cls(body=body, status=status, headers=headers)


class Provider(abc.ABC):
    """One gateway's stand-in: its routes, its words, and how it sends people back."""

    name: ClassVar[str]
    title: ClassVar[str]
    first_call: ClassVar[str] = "start"
    service_down: ClassVar[Answer] = Answer.of({"detail": "Service unavailable."}, 503)

    def __init__(self, world: World, courier: Courier) -> None:
        self.world = world
        self.courier = courier

    @abc.abstractmethod
    def routes(self) -> list[Any]:
        """The paths of its API, as Tornado wants them."""

    @abc.abstractmethod
    def way_back(self, payment: Payment, story: Story) -> Return | None:
        """Where the browser goes with this story; None when it stays."""

    def notify(self, payment: Payment, what: str) -> None:  # noqa: B027 - most tell nobody
        """Tell the merchant's server what happened, by webhook; most gateways have none."""

    def new_transaction_id(self) -> str:
        """Make the id of a movement of money."""
        return code(22)

    def act(self, payment: Payment, action: Action, amount: int | None = None) -> Return | None:
        """Do what a person does on the pay page; where he goes then, or None when he stays.

        Raises ``NotPossible``.
        """
        if action in (Action.REFUND, Action.PARTIAL_REFUND):
            whole = action is Action.REFUND
            wanted = payment.refundable if whole else amount or payment.refundable // 2
            if self.refund(payment, wanted) is None:
                raise NotPossible(f"{wanted} cannot go back: {payment.refundable} is left.")
            return None
        if action is Action.EXPIRE:
            if payment.status is not Status.OPEN:
                raise NotPossible(f"It is {payment.status} already.")
            payment.status = Status.EXPIRED
            self.notify(payment, "expired")
            return None
        if payment.status is Status.EXPIRED:
            raise NotPossible("The link has expired.")
        is_paying = action in (Action.PAY, Action.PAY_AND_CLOSE)
        if payment.status is Status.PAID and not is_paying:
            raise NotPossible("It is paid already.")
        if is_paying:
            self._pay(payment)
        elif action is Action.LATER:
            payment.status = Status.PENDING
            self.notify(payment, "processing")
        elif action is Action.CANCEL:
            self.cancel(payment)
        else:
            self.fail(payment)
        if action is Action.PAY_AND_CLOSE or payment.faults.get("no-redirect"):
            return None
        return self._sent_back(payment)

    def fail(self, payment: Payment) -> None:
        """Let the payment fail."""
        payment.status = Status.FAILED
        self.notify(payment, "failed")

    def cancel(self, payment: Payment) -> None:
        """Let the person turn away."""
        payment.status = Status.CANCELLED
        self.notify(payment, "cancelled")

    def _pay(self, payment: Payment) -> None:
        faults = payment.faults
        if payment.status is Status.PAID:
            return
        if late := faults.take("late-success"):
            self.fail(payment)
            self.world.later(late.number("seconds"), lambda: self.settle(payment))
        elif payment.status is not Status.PENDING and (lie := faults.get("redirect-says-paid")):
            payment.status = Status.PENDING
            self.notify(payment, "processing")
            if seconds := lie.number("seconds"):
                self.world.later(seconds, lambda: self.settle(payment))
        else:
            self.settle(payment)

    def settle(self, payment: Payment) -> None:
        """Take the money, once."""
        if payment.status is Status.PAID:
            return
        payment.status = Status.PAID
        payment.paid_at = self.world.clock.now()
        payment.transaction_id = payment.transaction_id or self.new_transaction_id()
        self.notify(payment, "paid")
        for name in ("refund-at-gateway", "partial-refund-at-gateway"):
            if fault := payment.faults.take(name):
                part = int(fault.values.get("amount", 0)) or payment.amount // 2
                amount = payment.amount if name == "refund-at-gateway" else part
                self._give_back_later(fault.number("seconds"), payment, amount)

    def _give_back_later(self, seconds: float, payment: Payment, amount: int) -> None:
        def give_back() -> None:
            self.refund(payment, amount)

        self.world.later(seconds, give_back)

    def refund(
        self,
        payment: Payment,
        amount: int,
        status: RefundStatus = RefundStatus.SUCCEEDED,
        details: Mapping[str, Any] | None = None,
    ) -> Refund | None:
        """Give money back; None when there is not so much left."""
        if not 0 < amount <= payment.refundable:
            return None
        now = self.world.clock.now()
        refund = Refund(
            id=f"re_{code(24)}",
            amount=amount,
            created_at=now,
            status=status,
            details=dict(details or {}),
        )
        payment.refunds.append(refund)
        self.notify(payment, "refunded")
        return refund

    def _sent_back(self, payment: Payment) -> Return | None:
        back = self.way_back(payment, stories.callback(payment, self.world))
        if back is not None and (twice := payment.faults.get("duplicate-callback")):
            for _ in range(int(twice.values["count"]) - 1):
                self.courier.come_back(payment, back.url, back.fields)
        return back


class PlainHandler(web.RequestHandler):
    """Answers of the sandbox; what cannot be read gets no trace back."""

    def initialize(self, provider: Provider) -> None:
        """Take what the route gives."""
        self.provider = provider
        self.world = provider.world
        self.gone = asyncio.Event()
        self.fault = ""
        self.payment: Payment | None = None

    def set_default_headers(self) -> None:
        """Say nothing of Tornado, and keep nothing anywhere."""
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")

    def prepare(self) -> None:
        """Let happen first what the clock has brought."""
        self.world.run_due()

    def on_connection_close(self) -> None:
        """Stop holding an answer that nobody waits for."""
        self.gone.set()

    def compute_etag(self) -> str | None:
        """Make none: these answers are no files."""
        return None

    def on_finish(self) -> None:
        """Write the request into the log."""
        payment = self.payment
        self.world.record(
            gateway=self.provider.name,
            what="request",
            method=self.request.method or "",
            url=self.request.uri or "",
            status=0 if self.fault in ("timeout", "drop", "refund-timeout") else self.get_status(),
            body=self.request.body[:_MAX_LOGGED].decode(errors="replace"),
            payment=payment.id if payment else "",
            fault=self.fault,
        )


class CallHandler(PlainHandler):
    """A call of a gateway's API: it may be cut off before or after its work."""

    async def conduct(self, call: str, faults: Faults, work: Callable[[], Answer]) -> None:
        """Do the work and answer, unless an outage is ordered for this call."""
        outage = faults.take_outage(call, self.provider.first_call)
        if outage is None:
            self.send(work())
            return
        self.fault = outage.mode.name
        # Orders without "done" are such as always take effect.
        if outage.values.get("done", True):
            work()
        await self._break_down(outage)

    def send(self, answer: Answer) -> None:
        """Send an answer."""
        self.set_status(answer.status)
        self.set_header("Content-Type", answer.content_type)
        for name, value in answer.headers.items():
            self.set_header(name.replace("_", "-"), value)
        self.finish(answer.body)

    def read_json(self) -> dict[str, Any] | None:
        """Read the body as a JSON object; None when it is none."""
        try:
            value = json.loads(self.request.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def read_fields(self) -> dict[str, Any]:
        """Read the body, be it JSON or a form, as one object."""
        if JSON in self.request.headers.get("Content-Type", ""):
            return self.read_json() or {}
        return {name: self.get_body_argument(name) for name in self.request.body_arguments}

    def basic_login(self) -> tuple[str, str]:
        """Read user and password of HTTP basic authentication; empty when there are none."""
        kind, _, encoded = self.request.headers.get("Authorization", "").partition(" ")
        try:
            text = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, ValueError):
            return "", ""
        user, _, password = text.partition(":")
        return (user, password) if kind.lower() == "basic" else ("", "")

    async def _break_down(self, outage: Fault) -> None:
        name = outage.mode.name
        if name == "bad-gateway":
            self.send(Answer(body=_BAD_GATEWAY, status=502, content_type="text/html"))
        elif name == "service-down":
            self.send(self.provider.service_down)
        else:
            if name != "drop":
                await self._hold(outage.number("seconds"))
            await self._cut()

    async def _hold(self, seconds: float) -> None:
        """Let the client wait, until it goes or the time is over."""
        try:
            await asyncio.wait_for(self.gone.wait(), seconds)
        except TimeoutError:
            return

    async def _cut(self) -> None:
        """Close the connection without an answer."""
        if not self.gone.is_set():
            try:
                self.detach().close()
            except StreamClosedError:
                self.gone.set()
        self._finished = True
        self.on_finish()


def with_query(url: str, fields: Mapping[str, str]) -> str:
    """Add a query, or more of it where there is one."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(fields)}"

"""Everything the sandbox remembers, in memory and bounded: clock, payments, orders, log."""

from __future__ import annotations

import heapq
import itertools
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from server.sandbox import keys
from server.sandbox.faults import Fault, Faults
from server.sandbox.payments import Payment, Status

MAX_PAYMENTS: Final = 5000
MAX_ORDERS: Final = 1000
_MAX_LOG: Final = 2000
_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class VirtualClock:
    """Goes with the real time, and can be set and put forward."""

    def __init__(self) -> None:
        self._offset = 0.0

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Put it forward."""
        self._offset += seconds

    def set(self, instant: float) -> None:
        """Say what time it is; it goes on from there."""
        self._offset = instant - time.time()

    def reset(self) -> None:
        """Go back to the real time."""
        self._offset = 0.0


@dataclass(slots=True, kw_only=True)
class Merchant:
    """What a merchant has told the providers beforehand; empty is not told."""

    stripe_webhook: str = ""
    stripe_webhook_secret: str = keys.STRIPE_WEBHOOK_SECRET
    connectips_success: str = ""
    connectips_failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One request that was received, or one webhook or return that was sent."""

    number: int
    at: float
    gateway: str
    what: str
    method: str
    url: str
    status: int
    body: str
    payment: str
    fault: str


@dataclass(order=True, slots=True)
class _Due:
    at: float
    number: int
    action: Callable[[], None] = field(compare=False)


class World:
    """The state of one sandbox."""

    def __init__(self, merchant: Merchant) -> None:
        self.clock = VirtualClock()
        self.merchant = merchant
        self.on_reset: list[Callable[[], None]] = []
        self._payments: OrderedDict[tuple[str, str], Payment] = OrderedDict()
        self._orders: dict[str, deque[Faults]] = {}
        self._log: deque[LogEntry] = deque(maxlen=_MAX_LOG)
        self._numbers = itertools.count(1)
        self._due: list[_Due] = []

    def reset(self) -> None:
        """Forget everything but what the merchant has told, and go back to the real time."""
        self._payments.clear()
        self._orders.clear()
        self._log.clear()
        self._due.clear()
        self.clock.reset()
        for forget in self.on_reset:
            forget()

    def add(self, payment: Payment) -> None:
        """Keep a payment; the oldest goes when there are too many."""
        self._payments[payment.gateway, payment.id] = payment
        while len(self._payments) > MAX_PAYMENTS:
            self._payments.popitem(last=False)

    def find(self, gateway: str, payment_id: str) -> Payment | None:
        """Find a payment by the gateway's id."""
        return self._payments.get((gateway, payment_id))

    def find_by(self, gateway: str, matches: Callable[[Payment], bool]) -> Payment | None:
        """Find the newest payment of a gateway that matches."""
        return next((each for each in self.newest_first(gateway) if matches(each)), None)

    def newest_first(self, gateway: str = "") -> Iterator[Payment]:
        """All payments, or those of one gateway."""
        for payment in reversed(self._payments.values()):
            if gateway in ("", payment.gateway):
                yield payment

    def order(self, gateway: str, faults: list[Fault]) -> None:
        """Let the next payment of the gateway that has no orders yet go wrong so.

        Raises ``OverflowError`` when too many wait.
        """
        waiting = self._orders.setdefault(gateway, deque())
        if len(waiting) >= MAX_ORDERS:
            raise OverflowError
        waiting.append(Faults(faults))

    def orders(self, gateway: str) -> list[list[str]]:
        """Tell the modes that wait, payment by payment."""
        return [faults.names for faults in self._orders.get(gateway, ())]

    def peek_faults(self, gateway: str) -> Faults:
        """What the next payment has ordered; stays ordered."""
        waiting = self._orders.get(gateway)
        return waiting[0] if waiting else Faults()

    def take_faults(self, gateway: str) -> Faults:
        """What the payment that begins now has ordered."""
        waiting = self._orders.get(gateway)
        return waiting.popleft() if waiting else Faults()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something when the clock has gone on so far; at once for 0."""
        if seconds <= 0:
            action()
            return
        heapq.heappush(self._due, _Due(self.clock.now() + seconds, next(self._numbers), action))

    def run_due(self) -> None:
        """Do what has become due, in its order."""
        while self._due and self._due[0].at <= self.clock.now():
            heapq.heappop(self._due).action()

    def expire_when_due(self, payment: Payment, on_expired: Callable[[], None]) -> None:
        """Let an untouched payment expire at its time."""

        def expire() -> None:
            if payment.status is Status.OPEN:
                payment.status = Status.EXPIRED
                on_expired()

        self.later(payment.expires_at - self.clock.now(), expire)

    def record(self, **values: Any) -> None:
        """Write one line of the log."""
        number = next(self._numbers)
        self._log.append(LogEntry(number=number, at=self.clock.now(), **values))

    @property
    def log(self) -> list[LogEntry]:
        """The latest requests and deliveries, oldest first."""
        return list(self._log)


def code(length: int) -> str:
    """Make a random code of capitals and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def digits(length: int) -> str:
    """Make a random number that does not begin with 0."""
    return str(secrets.randbelow(9 * 10 ** (length - 1)) + 10 ** (length - 1))

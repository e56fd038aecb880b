"""The ways in which a payment can go wrong, and those that wait for one payment.

A fault belongs to one payment. It is ordered ahead for the next one of a gateway, or put on one
that is there already; what is used up is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

GATEWAYS: Final = ("khalti", "esewa", "connectips", "imepay", "stripe")
_ALL: Final = frozenset(GATEWAYS)
_SIGNING: Final = frozenset({"esewa", "stripe"})
CALLS: Final = ("start", "verify", "confirm", "refund")
_MAX_SECONDS: Final = 86_400.0 * 400
_MAX_COUNT: Final = 1000


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to fail.

    ``kind`` groups variants of the same trouble, as a test matrix counts them. ``defaults`` are
    the parameters that an order may give, with their values when it does not.
    """

    name: str
    kind: int
    summary: str
    gateways: frozenset[str] = _ALL
    defaults: Mapping[str, Any] = field(default_factory=dict)


_CALL: Final = {"on": "", "count": 1}
_LIST: Final = (
    Mode(
        "timeout", 1,
        "The work is done, but no answer comes for so many seconds",
        defaults={**_CALL, "done": True, "seconds": 90.0},
    ),
    Mode(
        "drop", 1,
        "The work is done, and the connection is cut before the answer",
        defaults={**_CALL, "done": True},
    ),
    Mode(
        "bad-gateway", 2,
        "HTTP 502 with a page of HTML",
        defaults={**_CALL, "done": False},
    ),
    Mode(
        "service-down", 2,
        "HTTP 503, in the gateway's own words where it has some",
        defaults={**_CALL, "done": False},
    ),
    Mode(
        "duplicate-callback", 3,
        "The return, or each webhook, comes so many times, all at once",
        defaults={"count": 2},
    ),
    Mode(
        "changed-amount", 4,
        "Another amount is told (where: callback or answer; signed: with a good signature)",
        defaults={"where": "callback", "value": 0, "signed": False},
    ),
    Mode(
        "changed-reference", 4,
        "Another reference is told",
        defaults={"where": "callback", "value": "", "signed": False},
    ),
    Mode(
        "changed-status", 4,
        "Cancelled is told as paid, and anything else as cancelled, in the callback",
        defaults={"signed": False},
    ),
    Mode("wrong-signature", 5, "The signature does not fit", _SIGNING),
    Mode("missing-signature", 5, "There is no signature", _SIGNING),
    Mode(
        "reflected-signature", 5,
        "The request's own signature comes back as the answer's",
        frozenset({"esewa"}),
    ),
    Mode(
        "redirect-says-paid", 6,
        "The return says paid while the gateway says pending; paid after so many seconds if given",
        defaults={"seconds": 0.0},
    ),
    Mode("redirect-says-failed", 6, "The return says failed while the gateway says paid"),
    Mode("no-redirect", 7, "Paid, but the browser never comes back, and no webhook is sent"),
    Mode(
        "late-success", 8,
        "A failure is reported, and so many seconds later it is paid after all",
        defaults={"seconds": 60.0},
    ),
    Mode(
        "refund-at-gateway", 9,
        "Everything goes back so many seconds after it was paid",
        defaults={"seconds": 0.0},
    ),
    Mode(
        "partial-refund-at-gateway", 9,
        "A part (by default a half) goes back so many seconds after it was paid",
        defaults={"seconds": 0.0, "amount": 0},
    ),
    Mode(
        "refund-timeout", 10,
        "A refund takes effect, but no answer comes for so many seconds",
        frozenset({"khalti", "stripe"}),
        {"count": 1, "seconds": 90.0},
    ),
    Mode(
        "refund-declined", 10,
        "A refund is refused",
        frozenset({"khalti", "stripe"}),
        {"count": 1},
    ),
    Mode(
        "refund-pending", 10,
        "A refund is pending for so many seconds, then it succeeds",
        frozenset({"stripe"}),
        {"count": 1, "seconds": 60.0},
    ),
    Mode(
        "refund-fails-later", 10,
        "A refund succeeds, and fails so many seconds later",
        frozenset({"stripe"}),
        {"count": 1, "seconds": 60.0},
    ),
    Mode(
        "unknown-status", 11,
        "The status is a word that nobody knows",
        defaults={"value": "", "where": "answer"},
    ),
    Mode(
        "ambiguous", 11,
        "The gateway says that it does not know itself",
        frozenset({"esewa"}),
    ),
    Mode(
        "wrong-currency", 12,
        "Another currency is told than was asked for",
        frozenset({"stripe"}),
        {"value": "usd", "where": "answer"},
    ),
    Mode(
        "stale-webhook", 13,
        "Webhooks carry a good signature of so many seconds ago",
        frozenset({"stripe"}),
        {"seconds": 3600.0},
    ),
    Mode(
        "out-of-order-webhooks", 13,
        "The newest webhook comes first, and an old failure last",
        frozenset({"stripe"}),
    ),
    Mode("lost-webhooks", 13, "No webhook is ever delivered", frozenset({"stripe"})),
    Mode(
        "replay-other", 14,
        "The return carries the valid answer of another payment (its id, or the last paid one)",
        defaults={"payment": ""},
    ),
    Mode(
        "comma-amount", 15,
        "The total has a thousands comma; it was signed without",
        frozenset({"esewa"}),
    ),
    Mode("number-amount", 15, "The total is a JSON number", frozenset({"esewa"})),
    Mode("misspelt-status", 15, "SUCESSFULL with one c", frozenset({"connectips"})),
    Mode(
        "swapped-numbers", 15,
        "Numbers come as texts, and texts of digits as numbers",
        frozenset({"connectips", "imepay"}),
    ),
)  # fmt: skip
MODES: Final[Mapping[str, Mode]] = {mode.name: mode for mode in _LIST}


class BadOrder(ValueError):
    """A fault that cannot be ordered; the text says why."""


@dataclass(slots=True)
class Fault:
    """One ordered fault with its parameters; ``left`` is how often it still strikes."""

    mode: Mode
    values: dict[str, Any]
    left: int

    def number(self, name: str) -> float:
        """A parameter that is a number."""
        return float(self.values[name])

    def text(self, name: str) -> str:
        """A parameter that is a text."""
        return str(self.values[name])


def order(gateway: str, wanted: Mapping[str, Any]) -> Fault:
    """Read one order: ``mode`` and its parameters.

    Raises
    ------
    BadOrder
        If the mode is unknown, makes no sense for the gateway, or a parameter is wrong.
    """
    mode = MODES.get(str(wanted.get("mode", "")))
    if mode is None:
        raise BadOrder(f"mode: none of {', '.join(MODES)}")
    if gateway not in mode.gateways:
        raise BadOrder(f"{mode.name} makes no sense for {gateway}")
    values = dict(mode.defaults)
    for name, value in wanted.items():
        if name in ("mode", "gateway", "on_payment"):
            continue
        if name not in mode.defaults:
            raise BadOrder(f"{mode.name} has no parameter {name}")
        values[name] = _fitting(name, value, mode.defaults[name])
    if values.get("on") and values["on"] not in CALLS:
        raise BadOrder(f"on: none of {', '.join(CALLS)}")
    if values.get("where", "answer") not in ("callback", "answer", "both"):
        raise BadOrder("where: none of callback, answer, both")
    # The repeats of a callback are one strike.
    strikes = int(values["count"]) if mode.name != "duplicate-callback" and "count" in values else 1
    return Fault(mode, values, strikes)


def _fitting(name: str, value: object, default: object) -> Any:
    if isinstance(default, (int, float)) and not isinstance(default, bool):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadOrder(f"{name}: is not a number")
        most = _MAX_COUNT if name == "count" else _MAX_SECONDS * 1000
        least = 1 if name == "count" else 0
        if not least <= value <= most:
            raise BadOrder(f"{name}: is not from {least} to {most:g}")
        if isinstance(default, int) and value != int(value):
            raise BadOrder(f"{name}: is not a whole number")
        return float(value) if isinstance(default, float) else int(value)
    if not isinstance(value, type(default)):
        raise BadOrder(
            f"{name}: is not {'a text' if isinstance(default, str) else 'true or false'}"
        )
    return value


class Faults:
    """The faults of one payment."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults = list(faults)

    def __bool__(self) -> bool:
        """Whether any is left."""
        return bool(self._faults)

    @property
    def names(self) -> list[str]:
        """The modes that are left."""
        return [fault.mode.name for fault in self._faults]

    def add(self, faults: Iterable[Fault]) -> None:
        """Put more on the same payment."""
        self._faults.extend(faults)

    def get(self, name: str) -> Fault | None:
        """Find one that lasts: it is not used up."""
        return next((fault for fault in self._faults if fault.mode.name == name), None)

    def take(self, name: str) -> Fault | None:
        """Find one and use it up by one strike."""
        fault = self.get(name)
        if fault is not None:
            self._strike(fault)
        return fault

    def take_outage(self, call: str, first_call: str) -> Fault | None:
        """Take what cuts the answer to a call; without ``on`` it is the gateway's first call."""
        for fault in self._faults:
            name = fault.mode.name
            if name == "refund-timeout":
                is_hit = call == "refund"
            else:
                is_hit = "on" in fault.values and (fault.values["on"] or first_call) == call
            if is_hit:
                self._strike(fault)
                return fault
        return None

    def _strike(self, fault: Fault) -> None:
        fault.left -= 1
        if fault.left <= 0:
            self._faults.remove(fault)

"""Every gateway × every way to fail, over real HTTP between the real server and the sandbox.

In the end the payment is where it belongs, the booking was confirmed exactly once or never, and
our ledger holds what the sandbox holds, but for money that waits for a person to look.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest

from server.app import RunningServer
from server.demo.payments import pointed_at
from server.sandbox.faults import GATEWAYS, MODES
from server.sandbox.merchant import settings_text, write_settings
from server.sandbox.world import Merchant
from server.settings import GatewaySettings, Settings
from tests.payments import Bookings, ledger_sums, ledger_totals
from tests.sandbox_control import SandboxControl, running_sandbox
from tests.support import FakeClock, People, Person

METHODS: Final = {
    "khalti": "KHALTI",
    "esewa": "ESEWA",
    "connectips": "CONNECT_IPS",
    "imepay": "IME_PAY",
    "stripe": "STRIPE",
}
PAID, UNPAID, REVIEW, RETURNED = "paid", "unpaid", "review", "returned"
# What is refunded inside a bank or at a counter shows in no answer of these two.
_TELLS_REFUNDS: Final = ("khalti", "esewa", "stripe")
_HOURS: Final = (61, 125, 420, 310, 1260, 3660, 7200, 86_400)
"""How far the clock goes between two looks of the reconciler: a day and more in all."""


@dataclass(frozen=True)
class Cell:
    """One gateway and one way to fail: what is ordered, what the person does, how it ends."""

    gateway: str
    mode: str
    end: str = PAID
    action: str = "pay"
    orders: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        extra = "-".join(str(value) for value in self.orders.values())
        return "-".join(filter(None, (self.gateway, self.mode, extra, self.action)))


def cells() -> list[Cell]:
    """The whole matrix."""
    found = [Cell(gateway, "", end, action) for gateway in GATEWAYS for action, end in (
        ("pay", PAID), ("cancel", UNPAID), ("fail", UNPAID), ("later", UNPAID),
    )]  # fmt: skip
    for gateway in GATEWAYS:
        calls = {"khalti", "imepay", "stripe"} & {gateway}
        found += [
            Cell(gateway, mode, orders={"on": call})
            for mode in ("timeout", "drop", "bad-gateway", "service-down")
            for call in (*(["start"] if calls else []), "verify")
        ]
        found += [Cell(gateway, mode) for mode in (
            "duplicate-callback", "changed-amount", "changed-reference", "changed-status",
            "redirect-says-failed", "no-redirect", "late-success",
        )]  # fmt: skip
        found += [
            Cell(gateway, "changed-status", UNPAID, "cancel"),
            Cell(gateway, "changed-amount", REVIEW, orders={"where": "answer"}),
            Cell(gateway, "changed-reference", REVIEW, orders={"where": "answer"}),
            Cell(gateway, "redirect-says-paid", orders={"seconds": 60}),
            Cell(gateway, "redirect-says-paid", UNPAID),
            Cell(gateway, "unknown-status", REVIEW),
            Cell(gateway, "replay-other", UNPAID, "cancel"),
        ]
        if gateway in _TELLS_REFUNDS:
            found += [
                Cell(gateway, "refund-at-gateway", UNPAID),
                Cell(gateway, "refund-at-gateway", RETURNED, orders={"seconds": 30}),
            ]
    found += [Cell("imepay", mode, orders={"on": "confirm"}) for mode in ("timeout", "bad-gateway")]
    found += [Cell("esewa", mode) for mode in (
        "wrong-signature", "missing-signature", "reflected-signature", "comma-amount",
        "number-amount",
    )]  # fmt: skip
    found += [
        Cell("esewa", "ambiguous", REVIEW),
        Cell("connectips", "misspelt-status"),
        Cell("connectips", "swapped-numbers"),
        Cell("imepay", "swapped-numbers"),
        Cell("stripe", "wrong-currency", REVIEW, orders={"where": "both"}),
    ]
    found += [Cell("stripe", mode) for mode in (
        "wrong-signature", "missing-signature", "stale-webhook", "out-of-order-webhooks",
        "lost-webhooks",
    )]  # fmt: skip
    return found


REFUNDS: Final = [
    Cell(gateway, mode, RETURNED)
    for gateway, mode in (
        ("khalti", ""),
        ("khalti", "refund-timeout"),
        ("stripe", ""),
        ("stripe", "refund-timeout"),
        ("stripe", "refund-pending"),
    )
]


def test_the_matrix_has_every_mode_of_every_gateway():
    told = {(cell.gateway, cell.mode) for cell in [*cells(), *REFUNDS]}
    missing = {
        (gateway, mode.name)
        for mode in MODES.values()
        for gateway in mode.gateways
        if (gateway, mode.name) not in told
    }
    # Money that goes back where no answer tells of it; and what ends with a person all the same.
    assert missing == {
        ("connectips", "refund-at-gateway"),
        ("imepay", "refund-at-gateway"),
        *((gateway, "partial-refund-at-gateway") for gateway in GATEWAYS),
        ("khalti", "refund-declined"),
        ("stripe", "refund-declined"),
        ("stripe", "refund-fails-later"),
    }


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[SandboxControl]:
    async with running_sandbox() as control:
        yield control


@pytest.fixture
def settings(settings: Settings, running: SandboxControl, tmp_path: Path) -> Settings:
    path = write_settings(tmp_path / "sandbox", running.url, Merchant())
    assert settings_text(running.url, Merchant(), path.with_name("creditor.pfx"))
    pointed = pointed_at(settings, tomllib.loads(path.read_text()))
    # So short that an answer that does not come costs a test little.
    quick = GatewaySettings(connect_seconds=5.0, read_seconds=3.0, total_seconds=2.0)
    return dataclasses.replace(pointed, gateways=quick)


@pytest.fixture
async def till(
    server: RunningServer, people: People, clock: FakeClock, running: SandboxControl
) -> Till:
    await running.client.post("/_sandbox/reset")
    await running.client.post("/_sandbox/clock", json={"now": clock.now().timestamp()})
    site = f"http://127.0.0.1:{server.port}/api/payments"
    await running.register(
        stripe_webhook=f"{site}/webhooks/STRIPE/",
        connectips_success=f"{site}/CONNECT_IPS/return/",
        connectips_failure=f"{site}/CONNECT_IPS/return/",
    )
    bookings = await Bookings.make(server, people, clock)
    return Till(server, people, clock, running, bookings)


@dataclass
class Till:
    """A customer who pays, the sandbox that he pays at, and the clock that both go by."""

    server: RunningServer
    people: People
    clock: FakeClock
    sandbox: SandboxControl
    bookings: Bookings

    @property
    def customer(self) -> Person:
        return self.bookings.customer

    async def begin(self, gateway: str, booking_id: str) -> dict[str, Any]:
        """Begin to pay, again when the gateway did not answer: as a person does."""
        body = {"booking_id": booking_id, "payment_method": METHODS[gateway]}
        for _ in range(3):
            answer = await self.customer.api.post("/api/payments/", json=body)
            if answer.status_code == 201:
                begun: dict[str, Any] = answer.json()
                return begun
            assert answer.status_code == 503, answer.text
        raise AssertionError(answer.text)

    async def open_page(self, payment: dict[str, Any]) -> str:
        """Go where the payment leads; the path of the pay page."""
        action = payment["action"]
        if action["kind"] == "form":
            page = await self.sandbox.client.post(action["url"], data=action["fields"])
        else:
            page = await self.sandbox.client.get(action["url"])
        if page.status_code == 303:
            return urlsplit(page.headers["location"]).path
        assert page.status_code == 200, page.text
        return urlsplit(action["url"]).path

    async def press(self, path: str, action: str) -> None:
        """Press a button of the pay page, and go where it leads."""
        back = await self.sandbox.client.post(path, data={"action": action})
        if back.status_code == 303:
            await self.follow(back.headers["location"])

    async def follow(self, url: str) -> httpx.Response:
        browser = await self.people.nobody()
        return await browser.get(url.removeprefix(self.people.base_url))

    async def pass_time(self, seconds: float) -> None:
        """Let time pass at both ends, and do what falls due."""
        self.clock.advance(seconds=seconds)
        await self.sandbox.advance(seconds)
        await self.server.services.settlement.reconcile()
        await self.server.services.booking_payments.fail_unpaid()
        await self.settle()

    async def settle(self) -> None:
        """Until nothing is under way any more: webhooks are delivered, refunds sent."""
        while not (await self.sandbox.client.get("/_sandbox/log?after=999999999")).json()[
            "is_idle"
        ]:
            await self.server.services.settlement.idle()
        await self.server.services.settlement.idle()

    async def run(self, cell: Cell) -> dict[str, Any]:
        """Book, pay in that way, and let a day pass; the booking."""
        if cell.mode and cell.mode not in ("refund-timeout", "refund-pending"):
            await self.sandbox.order(cell.gateway, cell.mode, **cell.orders)
        booking = await self.bookings.book(payment_method=METHODS[cell.gateway])
        payment = await self.begin(cell.gateway, booking["id"])
        path = await self.open_page(payment)
        await self.press(path, cell.action)
        await self.settle()
        return booking

    async def days_end(self) -> None:
        for seconds in _HOURS:
            await self.pass_time(seconds)
        await self.people.sign_in_again(self.customer)

    async def show(self, booking_id: str) -> list[dict[str, Any]]:
        """The attempts to pay it, the last one last."""
        listed = (await self.customer.api.get("/api/payments/")).raise_for_status().json()
        rows = [row for row in listed["results"] if row["booking_id"] == booking_id]
        return sorted(rows, key=lambda row: str(row["created_at"]))

    async def successes(self) -> int:
        rows = (await self.customer.api.get("/api/notifications/")).json()["results"]
        return sum(row["notification_type"] == "PAYMENT_SUCCESS" for row in rows)

    async def held(self, gateway: str) -> int:
        """What the sandbox holds of ours, in paisa."""
        rows = await self.sandbox.ledger(gateway=gateway)
        return sum(row["paid"] - row["refunded"] for row in rows)


@pytest.mark.parametrize("cell", cells(), ids=str)
async def test_it_ends_as_it_must(till: Till, cell: Cell):
    if cell.mode == "replay-other":
        first = await till.run(Cell(cell.gateway, ""))
        assert (await till.show(first["id"]))[-1]["status"] == "COMPLETED"
    before = await till.successes()
    booking = await till.run(cell)
    await till.days_end()
    attempts = await till.show(booking["id"])
    last, shown = attempts[-1], await till.bookings.show(booking["id"])
    successes = await till.successes() - before
    ours = (await ledger_totals(till.server)).get(f"gateway:{METHODS[cell.gateway]}", 0)
    held = await till.held(cell.gateway)
    assert set((await ledger_sums(till.server)).values()) <= {0}
    if cell.end == PAID:
        assert (last["status"], shown["payment_status"]) == ("COMPLETED", "COMPLETED"), last
        assert (successes, ours) == (1, held)
    elif cell.end == REVIEW:
        assert last["needs_review"], last
        assert last["status"] != "COMPLETED"
        assert (successes, ours) == (0, 0)
    elif cell.end == RETURNED:
        # Nobody asks about what is completed: staff who see it in the panel have it asked.
        admin = await till.people.admin()
        checked = await admin.api.post(f"/api/admin/payments/{last['id']}/check/", json={})
        assert checked.status_code == 200, checked.text
        (last,) = await till.show(booking["id"])
        ours = (await ledger_totals(till.server)).get(f"gateway:{METHODS[cell.gateway]}", 0)
        assert (last["status"], successes, ours, held) == ("REFUNDED", 1, 0, 0)
    else:
        assert last["status"] == "FAILED", last
        assert shown["status"] == "FAILED"
        assert (successes, ours) == (0, held)


@pytest.mark.parametrize("cell", REFUNDS, ids=str)
async def test_what_is_given_back_is_given_back_once(till: Till, cell: Cell):
    booking = await till.run(cell)
    (attempt,) = await till.show(booking["id"])
    assert attempt["status"] == "COMPLETED"
    if cell.mode:
        (row,) = await till.sandbox.ledger(reference=attempt["reference"])
        await till.sandbox.order(cell.gateway, cell.mode, on_payment=row["id"])
    cancelled = await till.customer.api.post(f"/api/bookings/{booking['id']}/cancel/", json={})
    assert cancelled.status_code == 200, cancelled.text
    await till.settle()
    await till.days_end()
    (attempt,) = await till.show(booking["id"])
    (row,) = await till.sandbox.ledger(reference=attempt["reference"])
    assert (attempt["status"], attempt["refunded_amount"]) == ("REFUNDED", row["refunded"])
    assert row["refunded"] == row["paid"] == attempt["amount"]
    assert (await ledger_totals(till.server)).get(f"gateway:{METHODS[cell.gateway]}", 0) == 0

"""Every gateway × every way to fail, over real HTTP between the real server and the sandbox.

In the end the payment is where it belongs, the booking was confirmed exactly once or never, and
our ledger holds what the sandbox holds, but for money that waits for a person to look.

All cells are played in one world: one server, one sandbox, and one day that passes for all of them,
each with a customer and a booking of its own. What a cell's test looks at is its own alone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import json
import os
import tomllib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest

from server.app import RunningServer, open_server
from server.demo.payments import pointed_at
from server.domain.ledger import gateway as account_of
from server.sandbox import keys
from server.sandbox.faults import GATEWAYS, MODES
from server.sandbox.merchant import write_settings
from server.sandbox.world import Merchant
from server.settings import BookingSettings, DatabaseSettings, GatewaySettings, Settings
from tests.payments import FAR, LONG_AGO, ledger_sums, ledger_totals
from tests.sandbox_control import SandboxControl, running_sandbox
from tests.support import FakeClock, People, Person, server_settings

pytestmark = pytest.mark.timeout(900)

METHODS: Final = {
    "khalti": "KHALTI",
    "esewa": "ESEWA",
    "connectips": "CONNECT_IPS",
    "imepay": "IME_PAY",
    "stripe": "STRIPE",
}
PAID, UNPAID, REVIEW, RETURNED = "paid", "unpaid", "review", "returned"
PARTLY, KEPT, GONE = "partly", "kept", "gone"
# What is refunded inside a bank or at a counter shows in no answer of these two.
_TELLS_REFUNDS: Final = ("khalti", "esewa", "stripe")
# Asked for by us, after it was paid.
_OUR_REFUNDS: Final = ("refund-timeout", "refund-pending", "refund-declined", "refund-fails-later")
_AT_ONCE: Final = 6
_MOST_BATCHES: Final = 20
_FIRST_DAY: Final = date(2026, 11, 25)
_SATURDAY: Final = 5
_STARTS: Final = range(6, 18, 2)
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
        # Stripe's webhooks are its own word as well: one that is right would be enough.
        everywhere = "both" if gateway == "stripe" else "answer"
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
            Cell(gateway, "changed-amount", REVIEW, orders={"where": everywhere}),
            Cell(gateway, "changed-reference", REVIEW, orders={"where": everywhere}),
            Cell(gateway, "redirect-says-paid", orders={"seconds": 60}),
            Cell(gateway, "redirect-says-paid", UNPAID),
            Cell(gateway, "unknown-status", REVIEW, orders={"where": everywhere}),
            Cell(gateway, "replay-other", UNPAID, "cancel"),
        ]
        if gateway in _TELLS_REFUNDS:
            found += [
                Cell(gateway, "refund-at-gateway", GONE),
                Cell(gateway, "refund-at-gateway", RETURNED, orders={"seconds": 30}),
                Cell(gateway, "partial-refund-at-gateway", PARTLY),
            ]
        else:
            found.append(Cell(gateway, "refund-at-gateway", PARTLY, orders={"seconds": 30}))
        found.append(Cell(gateway, "partial-refund-at-gateway", PARTLY, orders={"seconds": 30}))
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
    found += [
        Cell("khalti", "", RETURNED, "pay-and-turn-away"),
        Cell("khalti", "refund-timeout", RETURNED, "pay-and-turn-away"),
        Cell("khalti", "refund-declined", KEPT, "pay-and-turn-away"),
        Cell("stripe", "", RETURNED, "pay-and-turn-away"),
        Cell("stripe", "refund-timeout", RETURNED, "pay-and-turn-away"),
        Cell("stripe", "refund-pending", RETURNED, "pay-and-turn-away"),
        Cell("stripe", "refund-declined", KEPT, "pay-and-turn-away"),
        Cell("stripe", "refund-fails-later", KEPT, "pay-and-turn-away"),
    ]
    return found


def chosen() -> list[Cell]:
    """What is played: each gateway and each mode, or all of it with PAYMENT_MATRIX=full."""
    every = cells()
    if os.environ.get("PAYMENT_MATRIX") == "full":
        return every
    seen: dict[str, int] = {}
    found = []
    for cell in every:
        # Each mode on one gateway, another one for each mode; what one gateway alone has, there.
        seen.setdefault(cell.mode, len(seen))
        having = [name for name in GATEWAYS if any(
            other.gateway == name and other.mode == cell.mode for other in every
        )]  # fmt: skip
        if not cell.mode or having[seen[cell.mode] % len(having)] == cell.gateway:
            found.append(cell)
    return found


def test_the_matrix_has_every_mode_of_every_gateway():
    told = {(cell.gateway, cell.mode) for cell in cells() if cell.mode}
    assert told == {(gateway, mode.name) for mode in MODES.values() for gateway in mode.gateways}
    short = chosen()
    assert {cell.mode for cell in short} == {"", *MODES}
    assert {cell.gateway for cell in short} == set(GATEWAYS)


@dataclass
class Told:
    """What was played of a cell."""

    customer: Person
    booking: dict[str, Any]
    reference: str


class Till:
    """Customers who pay, the sandbox that they pay at, and the clock that both go by."""

    def __init__(self, server: RunningServer, people: People, clock: FakeClock) -> None:
        self.server = server
        self.people = people
        self.clock = clock
        self.told: dict[str, Told] = {}
        self.sandbox: SandboxControl
        self.admin: Person
        self._pandit: Person
        self._browser: httpx.AsyncClient
        self._booked = 0
        self._turns = {name: asyncio.Lock() for name in GATEWAYS}

    async def open(self, sandbox: SandboxControl) -> None:
        """Bring both ends together."""
        self.sandbox = sandbox
        await sandbox.client.post("/_sandbox/clock", json={"now": self.clock.now().timestamp()})
        site = f"http://127.0.0.1:{self.server.port}/api/payments"
        await sandbox.register(
            stripe_webhook=f"{site}/webhooks/STRIPE/",
            connectips_success=f"{site}/CONNECT_IPS/return/",
            connectips_failure=f"{site}/CONNECT_IPS/return/",
        )
        self._browser = await self.people.nobody()
        self._pandit = await self.people.pandit(duration_minutes=60)
        self.admin = await self.people.admin()

    # -- playing ----------------------------------------------------------------------------------

    async def play(self, wanted: Sequence[Cell]) -> None:
        """Book and pay, in each way; then let a day pass."""
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(cell: Cell) -> None:
            async with turns:
                self.told[str(cell)] = await self.run(cell)

        async with asyncio.TaskGroup() as group:
            for cell in wanted:
                group.create_task(one(cell))
        await self.settle()
        for seconds in _HOURS:
            await self.pass_time(seconds)

    async def run(self, cell: Cell) -> Told:
        """Book, pay in that way, and turn away if that is what the cell is about."""
        customer = await self.people.customer()
        ordered = None
        if cell.mode and cell.mode not in _OUR_REFUNDS:
            ordered = {"mode": cell.mode, **cell.orders}
        if cell.mode == "replay-other":
            first = await self.pay(customer, Cell(cell.gateway, ""))
            row = await self.sandbox.row(first.reference)
            ordered = {"mode": cell.mode, "payment": row["id"]}
        turns_away = cell.action == "pay-and-turn-away"
        action = "pay" if turns_away else cell.action
        told = await self.pay(customer, dataclasses.replace(cell, action=action), ordered)
        if turns_away:
            (attempt,) = await self.show(told)
            assert attempt["status"] == "COMPLETED", attempt
            if cell.mode:
                row = await self.sandbox.row(told.reference)
                await self.sandbox.order(cell.gateway, cell.mode, on_payment=row["id"])
            url = f"/api/bookings/{told.booking['id']}/cancel/"
            cancelled = await customer.api.post(url, json={})
            assert cancelled.status_code == 200, cancelled.text
        return told

    async def pay(
        self, customer: Person, cell: Cell, ordered: dict[str, Any] | None = None
    ) -> Told:
        """Book, go to the pay page, press the button, and go where it leads."""
        booking = await self.book(customer, METHODS[cell.gateway])
        # What is ordered is for the gateway's next payment: nobody else may begin one meanwhile.
        async with self._turns[cell.gateway]:
            if ordered is not None:
                await self.sandbox.order(cell.gateway, **ordered)
            payment = await self.begin(customer, cell.gateway, booking["id"])
            path = await self.open_page(payment)
        back = await self.sandbox.client.post(path, data={"action": cell.action})
        if back.status_code == 303:
            await self._browser.get(back.headers["location"].removeprefix(self.people.base_url))
        return Told(customer, booking, payment["reference"])

    async def book(self, customer: Person, method: str) -> dict[str, Any]:
        """Book an hour that nobody has yet."""
        days, place = divmod(self._booked, len(_STARTS))
        self._booked += 1
        workdays = (
            day
            for ahead in range(2 * days + 2)
            if (day := _FIRST_DAY + timedelta(days=ahead)).weekday() != _SATURDAY
        )
        day = next(day for number, day in enumerate(workdays) if number == days)
        answer = await customer.api.post(
            "/api/bookings/",
            json={
                "service_id": self._pandit.service_id,
                "booking_date": day.isoformat(),
                "booking_time": f"{_STARTS[place]:02}:00",
                "service_location": "PANDIT_LOCATION",
                "payment_method": method,
            },
        )
        assert answer.status_code == 201, answer.text
        booking: dict[str, Any] = answer.json()
        return booking

    async def begin(self, customer: Person, gateway: str, booking_id: str) -> dict[str, Any]:
        """Begin to pay, again when the gateway did not answer: as a person does."""
        body = {"booking_id": booking_id, "payment_method": METHODS[gateway]}
        for _ in range(3):
            answer = await customer.api.post("/api/payments/", json=body)
            if answer.status_code == 201:
                begun: dict[str, Any] = answer.json()
                return begun
            assert answer.status_code == 503, answer.text
        pytest.fail(f"{gateway} does not answer")

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

    async def pass_time(self, seconds: float) -> None:
        """Let time pass at both ends, and do what falls due."""
        self.clock.advance(seconds=seconds)
        await self.sandbox.advance(seconds)
        for _ in range(_MOST_BATCHES):
            asked = await self.server.services.settlement.reconcile()
            ended = await self.server.services.booking_payments.fail_unpaid()
            if not asked and not ended:
                break
        await self.settle()

    async def settle(self) -> None:
        """Until nothing is under way any more: webhooks are delivered, refunds sent."""
        while not (await self.sandbox.client.get("/_sandbox/log?after=999999999")).json()[
            "is_idle"
        ]:
            await self.server.services.settlement.idle()
        await self.server.services.settlement.idle()

    # -- looking ----------------------------------------------------------------------------------

    async def show(self, told: Told) -> list[dict[str, Any]]:
        """The attempts to pay it, the last one last."""
        listed = (await told.customer.api.get("/api/payments/")).raise_for_status().json()
        rows = [row for row in listed["results"] if row["booking_id"] == told.booking["id"]]
        return sorted(rows, key=lambda row: str(row["created_at"]))

    async def show_booking(self, told: Told) -> dict[str, Any]:
        """The booking as the customer sees it."""
        url = f"/api/bookings/{told.booking['id']}/"
        shown: dict[str, Any] = (await told.customer.api.get(url)).raise_for_status().json()
        return shown

    async def successes(self, told: Told) -> int:
        """How often the customer was told that this booking is paid."""
        rows = (await told.customer.api.get("/api/notifications/")).json()["results"]
        return sum(
            row["notification_type"] == "PAYMENT_SUCCESS" and row["booking"] == told.booking["id"]
            for row in rows
        )

    async def ours(self, cell: Cell) -> int:
        """What our ledger says that the gateway holds for this booking, in paisa."""
        account, after, total = account_of(METHODS[cell.gateway]), None, 0
        while True:
            page = await self.server.services.ledger.list_entries(
                account=account, first=LONG_AGO, last=FAR, limit=200, after=after
            )
            total += sum(
                posting.amount
                for entry in page.rows
                if entry.refs.get("booking_id") == self.told[str(cell)].booking["id"]
                for posting in entry.postings
                if posting.account == account
            )
            after = page.next_key
            if after is None:
                return total

    async def held(self, cell: Cell) -> int:
        """What the sandbox holds for this booking, in paisa."""
        rows = [
            row
            for attempt in await self.show(self.told[str(cell)])
            for row in await self.sandbox.ledger(reference=attempt["reference"])
        ]
        return sum(row["paid"] - row["refunded"] for row in rows)

    async def staff(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Let staff do something."""
        answer = await self.admin.api.post(path, json=body)
        assert answer.status_code in (200, 201, 202), answer.text
        done: dict[str, Any] = answer.json()
        return done

    async def check(self, told: Told) -> dict[str, Any]:
        """Staff have the gateway asked: by itself nobody asks about what is completed."""
        attempt = (await self.show(told))[-1]
        await self.staff(f"/api/admin/payments/{attempt['id']}/check/", {})
        return (await self.show(told))[-1]


@pytest.fixture(scope="module")
async def till(
    request: pytest.FixtureRequest, mongo_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Till]:
    """A world in which the cells that are wanted have been played, and a day has passed."""
    folder = tmp_path_factory.mktemp("matrix")
    clock = FakeClock()
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(running_sandbox())
        database = DatabaseSettings(uri=mongo_uri, name="test_payment_matrix")
        settings = _settings(server_settings(database, folder), sandbox, folder)
        server = await stack.enter_async_context(open_server(settings, clock=clock))
        people = People(server, await stack.enter_async_context(AsyncExitStack()))
        till = Till(server, people, clock)
        await till.open(sandbox)
        # With -k, only those that are asked for.
        wanted: list[Cell] = [
            item.callspec.params["cell"]  # type: ignore[misc]  # pytest types it as any object
            for item in request.session.items
            if isinstance(item, pytest.Function)
            and item.module is request.module
            and hasattr(item, "callspec")
        ]
        await till.play(wanted)
        yield till


def _settings(settings: Settings, sandbox: SandboxControl, folder: Path) -> Settings:
    path = write_settings(folder / "sandbox", sandbox.url, Merchant())
    pointed = pointed_at(settings, tomllib.loads(path.read_text()))
    return dataclasses.replace(
        pointed,
        # So short that an answer that does not come costs little.
        gateways=GatewaySettings(connect_seconds=5.0, read_seconds=4.0, total_seconds=3.0),
        # A day passes: neither pandits nor tokens shall end what is played.
        booking=BookingSettings(answer_hours=1000.0),
        auth=dataclasses.replace(settings.auth, access_minutes=10_000),
    )


@pytest.mark.parametrize("cell", chosen(), ids=str)
async def test_it_ends_as_it_must(till: Till, cell: Cell):
    told = till.told[str(cell)]
    attempts = await till.show(told)
    last, shown = attempts[-1], await till.show_booking(told)
    successes, ours, held = await till.successes(told), await till.ours(cell), await till.held(cell)
    whole = last["amount"]
    if cell.end == PAID:
        assert (last["status"], shown["payment_status"]) == ("COMPLETED", "COMPLETED"), last
        assert (successes, ours, held) == (1, whole, whole)
    elif cell.end == UNPAID:
        assert (last["status"], shown["status"]) == ("FAILED", "FAILED"), last
        assert (successes, ours, held) == (0, 0, 0)
    elif cell.end == REVIEW:
        assert last["needs_review"], last
        assert last["status"] != "COMPLETED"
        # The money lies there until a person has looked.
        assert (successes, ours, held) == (0, 0, whole)
    elif cell.end == KEPT:
        # The refund was refused or came back: the money is there still, and a person looks.
        assert (last["status"], last["refunded_amount"]) == ("COMPLETED", 0), last
        assert last["needs_review"], last
        assert (successes, ours, held) == (1, whole, whole)
    elif cell.end == GONE:
        # It went back in the same moment: we may have heard of the payment before, or not.
        # Had we heard of it, the booking waits for whoever gave the money back to say what of it.
        ends = (last["status"], successes, shown["status"], shown["payment_status"])
        never = ("FAILED", 0, "FAILED", shown["payment_status"])
        assert ends in (never, ("REFUNDED", 1, "PENDING", "REFUNDED")), last
        assert (ours, held) == (0, 0)
    elif cell.end == RETURNED:
        last = last if cell.action != "pay" else await till.check(told)
        ours = await till.ours(cell)
        assert (last["status"], last["refunded_amount"]) == ("REFUNDED", whole), last
        assert (successes, ours, held) == (1, 0, 0)
    else:
        await _partly_refunded_ends_with_a_person(till, cell, successes, held)


async def _partly_refunded_ends_with_a_person(
    till: Till, cell: Cell, successes: int, held: int
) -> None:
    """What went back in the gateway's panel: as far as it does not say, staff write it down."""
    told = till.told[str(cell)]
    last = await till.check(told)
    assert (last["status"], successes) == ("COMPLETED", 1), last
    untold = await till.ours(cell) - held
    if cell.gateway == "stripe":
        # It says how much.
        assert untold == 0
        assert last["refunded_amount"] == last["amount"] - held
        return
    assert last["needs_review"] == (cell.gateway in _TELLS_REFUNDS), last
    assert untold > 0
    by_hand = cell.gateway != "khalti"
    # Khalti pays out by itself: there the rest goes back, too, and then it says that all has gone.
    await till.staff(
        f"/api/payments/{last['id']}/refund/",
        {"amount": untold if by_hand else held, "note": "seen in the panel"},
    )
    await till.settle()
    if by_hand:
        url = f"/api/admin/payments/{last['id']}/"
        told_staff = (await till.admin.api.get(url)).raise_for_status().json()
        refund = told_staff["attempts"][-1]["refunds"][-1]
        assert refund["state"] == "manual"
        await till.staff(f"{url}refunds/{refund['id']}/", {"is_done": True})
    last, held = await till.check(told), await till.held(cell)
    assert await till.ours(cell) == held
    assert last["refunded_amount"] == last["amount"] - held


async def test_the_whole_ledger_sums_to_zero(till: Till):
    assert set((await ledger_sums(till.server)).values()) <= {0}
    assert await ledger_totals(till.server)


async def sent_by_stripe(till: Till, kind: str, told: dict[str, Any]) -> dict[str, Any]:
    """An event of what somebody did in Stripe's dashboard: it names the PaymentIntent alone."""
    assert till.sandbox.world is not None
    at = int(till.clock.now().timestamp())
    event = {"id": f"evt_{kind}", "type": kind, "livemode": False, "created": at}
    body = json.dumps({**event, "data": {"object": {"livemode": False, **told}}}).encode()
    secret = till.sandbox.world.merchant.stripe_webhook_secret
    signature = hmac.new(secret.encode(), f"{at}.".encode() + body, sha256).hexdigest()
    sender = await till.people.nobody()
    answer = await sender.post(
        "/api/payments/webhooks/STRIPE/",
        content=body,
        headers={
            "Content-Type": "application/json",
            "Stripe-Signature": f"t={at},v1={signature}",
        },
    )
    assert answer.status_code == 200, answer.text
    taken: dict[str, Any] = answer.json()
    return taken


async def test_what_is_done_in_stripes_dashboard_finds_its_payment_by_the_intent_alone(till: Till):
    cell = Cell("stripe", "", action="dashboard")
    customer = await till.people.customer()
    told = await till.pay(customer, dataclasses.replace(cell, action="pay"))
    till.told[str(cell)] = told
    await till.settle()
    intent = (await till.sandbox.row(told.reference))["intent"]
    disputed = await sent_by_stripe(
        till, "charge.dispute.created", {"id": "dp_1", "payment_intent": intent}
    )
    assert disputed["outcome"] == "processed"
    (attempt,) = await till.show(told)
    assert (attempt["status"], attempt["needs_review"]) == ("COMPLETED", True)
    part = attempt["amount"] // 4
    charge = {
        "id": "ch_1",
        "payment_intent": intent,
        "amount": attempt["amount"],
        "amount_refunded": part,
        "currency": "npr",
    }

    async def refund(amount: int) -> None:
        """What the button in the dashboard does: it knows nothing of our references."""
        assert till.sandbox.world is not None
        made = await till.sandbox.client.post(
            "/stripe/v1/refunds",
            data={"payment_intent": intent, "amount": str(amount)},
            headers={"Authorization": f"Bearer {keys.STRIPE_SECRET_KEY}"},
        )
        assert made.status_code == 200, made.text
        await till.settle()

    async def stands_at(amount: int) -> None:
        (attempt,) = await till.show(told)
        assert (attempt["status"], attempt["refunded_amount"]) == ("COMPLETED", amount)
        assert await till.ours(cell) == attempt["amount"] - amount

    # What a message says is asked for first: nothing has gone back.
    assert (await sent_by_stripe(till, "charge.refunded", charge))["outcome"] == "processed"
    await stands_at(0)
    await refund(part)
    await stands_at(part)
    # One that fails at the bank two days later counts no longer, whatever old messages say.
    row = await till.sandbox.row(told.reference)
    await till.sandbox.order("stripe", "refund-fails-later", on_payment=row["id"])
    await refund(part)
    await stands_at(2 * part)
    till.clock.advance(seconds=3600)
    await till.sandbox.advance(3600)
    await till.settle()
    await stands_at(part)
    stale = {**charge, "amount_refunded": 2 * part}
    await sent_by_stripe(till, "charge.refunded", stale)
    await stands_at(part)
    unknown = {"id": "dp_2", "payment_intent": "pi_of_somebody_else"}
    assert (await sent_by_stripe(till, "charge.dispute.closed", unknown))["outcome"] == "unmatched"

"""Paying a booking, end to end over HTTP against the sandbox: booking, payment, ledger, people."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import httpx
import pytest

from server.app import RunningServer
from server.domain.events import EventKind
from server.sandbox import keys
from server.settings import EsewaSettings, KhaltiSettings, Settings
from tests.payments import Bookings, ledger_sums, ledger_totals, pay
from tests.sandbox_control import SandboxControl, running_sandbox
from tests.support import FakeClock, People, Person


async def test_cash_is_recorded_when_the_puja_is_completed_and_the_pandit_owes_the_commission(
    server: RunningServer, people: People, clock: FakeClock
):
    bookings = await Bookings.make(server, people, clock)
    booking = await bookings.book()
    assert (booking["payment_method"], booking["payment_status"]) == ("CASH", "PENDING")
    await bookings.hold_puja(booking["id"])
    shown = await bookings.show(booking["id"])
    assert shown["payment_status"] == "COMPLETED"
    listed = (await bookings.customer.api.get("/api/payments/")).json()["results"]
    assert [(row["payment_method"], row["status"], row["amount"]) for row in listed] == [
        ("CASH", "COMPLETED", booking["total_fee"])
    ]
    earnings = (await bookings.pandit.api.get("/api/pandits/me/earnings/")).json()
    assert earnings == {
        "balance": 0,
        "under_way": 0,
        "owed": 25_000,
        "available": 0,
        "currency": "NPR",
    }
    assert set((await ledger_sums(server)).values()) == {0}


@pytest.fixture
async def sandbox() -> AsyncIterator[SandboxControl]:
    async with running_sandbox() as control:
        yield control


@pytest.fixture
def settings(settings: Settings, sandbox: SandboxControl) -> Settings:
    return dataclasses.replace(
        settings,
        khalti=KhaltiSettings(
            enabled=True,
            api_url=f"{sandbox.url}/khalti/api/v2/",
            refund_url=f"{sandbox.url}/khalti/api/",
            secret_key=min(keys.KHALTI_SECRET_KEYS),
        ),
        esewa=EsewaSettings(
            enabled=True,
            product_code=keys.ESEWA_PRODUCT_CODE,
            secret_key=keys.ESEWA_SECRET_KEY,
            form_url=f"{sandbox.url}/esewa/api/epay/main/v2/form",
            status_url=f"{sandbox.url}/esewa/api/epay/transaction/status/",
        ),
    )


async def test_a_booking_is_paid_at_khalti_and_only_then_told_to_the_pandit(
    server: RunningServer, people: People, clock: FakeClock, sandbox: SandboxControl
):
    bookings = await Bookings.make(server, people, clock)
    booking = await bookings.book(payment_method="KHALTI")
    assert booking["status"] == "PENDING"
    assert booking["pay_by"] == "2026-11-22T10:15:00+05:45"
    refused = await bookings.pandit.api.post(f"/api/bookings/{booking['id']}/accept/")
    assert (refused.status_code, refused.json()["type"]) == (409, "payment-due")
    assert await told(bookings.pandit) == ["PANDIT_VERIFIED"]
    payment = await pay(bookings.customer, booking["id"])
    assert (payment["status"], payment["amount"]) == ("PENDING", booking["total_fee"])
    assert payment["action"]["kind"] == "redirect"
    pidx = payment["action"]["url"].rpartition("/")[2]
    back = await sandbox.act("khalti", pidx, "pay")
    landing = await follow(people, back.headers["location"])
    assert landing.status_code == 303
    assert landing.headers["location"] == f"/payments/{payment['id']}/"
    shown = (await bookings.customer.api.get(f"/api/payments/{payment['id']}/")).json()
    assert (shown["status"], shown["needs_review"]) == ("COMPLETED", False)
    paid = await bookings.show(booking["id"])
    assert (paid["status"], paid["payment_status"], paid["payment_method"], paid["pay_by"]) == (
        "PENDING",
        "COMPLETED",
        "KHALTI",
        None,
    )
    assert await told(bookings.pandit) == ["PANDIT_VERIFIED", "BOOKING_CREATED"]
    assert await told(bookings.customer) == ["PAYMENT_SUCCESS"]
    assert await ledger_totals(server) == {
        "gateway:KHALTI": booking["total_fee"],
        "customer": -booking["total_fee"],
    }
    await bookings.hold_puja(booking["id"])
    assert await ledger_totals(server) == {
        "gateway:KHALTI": 250_000,
        "commission": -25_000,
        "pandit": -225_000,
    }
    assert (await sandbox.row(payment["reference"]))["status"] == "paid"


async def test_a_return_changes_nothing_that_the_provider_does_not_confirm(
    server: RunningServer, people: People, clock: FakeClock, sandbox: SandboxControl
):
    bookings = await Bookings.make(server, people, clock)
    booking = await bookings.book(payment_method="KHALTI")
    payment = await pay(bookings.customer, booking["id"])
    reference = payment["reference"]
    forged = (
        f"/api/payments/KHALTI/return/{reference}/?status=Completed&transaction_id=x"
        f"&pidx={payment['action']['url'].rpartition('/')[2]}"
        f"&purchase_order_id={reference}&total_amount={payment['amount']}"
    )
    for _ in range(3):
        await follow(people, forged)
    shown = (await bookings.customer.api.get(f"/api/payments/{payment['id']}/")).json()
    assert shown["status"] == "PROCESSING"
    assert (await bookings.show(booking["id"]))["payment_status"] == "PROCESSING"
    assert await ledger_totals(server) == {}


async def test_a_tab_that_is_closed_after_paying_is_found_by_the_reconciler(
    server: RunningServer, people: People, clock: FakeClock, sandbox: SandboxControl
):
    bookings = await Bookings.make(server, people, clock)
    booking = await bookings.book(payment_method="KHALTI")
    payment = await pay(bookings.customer, booking["id"])
    await sandbox.act("khalti", payment["action"]["url"].rpartition("/")[2], "pay")
    assert await server.services.settlement.reconcile() == 0
    clock.advance(seconds=61)
    assert await server.services.settlement.reconcile() == 1
    assert (await bookings.show(booking["id"]))["payment_status"] == "COMPLETED"
    clock.advance(seconds=61)
    assert await server.services.settlement.reconcile() == 0


async def test_an_unpaid_booking_fails_when_its_hold_runs_out_and_a_late_payment_goes_back(
    server: RunningServer, people: People, clock: FakeClock, sandbox: SandboxControl
):
    admin = await people.admin()
    bookings = await Bookings.make(server, people, clock)
    booking = await bookings.book(payment_method="KHALTI")
    wish = bookings.wish(booking_time=booking["booking_time"], payment_method="KHALTI")
    taken = await bookings.customer.api.post("/api/bookings/", json=wish)
    assert taken.json()["type"] == "slot-taken"
    payment = await pay(bookings.customer, booking["id"])
    await bookings.pass_time(minutes=14)
    assert await server.services.booking_payments.fail_unpaid() == 0
    await bookings.pass_time(minutes=1)
    await server.services.booking_payments.fail_unpaid()
    failed = await bookings.show(booking["id"])
    assert (failed["status"], failed["history"][-1]["reason"]) == ("FAILED", "not-paid")
    again = await bookings.customer.api.post("/api/bookings/", json=wish)
    assert again.status_code == 201
    # He pays all the same, after the time has been given away.
    back = await sandbox.act("khalti", payment["action"]["url"].rpartition("/")[2], "pay")
    await follow(people, back.headers["location"])
    await server.services.settlement.idle()
    shown = (await bookings.customer.api.get(f"/api/payments/{payment['id']}/")).json()
    assert (shown["status"], shown["needs_review"]) == ("REFUNDED", True)
    assert (await bookings.show(booking["id"]))["status"] == "FAILED"
    assert (await sandbox.row(payment["reference"]))["refunded"] == payment["amount"]
    assert await ledger_totals(server) == {}
    # Of this the administrators hear, each once, and nobody else.
    await people.sign_in_again(admin)
    assert await alerts(admin) == [f"/admin/payments/{payment['id']}/"]
    assert await alerts(bookings.customer) == []


async def alerts(person: Person) -> list[str]:
    """Where the alerts of payments lead that somebody has had."""
    rows = (await person.api.get("/api/notifications/")).raise_for_status().json()["results"]
    kind = EventKind.PAYMENT_REVIEW_WANTED
    return [row["url"] for row in rows if row["notification_type"] == kind]


async def test_esewa_is_paid_by_a_signed_form(
    server: RunningServer, people: People, clock: FakeClock, sandbox: SandboxControl
):
    bookings = await Bookings.make(server, people, clock)
    booking = await bookings.book(payment_method="ESEWA")
    payment = await pay(bookings.customer, booking["id"], "ESEWA")
    action = payment["action"]
    assert action["kind"] == "form"
    page = await sandbox.client.post(action["url"], data=action["fields"])
    assert page.status_code in (200, 303), page.text
    back = await sandbox.act("esewa", payment["reference"], "pay")
    await follow(people, back.headers["location"])
    assert (await bookings.show(booking["id"]))["payment_status"] == "COMPLETED"


async def follow(people: People, url: str) -> httpx.Response:
    """Do what a browser does that is sent there, nobody being signed in."""
    browser = await people.nobody()
    return await browser.get(url.removeprefix(people.base_url), headers={"Accept": "text/html"})


async def told(person: Person) -> list[str]:
    """The kinds of a person's notifications, the oldest first."""
    rows = (await person.api.get("/api/notifications/")).json()["results"]
    return [row["notification_type"] for row in reversed(rows)]
